"""Draw what `benchmarks.heartbeat` measures by the size of the cluster: traffic, time to detect, false alarms.

    python -m benchmarks.heartbeat_plot docs/swim.png

Needs matplotlib, the extra `plot`; nothing else in this repository does.  Prints the table as Markdown.
"""

import sys
from pathlib import Path

from benchmarks.heartbeat import SIZES, measure


def main(target: Path) -> None:
    """Measure every size, print the table and write the picture."""
    import matplotlib as mpl  # noqa: PLC0415  an extra: only who draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  likewise

    rows = []
    print(
        "| nodes | datagrams/s | bytes/s | first down, s | last down, s | false suspects | false downs |",
        flush=True,
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in SIZES:
        row = measure(size)
        rows.append(row)
        print(
            f"| {row.nodes} | {row.datagrams_per_second:.1f} | {row.bytes_per_second:.0f} "
            f"| {row.first_seconds:.1f} | {row.last_seconds:.1f} "
            f"| {row.false_suspects} | {row.false_downs} |",
            flush=True,
        )
    nodes = [row.nodes for row in rows]
    figure, (traffic, detection, alarms) = plt.subplots(1, 3, figsize=(13, 4))
    traffic.plot(nodes, [row.bytes_per_second for row in rows], marker="o")
    traffic.set(xscale="log", xlabel="nodes", ylabel="bytes/s sent by one node", ylim=(0, None))
    detection.plot(nodes, [row.first_seconds for row in rows], marker="o", label="first node")
    detection.plot(nodes, [row.last_seconds for row in rows], marker="s", label="last node")
    detection.set(xscale="log", xlabel="nodes", ylabel="seconds until down", ylim=(0, None))
    detection.legend()
    alarms.plot(nodes, [row.false_suspects for row in rows], marker="o", label="suspect")
    alarms.plot(nodes, [row.false_downs for row in rows], marker="s", label="down")
    alarms.set(xscale="log", xlabel="nodes", ylabel="living nodes called so", ylim=(-0.5, None))
    alarms.legend()
    for axes in (traffic, detection, alarms):
        axes.set_xticks(nodes, [str(node) for node in nodes])
        axes.minorticks_off()
        axes.grid(visible=True)
    figure.tight_layout()
    figure.savefig(target, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
