"""Draw the dashboard from a real Prometheus that watched three real daemons for a minute under load.

    python -m benchmarks.monitoring_plot docs/dashboard.png [--seconds 60]

Grafana is not needed: the panels and their queries are those of the dashboard (`packages.monitoring.panels`).  After two
thirds of the time a node is ended, so that there is something to see.  Rates are of 15 seconds, not of five minutes.
Needs prometheus, and matplotlib, the extra `plot`.
"""

import argparse
import io
import math
import os
import random
import re
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pages import PAGE_BYTES, real_pages
from benchmarks.processes import EXPORT, MIB, Daemon, Node, cluster, free_port
from packages.monitoring.panels import CURVES, NUMBERS, Panel
from ramsterd.client.nbd import NbdClient
from tests.helpers.prometheus import Prometheus, prometheus

NODES_COUNT = 3
# Of the first node; all others have room for both copies of what leaves it.
BUDGET_BYTES = 24 * MIB
PEER_BUDGET_BYTES = 128 * MIB
# About thrice what the first one has room for.
PAGES_COUNT = 6 * BUDGET_BYTES // PAGE_BYTES
INTERVAL = "1s"
WINDOW = "15s"
# Requests of 16 KiB, as a kernel swaps in; so many of three are reads.
REQUEST_PAGES = 4
READS_OF_THREE = 2
COLUMNS = 3
# Legends of more curves cover them.
LEGEND_MAX = 9
UNITS = {
    "percentunit": "part",
    "bytes": "bytes",
    "s": "seconds",
    "Bps": "bytes/s",
    "ops": "pages/s",
}


def main() -> None:
    """Watch, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    ports = [free_port() for _ in range(NODES_COUNT + 1)]
    nodes = [
        Node(
            number, BUDGET_BYTES if number == 1 else PEER_BUDGET_BYTES,
            export_bytes=PAGES_COUNT * PAGE_BYTES, remote="copies = 2",
            export=f'[metrics]\nlisten = "127.0.0.1:{ports[number]}"',
        )
        for number in range(1, NODES_COUNT + 1)
    ]  # fmt: skip
    targets = {f"n{node.number}": ports[node.number] for node in nodes}
    with tempfile.TemporaryDirectory(prefix="ram-") as name:
        folder = Path(name)
        watching = prometheus(folder, ports[0], targets, interval=INTERVAL, window=WINDOW)
        with cluster(folder, nodes) as daemons, watching as server:
            began_at = time.time()
            work(daemons, given.seconds)
            draw(server, began_at, time.time(), given.target)


def work(daemons: list[Daemon], seconds: int) -> None:
    """Read and write at random on the first node; end the last one after two thirds of the time."""
    rng = random.Random(1)
    pages = real_pages(256)
    end = time.monotonic() + seconds
    fault_at = end - seconds / 3
    is_whole = True
    with NbdClient.connect(daemons[0].nbd_socket, EXPORT) as client:
        while (now := time.monotonic()) < end:
            if is_whole and now > fault_at:
                is_whole = False
                os.kill(daemons[-1].pid, signal.SIGKILL)
            offset = rng.randrange(PAGES_COUNT - REQUEST_PAGES) * PAGE_BYTES
            if rng.randrange(3) < READS_OF_THREE:
                client.read(offset, REQUEST_PAGES * PAGE_BYTES)
            else:
                client.write(offset, b"".join(rng.choices(pages, k=REQUEST_PAGES)))


def draw(server: Prometheus, start: float, end: float, target: Path) -> None:
    """Draw every panel of the dashboard."""
    import matplotlib as mpl  # noqa: PLC0415  an extra: only who draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  likewise
    from PIL import Image  # noqa: PLC0415  comes with it

    rows = -(-len(CURVES) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(16, 3.2 * rows), squeeze=False)
    for axes, panel in zip(grid.flat, CURVES, strict=False):
        draw_panel(axes, panel, server, start, end)
    numbers = "    ".join(f"{panel.title}: {number(server, panel)}" for panel in NUMBERS)
    figure.suptitle(numbers, fontsize=11)
    figure.tight_layout()
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=70)
    # A palette takes a third of the bytes.
    Image.open(drawn).convert("RGB").quantize(64).save(target, optimize=True)


def draw_panel(axes: Any, panel: Panel, server: Prometheus, start: float, end: float) -> None:
    """Draw one panel as Grafana would, with small means."""
    curves = [
        (legend(query.legend, found["metric"]), points(found["values"], start))
        for query in panel.queries
        for found in server.query_range(query.expr, start, end, 1)
    ]
    # A quantile of nothing is no number.
    curves = [(name, values) for name, values in curves if values]
    if panel.is_stacked:
        seconds = sorted({at for _, values in curves for at, _ in values})
        heights = [[dict(values).get(at, 0.0) for at in seconds] for _, values in curves]
        axes.stackplot(seconds, heights, labels=[name for name, _ in curves], alpha=0.7)
    else:
        for name, values in curves:
            axes.plot(*zip(*values, strict=True), label=name, linewidth=1.2)
    axes.set_title(panel.title, fontsize=10)
    axes.set_ylabel(UNITS.get(panel.unit, ""), fontsize=8)
    axes.set_xlim(0, end - start)
    if panel.unit == "s" and any(value > 0 for _, values in curves for _, value in values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, alpha=0.3)
    if 0 < len(curves) <= LEGEND_MAX:
        axes.legend(fontsize=6, loc="upper left")


def number(server: Prometheus, panel: Panel) -> str:
    """Return what a panel with one number says now."""
    found = [each for query in panel.queries for each in server.query(query.expr)]
    if not found:
        return "no data"
    value = float(found[0]["value"][1])
    return f"{value:.0%}" if panel.unit == "percentunit" else f"{value:,.0f}"


def legend(text: str, labels: dict[str, str]) -> str:
    """Return a legend as Grafana writes it."""
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), text)


def points(values: list[tuple[float, str]], start: float) -> list[tuple[float, float]]:
    """Return seconds since the start, and numbers."""
    return [(at - start, float(value)) for at, value in values if math.isfinite(float(value))]


if __name__ == "__main__":
    main()
