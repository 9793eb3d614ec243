"""One of five nodes gets next to no CPU: what do the others believe of it, and it of them?

    python -m benchmarks.starvation [--seconds 60] [--save FILE]      real daemons, then their schedule in simulation
    python -m benchmarks.starvation --replay FILE                     the simulation alone

Real daemons on loopback run with the default timers.  One shares a core with busy loops at the lowest priority
(`benchmarks.starving`), and when it had to wait is recorded.  The simulation (`benchmarks.membership`) then pauses a
node by that schedule, over some seeds: with Lifeguard and without, with what links bring and by datagrams alone.
A paused node handles nothing; between two waits it handles as many datagrams and frames as the real one had time
for, by what a healthy daemon used for each.  Prints the table as Markdown.
"""

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks import harness, processes
from benchmarks.membership import Membership
from benchmarks.processes import MIB, Daemon, Node
from benchmarks.starving import Recorder, Wait, starved
from benchmarks.verdicts import Belief, Tally, tally
from heartbeat.knobs import PLAIN_SWIM, Knobs
from nodemanager.ids import NodeId
from nodemanager.states import NodeState

NODES = 5
STARVED = NODES
SECONDS = 60.0
# Busy loops beside it, each number for a third of the time: waits of about 2, 4 and 8 seconds.
LOOPS = (4, 8, 16)
SETTLE_SECONDS = 20.0
# After the stress, until everybody should be up again.
RECOVERY_SECONDS = 60.0
SEEDS = 20
_VERDICT = re.compile(
    r"^(\S+ \S+) DEBUG +ramster\.heartbeat: node n(\d+) is (up|suspect|down):", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a node ran, and how much."""

    waits: Sequence[Wait]
    # Processor time of a healthy daemon, all that it does, for each datagram and frame that reaches it.
    item_seconds: float

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        waits = [
            [round(wait.begin, 3), round(wait.end, 3), round(wait.ran_seconds, 5)]
            for wait in self.waits
        ]
        path.write_text(json.dumps({"item_seconds": self.item_seconds, "waits": waits}) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Schedule":
        """Read what `save` wrote."""
        saved = json.loads(path.read_text())
        return cls([Wait(*wait) for wait in saved["waits"]], saved["item_seconds"])

    def __str__(self) -> str:
        lengths = sorted(wait.end - wait.begin for wait in self.waits)
        if not lengths:
            return "it never had to wait"
        ran = sum(wait.ran_seconds for wait in self.waits)
        return (
            f"{len(lengths)} waits, median {lengths[len(lengths) // 2]:.1f} s, longest {lengths[-1]:.1f} s,"
            f" {sum(lengths):.0f} s in all; between them it ran for {ran * 1000:.0f} ms;"
            f" {self.item_seconds * 1000:.2f} ms for each arrival"
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    runs: int
    healthy: Tally
    starved: Tally


def beliefs_of(judge: int, log: str) -> list[Belief]:
    """Return what a daemon's log says that it believed."""
    return [
        Belief(
            datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").timestamp(),  # noqa: DTZ007  local, as logged
            judge,
            int(node),
            NodeState(state),
        )
        for at, node, state in _VERDICT.findall(log)
    ]


def summary(name: str, runs: Sequence[tuple[list[Belief], float]], starved_node: int) -> Row:
    """Sum up some runs, each with its end."""
    return Row(
        name,
        len(runs),
        _sum([tally(beliefs, lambda b: b.node != starved_node, end=end) for beliefs, end in runs]),
        _sum([tally(beliefs, lambda b: b.node == starved_node, end=end) for beliefs, end in runs]),
    )


def _sum(tallies: Sequence[Tally]) -> Tally:
    return Tally(
        suspects=sum(each.suspects for each in tallies),
        downs=sum(each.downs for each in tallies),
        refuted=sum(each.refuted for each in tallies),
        down_seconds=sum(each.down_seconds for each in tallies),
        longest_seconds=max(each.longest_seconds for each in tallies),
    )


# Real daemons.


def run_real(seconds: float) -> tuple[Row, Schedule]:
    """Starve one of five daemons."""
    nodes = [Node(number, 4 * MIB, heartbeat_log_level="debug") for number in range(1, NODES + 1)]
    with harness.temp_dir() as folder, ExitStack() as stack:
        daemons = stack.enter_context(processes.cluster(folder, nodes))
        began = time.time()
        recorder = Recorder(daemons[STARVED - 1].pid)
        healthy = daemons[0]
        used, arrived = processes.processor_seconds(healthy.pid), count_arrivals(healthy)
        for third, loops in enumerate(LOOPS, start=1):
            with starved(daemons[STARVED - 1].pid, loops=loops):
                while recorder.seconds < seconds * third / len(LOOPS):
                    recorder.sample()
        waits = recorder.waits()
        used = processes.processor_seconds(healthy.pid) - used
        arrived = count_arrivals(healthy) - arrived
        processes.wait_until(
            lambda: all(is_everyone_up(daemon) for daemon in daemons),
            "everybody is up again",
            RECOVERY_SECONDS,
        )
        beliefs = [
            belief
            for daemon in daemons
            for belief in beliefs_of(
                daemon.node.number, (folder / f"log{daemon.node.number}").read_text()
            )
            if belief.at >= began
        ]
        row = summary("real daemons, Lifeguard", [(beliefs, time.time())], STARVED)
        return row, Schedule(waits, round(used / arrived, 6))


def count_arrivals(daemon: Daemon) -> int:
    """Return how many datagrams and frames have reached a daemon."""
    status = daemon.status()
    frames = [link["frames_received_total"] for link in status["links"].values()]
    arrived: int = status["heartbeat"]["received_datagrams_total"] + sum(frames)
    return arrived


def is_everyone_up(daemon: Daemon) -> bool:
    """Whether a daemon believes that all others are up."""
    nodes: dict[str, int] = daemon.status()["heartbeat"]["detector"]["members"]
    return nodes["up"] == NODES - 1


# The same schedule on a virtual clock.


def run_simulated(
    name: str, schedule: Schedule, *, knobs: Knobs | None, has_links: bool, seeds: int = SEEDS
) -> Row:
    """Pause one of five simulated nodes whenever the real one had to wait."""
    runs = [replay(schedule, seed, knobs=knobs, has_links=has_links) for seed in range(seeds)]
    return summary(name, runs, STARVED - 1)


def replay(
    schedule: Schedule, seed: int, *, knobs: Knobs | None, has_links: bool
) -> tuple[list[Belief], float]:
    """Return what was believed in one run, and when it ended."""
    cluster = Membership(NODES, seed, knobs=knobs, has_links=has_links)
    cluster.run_until(SETTLE_SECONDS)
    for wait in schedule.waits:
        cluster.run_until(SETTLE_SECONDS + wait.begin)
        cluster.pause(STARVED - 1)
        cluster.run_until(SETTLE_SECONDS + wait.end)
        cluster.resume(STARVED - 1, items=math.ceil(wait.ran_seconds / schedule.item_seconds))
    cluster.resume(STARVED - 1)
    cluster.run_until(cluster.now + RECOVERY_SECONDS)
    assert all(
        cluster.believed(NodeId(node), NodeState.UP) == NODES - 1 for node in range(NODES)
    ), "somebody stayed down"
    beliefs = [
        Belief(at, judge, verdict.node, verdict.state)
        for at, judge, verdict in cluster.verdicts
        if at >= SETTLE_SECONDS
    ]
    return beliefs, cluster.now


def rows_simulated(schedule: Schedule, seeds: int = SEEDS) -> list[Row]:
    """Run all four simulations."""
    return [
        run_simulated(
            f"simulation, {how}, {paths}", schedule, knobs=knobs, has_links=has_links, seeds=seeds
        )
        for has_links, paths in ((True, "datagrams and links"), (False, "datagrams alone"))
        for how, knobs in (("Lifeguard", None), ("plain SWIM", PLAIN_SWIM))
    ]


# Printing.


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, all figures for one run."""
    lines = [
        "| | healthy: suspect | down | seconds down | starved: suspect | down | seconds down | longest |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [row.name]
        for each in (row.healthy, row.starved):
            cells += [f"{value / row.runs:.3g}" for value in (each.suspects, each.downs)]
            cells.append(f"{each.down_seconds / row.runs:.1f}")
        longest = max(row.healthy.longest_seconds, row.starved.longest_seconds)
        lines.append(f"| {' | '.join([*cells, f'{longest:.1f}'])} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Be the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long to starve it")
    parser.add_argument("--save", type=Path, help="write the schedule there")
    parser.add_argument("--replay", type=Path, help="read a schedule instead of starving anybody")
    chosen = parser.parse_args(argv)
    rows: list[Row] = []
    if chosen.replay is None:
        print("\n".join(harness.machine_lines()))
        print(f"{NODES} nodes, one at priority 19 beside {LOOPS} busy loops on its core, in turn")
        row, schedule = run_real(chosen.seconds)
        rows.append(row)
    else:
        schedule = Schedule.load(chosen.replay)
    if chosen.save is not None:
        schedule.save(chosen.save)
    print(f"the schedule: {schedule}")
    rows += rows_simulated(schedule)
    print(f"\n{table(rows)}")
    unrefuted = sum(row.healthy.downs + row.starved.downs for row in rows) - sum(
        row.healthy.refuted + row.starved.refuted for row in rows
    )
    print(f'\nverdicts "down" that were not refuted: {unrefuted}')
    sys.exit(1 if unrefuted else 0)


if __name__ == "__main__":
    main()
