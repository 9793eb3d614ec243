"""One line of `ramsterctl status`: a label, and what it is of.  Pure."""

from typing import Final

# Of the longest label but for names of nodes and exports.
LABEL_WIDTH: Final = 14


def line(label: str, text: str) -> str:
    """Return the line."""
    return f"{label:<{LABEL_WIDTH}} {text}"
