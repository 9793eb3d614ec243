"""Draw the history of the suite: a picture for each work, with every contestant over the runs that were kept.

    python -m benchmarks.history_plot [--from benchmarks/history.jsonl] [--to docs/benchmarks.png]

Quick runs don't count.  A point is the median of a run, a bar goes from its smallest round to its largest.  Runs of
several machines are drawn in the order in which they were kept; a line that is broken goes on with another machine.
Needs matplotlib, the extra `plot`.
"""

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.suite import history

PICTURE = ROOT / "docs/benchmarks.png"
COLUMNS = 3
LABELS_MAX = 5


@dataclass(frozen=True, slots=True)
class Point:
    """One run of one contestant."""

    run: int
    machine: str
    smallest: float
    median: float
    largest: float


@dataclass(frozen=True, slots=True)
class Series:
    """All runs of a work, by contestant."""

    title: str
    unit: str
    points: dict[str, list[Point]] = field(default_factory=dict)


def series_of(records: Iterable[dict[str, Any]]) -> list[Series]:
    """Return a series for each work that was ever measured, in the order of their first runs."""
    found: dict[str, Series] = {}
    for run, record in enumerate(records):
        for row in record["rows"]:
            title = f"{row['scene']}: {row['work']}"
            series = found.setdefault(title, Series(title, row["unit"]))
            for who, values in row["rounds"].items():
                point = Point(run, record["machine"], min(values), row["medians"][who], max(values))
                series.points.setdefault(who, []).append(point)
    return list(found.values())


def by_machine(points: Sequence[Point]) -> list[list[Point]]:
    """Return runs on end of one machine together."""
    parts: list[list[Point]] = []
    for point in points:
        if not parts or parts[-1][-1].machine != point.machine:
            parts.append([])
        parts[-1].append(point)
    return parts


def draw(series: Series, runs: Sequence[str], axes: Any) -> None:
    """Draw one work over all runs, which are named by their revisions where there is room."""
    for color, (who, points) in enumerate(series.points.items()):
        for number, part in enumerate(by_machine(points)):
            medians = [each.median for each in part]
            below = [each.median - each.smallest for each in part]
            above = [each.largest - each.median for each in part]
            axes.errorbar(
                [each.run for each in part], medians, yerr=(below, above), color=f"C{color}",
                marker="o", capsize=3, label=who if number == 0 else None,
            )  # fmt: skip
    axes.set_title(series.title, fontsize=9)
    axes.set(ylabel=series.unit, ylim=(0, None))
    axes.set_xlim(-0.5, len(runs) - 0.5)
    step = math.ceil(len(runs) / LABELS_MAX)
    axes.set_xticks(range(0, len(runs), step), runs[::step], fontsize=7)
    axes.grid(visible=True, alpha=0.4)
    axes.legend(fontsize=7)


def main() -> None:
    """Draw what was kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="source", type=Path, default=history.HISTORY)
    parser.add_argument("--to", type=Path, default=PICTURE)
    chosen = parser.parse_args()
    import matplotlib as mpl  # noqa: PLC0415  an extra: only who draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  likewise

    records = [each for each in history.load(chosen.source) if not each["is_quick"]]
    everything, runs = series_of(records), [each["revision"][:8] for each in records]
    if not everything:
        parser.exit(1, f"no run in {chosen.source} to draw\n")
    lines = math.ceil(len(everything) / COLUMNS)
    figure, all_axes = plt.subplots(lines, COLUMNS, figsize=(14, 3.2 * lines), squeeze=False)
    for axes in all_axes.flat[len(everything) :]:
        axes.set_axis_off()
    for series, axes in zip(everything, all_axes.flat, strict=False):
        draw(series, runs, axes)
    figure.tight_layout()
    figure.savefig(chosen.to, dpi=70)
    plt.close(figure)


if __name__ == "__main__":
    main()
