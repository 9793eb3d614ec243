"""Draw what a page costs by the number of pages, from the figures of `benchmarks.scale --out`.

    python -m benchmarks.scale_plot [benchmarks/scale.json] [docs/scale.png]

Needs matplotlib, the extra `plot`.
"""

import argparse
import json
from pathlib import Path

FIGURES = Path(__file__).with_name("scale.json")
PICTURE = Path(__file__).parent.parent / "docs" / "scale.png"


def main() -> None:
    """Draw time a page, and longest passes, by the number of pages."""
    import matplotlib as mpl  # noqa: PLC0415  an extra: only who draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  likewise

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path, nargs="?", default=FIGURES)
    parser.add_argument("picture", type=Path, nargs="?", default=PICTURE)
    given = parser.parse_args()
    sizes = json.loads(given.figures.read_text())
    figure, (times, passes) = plt.subplots(1, 2, figsize=(13, 5))
    for name in sizes[0]["works"]:
        rows = [(each["pages"], each["works"][name]) for each in sizes]
        pages = [count for count, _ in rows]
        times.plot(pages, [row["microseconds"] for _, row in rows], marker="o", label=name)
        if "milliseconds" in rows[0][1]:
            passes.plot(pages, [row["milliseconds"] for _, row in rows], marker="o", label=name)
    times.set(title="processor time of a page, all nodes", ylabel="microseconds", yscale="log")
    passes.set(title="longest pass of the event loop", ylabel="milliseconds")
    passes.axhline(20, linestyle="--", color="grey")
    for axes in (times, passes):
        axes.set(xlabel="pages", xscale="log")
        axes.grid(visible=True, which="both", alpha=0.4)
        axes.legend()
    figure.tight_layout()
    figure.savefig(given.picture, dpi=100)


if __name__ == "__main__":
    main()
