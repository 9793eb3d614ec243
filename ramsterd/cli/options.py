"""Options that several commands have."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

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


def one_of(values: Iterable[str], noun: str) -> dict[str, Any]:
    """Return what an option or an argument has whose values are all known, in either case.

    An unknown one is refused with the nearest as it is written everywhere else, and if there is
    none with all.

    Args:
        values: As they are written everywhere else.
        noun: What one of them is called.
    """
    known = {value.lower(): value for value in values}

    def find(found: str) -> str:
        if (value := known.get(found.lower())) is not None:
            return value
        near = difflib.get_close_matches(found.lower(), known, n=1)
        expected = (
            f"{known[near[0]]} (the nearest {noun})"
            if near
            else f"one of {', '.join(known.values())}"
        )
        raise click.BadParameter(f"found {found!r}, expected {expected}")

    def read(
        _: click.Context, __: click.Parameter, found: str | tuple[str, ...] | None
    ) -> str | tuple[str, ...] | None:
        if found is None:
            return None
        return find(found) if isinstance(found, str) else tuple(map(find, found))

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        return [value for key, value in known.items() if key.startswith(incomplete.lower())]

    return {"callback": read, "shell_complete": complete}


def to_seconds(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Read the value of an option that is a duration, such as 10m: for `callback`.

    Raises:
        BadParameter: It is none.
    """
    try:
        return None if value is None else parse_duration(value)
    except Mismatch as mismatch:
        raise click.BadParameter(f"found {value!r}, expected {mismatch}") from None
