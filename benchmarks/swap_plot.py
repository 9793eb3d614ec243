"""Draw finished figures of swapping guests beside those that others have published.

    python -m benchmarks.swap_plot

Writes docs/swap-guest.png and docs/swap-apps.png.  Needs matplotlib, the extra `plot`.
"""

from typing import Any

from benchmarks.apps.tables import APPLICATIONS
from benchmarks.guest.tables import ANCESTOR_SECONDS, SIZES
from benchmarks.swap_page import FIGURES, PICTURES
from benchmarks.swapping.cells import Cell, Cells
from benchmarks.swapping.settings import ENOUGH, SETTINGS
from benchmarks.swapping.tables import slowdown

# Infiniswap's, of applications with half their memory.
REFERENCE = (1.03, 1.5)


def main() -> None:
    """Draw what has figures."""
    import matplotlib as mpl  # noqa: PLC0415  an extra: only who draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  likewise

    for name, draw in (("guest", draw_build), ("apps", draw_apps)):
        if FIGURES[name].exists():
            figure, axes = plt.subplots(1, 2, figsize=(13, 5), squeeze=False)
            draw(Cells.load(FIGURES[name]), *axes[0])
            figure.tight_layout()
            figure.savefig(PICTURES[name], dpi=100)


def draw_build(cells: Cells, ours: Any, ancestor: Any) -> None:
    """Seconds by N: ours, and the ancestor's."""
    for setting in SETTINGS:
        points = [(size, cells.median(Cell(setting.name, size), "seconds")) for size in SIZES]
        done = [(size, seconds) for size, seconds in points if seconds is not None]
        ours.plot(*zip(*done, strict=True) if done else ([], []), marker="o", label=setting.title)
    ours.set(
        title="here: twelve files, TCG", xlabel="N", ylabel="seconds of make -jN", yscale="log"
    )
    for title, points in ANCESTOR_SECONDS.items():
        ancestor.plot(*zip(*points, strict=True), marker="o", label=title)
    ancestor.set(title="2012: a kernel, 1 GB", xlabel="N", yscale="log")
    for axes in (ours, ancestor):
        axes.legend()
        axes.grid(visible=True, which="both", alpha=0.4)


def draw_apps(cells: Cells, *both: Any) -> None:
    """Slowdowns by setting, one picture for each application."""
    settings = [each for each in SETTINGS if each is not ENOUGH]
    for axes, (name, title) in zip(both, APPLICATIONS.items(), strict=True):
        ratios = [slowdown(cells, each.name, name, "seconds") for each in settings]
        bars = axes.barh([each.title for each in settings], [each or 0 for each in ratios])
        labels = ["no result" if each is None else f"{each:.2f}x" for each in ratios]
        axes.bar_label(bars, labels, padding=3)
        axes.axvspan(*REFERENCE, alpha=0.2, label="Infiniswap, others' applications")
        axes.set(title=title, xlabel="seconds, by those with enough memory")
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.legend()


if __name__ == "__main__":
    main()
