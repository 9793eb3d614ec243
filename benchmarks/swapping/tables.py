"""Tables of finished cells, as Markdown."""

from collections.abc import Sequence

from benchmarks.swapping.cells import Cell, Cells
from benchmarks.swapping.guest import Outcome
from benchmarks.swapping.settings import ENOUGH, SETTINGS

NOT_RUN = "-"


def row(*words: str) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(words)} |"


def by_setting(
    cells: Cells,
    size_title: str,
    sizes: Sequence[int],
    figure: str,
    form: str,
    *,
    has_baseline: bool = True,
) -> list[str]:
    """Return a table with a row for each size and a column for each setting."""
    settings = [each for each in SETTINGS if has_baseline or each is not ENOUGH]
    lines = [
        row(size_title, *(each.title for each in settings)),
        row(*["---"] * (len(settings) + 1)),
    ]
    measured = {cell.size for cell in cells.runs}
    for size in (each for each in sizes if each in measured):
        values = [value_of(cells, Cell(each.name, size), figure, form) for each in settings]
        lines.append(row(str(size), *values))
    return lines


def value_of(cells: Cells, cell: Cell, figure: str, form: str) -> str:
    """Return a figure of a cell, or how its setting failed at this size or at a smaller one."""
    failure = cells.failure(cell)
    if failure is not None:
        return failure_of(cells, failure)
    value = cells.median(cell, figure)
    if value is not None:
        return form.format(value)
    return NOT_RUN


def failure_of(cells: Cells, failure: Outcome) -> str:
    """Return a failure in words."""
    if failure is Outcome.TOO_SLOW:
        return f"over {cells.parameters['seconds_max']}"
    return str(failure)


def slowdown(cells: Cells, setting: str, size: int | str, figure: str) -> float | None:
    """Return how often a figure of enough memory fits in that of a setting."""
    enough = cells.median(Cell(ENOUGH.name, size), figure)
    ours = cells.median(Cell(setting, size), figure)
    return None if not enough or ours is None else ours / enough
