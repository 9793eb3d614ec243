"""Membership by the size of the cluster: traffic of a node, time to detect a dead one, false alarms.

    python -m benchmarks.heartbeat [--quick]
    python -m benchmarks.heartbeat_plot docs/swim.png       (needs the extra `plot`)

The real machines on a virtual clock (`benchmarks.membership`), with 1 % of the datagrams lost: how many nodes
this machine can run has no part in it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import harness
from benchmarks.harness import Options, at_most
from benchmarks.membership import Membership
from heartbeat.knobs import PLAIN_SWIM, Knobs
from nodemanager.ids import NodeId
from nodemanager.states import NodeState

SIZES = (8, 32, 128, 512)
SETTLE_SECONDS = 40.0
STEADY_SECONDS = 20.0
DETECT_SECONDS = 60.0
LOSS_FRACTION = 0.01
SEEDS = (1, 2, 3)
SLOW_NODES, SLOW_SECONDS, SLOW_SEEDS = 16, 120.0, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    nodes: int
    datagrams_per_second: float  # sent by one node
    bytes_per_second: float  # UDP payload
    first_seconds: float  # from the death to the first node that judges it down, median of the runs
    last_seconds: float  # to the last, worst of the runs
    false_suspects: int  # judgements of living nodes, in all runs
    false_downs: int


@dataclass(frozen=True, slots=True)
class Run:
    """What one seed showed."""

    datagrams: int  # sent by all while nothing happened
    bytes: int
    first_seconds: float
    last_seconds: float
    false_suspects: int
    false_downs: int


def measure(nodes: int, seeds: Sequence[int] = SEEDS) -> Row:
    """Run one size of cluster."""
    runs = [run_once(nodes, seed) for seed in seeds]
    node_seconds = nodes * STEADY_SECONDS * len(runs)
    return Row(
        nodes=nodes,
        datagrams_per_second=sum(run.datagrams for run in runs) / node_seconds,
        bytes_per_second=sum(run.bytes for run in runs) / node_seconds,
        first_seconds=statistics.median(run.first_seconds for run in runs),
        last_seconds=max(run.last_seconds for run in runs),
        false_suspects=sum(run.false_suspects for run in runs),
        false_downs=sum(run.false_downs for run in runs),
    )


def run_once(nodes: int, seed: int) -> Run:
    """Settle, count, kill a node, wait."""
    cluster = Membership(nodes, seed)
    cluster.loss_fraction = LOSS_FRACTION
    cluster.run_until(SETTLE_SECONDS)
    before = _sent(cluster)
    died_at = SETTLE_SECONDS + STEADY_SECONDS
    cluster.run_until(died_at)
    after = _sent(cluster)
    dead = NodeId(1)
    cluster.nodes[dead].is_dead = True
    cluster.run_until(died_at + DETECT_SECONDS)
    downs = cluster.downs_of(dead, died_at)
    assert cluster.believed(dead, NodeState.DOWN) == nodes - 1, "not everybody noticed"
    false = [
        verdict.state
        for at, _, verdict in cluster.verdicts
        if verdict.incarnation is not None and (verdict.node != dead or at < died_at)
    ]
    return Run(
        datagrams=after[0] - before[0],
        bytes=after[1] - before[1],
        first_seconds=downs[0] - died_at,
        last_seconds=downs[-1] - died_at,
        false_suspects=false.count(NodeState.SUSPECT),
        false_downs=false.count(NodeState.DOWN),
    )


def count_false(knobs: Knobs | None) -> tuple[int, int]:
    """Return how often healthy nodes were called suspect, and down, while one node was slow."""
    suspects = downs = 0
    for seed in range(SLOW_SEEDS):
        cluster = Membership(SLOW_NODES, seed, knobs=knobs)
        cluster.run_until(SETTLE_SECONDS)
        cluster.nodes[NodeId(0)].is_slow = True
        cluster.run_until(SETTLE_SECONDS + SLOW_SECONDS)
        for at, _, verdict in cluster.verdicts:
            if at > SETTLE_SECONDS and verdict.node != 0:
                suspects += verdict.state is NodeState.SUSPECT
                downs += verdict.state is NodeState.DOWN
    return suspects, downs


def _sent(cluster: Membership) -> tuple[int, int]:
    nodes = cluster.nodes.values()
    return sum(node.sent_datagrams for node in nodes), sum(node.sent_bytes for node in nodes)


def run(options: Options) -> None:
    """Print a line for each size, and the comparison with a slow node."""
    at_eight = None
    for size in SIZES[:2] if options.is_quick else SIZES:
        row = measure(size, SEEDS[:1] if options.is_quick else SEEDS)
        at_eight = at_eight or row.bytes_per_second
        harness.print_figure(
            f"{size} nodes: {row.datagrams_per_second:.1f} datagrams/s, {row.bytes_per_second:,.0f} B/s; "
            f"down after {row.first_seconds:.1f} to {row.last_seconds:.1f} s; "
            f"{row.false_suspects} false suspects, {row.false_downs} false downs; bytes of 8 nodes'",
            row.bytes_per_second / at_eight,
            "x",
            at_most(1.1),
        )
    for name, knobs in (("Lifeguard", None), ("plain SWIM", PLAIN_SWIM)):
        suspects, downs = count_false(knobs)
        print(f"  one slow of {SLOW_NODES}, {name}: healthy nodes suspect {suspects}, down {downs}")


if __name__ == "__main__":
    harness.run_main({"heartbeat": run}, __doc__)
