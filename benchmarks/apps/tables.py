"""Slowdowns against enough memory, beside those that others have published."""

from benchmarks.swapping.cells import Cell, Cells
from benchmarks.swapping.settings import ENOUGH, SETTINGS
from benchmarks.swapping.tables import NOT_RUN, row, slowdown, value_of

APPLICATIONS = {"redis": "redis, Zipf 0.99", "sort": "sort (a scan)"}
# Gu et al., "Efficient Memory Disaggregation with Infiniswap", NSDI 2017: applications with half their memory.
REFERENCES = (
    ("Infiniswap (RDMA)", "1.03-1.5"),
    ("nbdX (RDMA)", "1.3-3"),
    ("disk", "4-24"),
)


def markdown(cells: Cells) -> list[str]:
    """Return the table of ours."""
    names = list(APPLICATIONS)
    lines = [
        row("swap", *(f"{APPLICATIONS[each]}: slowdown | seconds" for each in names), "redis GET and SET: p50, p99 ms"),
        row(*["---"] * (2 * len(names) + 2)),
    ]  # fmt: skip
    for setting in SETTINGS:
        words = [setting.title]
        for name in names:
            words += [_slowdown(cells, Cell(setting.name, name)), value_of(cells, Cell(setting.name, name), "seconds", "{:.1f}")]  # fmt: skip
        lines.append(row(*words, _latency(cells, Cell(setting.name, "redis"))))
    return lines


def reference_markdown() -> list[str]:
    """Return the slowdowns of others."""
    return [
        row("swap", "slowdown"),
        row("---", "---"),
        *(row(name, f"{times}x") for name, times in REFERENCES),
    ]


def _slowdown(cells: Cells, cell: Cell) -> str:
    ratio = slowdown(cells, cell.setting, cell.size, "seconds")
    if ratio is None or cell.setting == ENOUGH.name:
        return NOT_RUN
    return f"{ratio:.2f}x"


def _latency(cells: Cells, cell: Cell) -> str:
    p50, p99 = cells.median(cell, "p50_us"), cells.median(cell, "p99_us")
    return NOT_RUN if p50 is None or p99 is None else f"{p50 / 1000:.1f}, {p99 / 1000:.1f}"
