"""The daemon: wires everything and owns the page path."""

from typing import Final

__version__: Final = "0.1.0"
