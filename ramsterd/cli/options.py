"""Options that several commands have."""

from pathlib import Path
from typing import Final

import click

DEFAULT_CONFIG: Final = Path("/etc/ramster/ramsterd.toml")
CONFIG_OPTION: Final = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The file of this node, ramsterd.toml.",
)
