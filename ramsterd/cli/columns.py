"""Tables for people: columns, some of them only with `-o wide`, as wide as what stands in them.  Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ramsterd.cli.colour import paint

Row = Mapping[str, Any]
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its head, and what stands in it for a row."""

    head: str
    text_of: Callable[[Row], str]
    # Numbers stand below each other by their last digit.
    is_right: bool = False
    is_wide: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)


def format_table(
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    is_wide: bool = False,
    nodes: Sequence[str] = (),
) -> str:
    """Return the head and one line a row; `nodes` are the nodes that said the rows, if several were asked."""
    shown = [column for column in columns if is_wide or not column.is_wide]
    cells = [[column.text_of(row) for column in shown] for row in rows]
    if nodes:
        shown = [Column("NODE", lambda _: ""), *shown]
        cells = [[node, *line] for node, line in zip(nodes, cells, strict=True)]
    widths = [
        max(len(column.head), *(len(line[i]) for line in cells), 0)
        for i, column in enumerate(shown)
    ]
    # Nothing stands behind the last one, so it needs no blanks.
    widths[-1] = widths[-1] if shown[-1].is_right else 0
    head = [_fit(column.head, column, width) for column, width in zip(shown, widths, strict=True)]
    lines = [_GAP.join(head)]
    for line in cells:
        fitted = [
            paint(_fit(text, column, width), column.colours)
            for text, column, width in zip(line, shown, widths, strict=True)
        ]
        lines.append(_GAP.join(fitted).rstrip())
    return "\n".join(lines)


def _fit(text: str, column: Column, width: int) -> str:
    return text.rjust(width) if column.is_right else text.ljust(width)
