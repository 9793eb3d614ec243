"""Options that several commands have."""

from pathlib import Path
from typing import Final

import click

from config.durations import parse_duration
from config.errors import Mismatch
from config.model import DAEMON_FILE

DEFAULT_CONFIG: Final = Path(DAEMON_FILE)
CONFIG_OPTION: Final = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The file of this node, ramsterd.toml.",
)


def to_seconds(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Read the value of an option that is a duration, such as 10m: for `callback`.

    Raises:
        BadParameter: It is none.
    """
    try:
        return None if value is None else parse_duration(value)
    except Mismatch as mismatch:
        raise click.BadParameter(f"found {value!r}, expected {mismatch}") from None
