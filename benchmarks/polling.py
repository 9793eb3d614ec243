"""What polling before a sleep gains and costs: the same daemons with other windows, in turn.

    python -m benchmarks.polling [--rounds 5] [--quick]

Of each window there are two nodes, of which the first has nearly all of its pages at the second, and one that has all
pages itself.  Latency is measured with all servers on one core and the client on another, and like throughput
anywhere.  A fetch by daemons of one core can't come while one of them polls: there polling must cost little.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import fio, harness
from benchmarks.harness import Bar, Options, at_least, at_most
from benchmarks.processes import MIB, Daemon, Node, apart, cluster, processor_seconds

# Microseconds; the first is never.
WINDOWS = (0, 50, 100, 200)
EXPORT_BYTES = 64 * MIB
BUDGET_BYTES_MIN = 2 * MIB
IDLE_SECONDS = 10.0
# Two windows in turn: what is no worse than this is alike.
ALIKE = 1.05


@dataclass(frozen=True, slots=True)
class Servers:
    """The daemons of one window."""

    local: Daemon
    owner: Daemon
    holder: Daemon


def run(options: Options) -> None:
    """Print the table."""
    harness.need_tools("fio")
    with harness.temp_dir() as folder, ExitStack() as stack:
        servers = [start(stack, folder, window) for window in WINDOWS]
        pids = [each.pid for some in servers for each in (some.local, some.owner, some.holder)]
        locals_, owners = [each.local for each in servers], [each.owner for each in servers]
        with apart(pids) as core:
            for mode in ("randread", "randwrite"):
                job = fio.Job(mode, "4k", 1)
                compare(options, f"local {job.name}", locals_, job, core, at_most(0.8))
                compare(options, f"remote {job.name}", owners, job, core, at_most(ALIKE))
        for mode in ("randread", "randwrite"):
            for depth in (1, 32):
                job = fio.Job(mode, "4k", depth)
                bar = at_most(ALIKE) if depth == 1 else at_least(1 / ALIKE)
                compare(options, f"local {job.name}, anywhere", locals_, job, None, bar)
                compare(options, f"remote {job.name}, anywhere", owners, job, None, bar)
        print_idle(options, locals_)


def start(stack: ExitStack, folder: Path, window: int) -> Servers:
    """Start the daemons of one window, with all pages written."""
    top = f"poll_microseconds_max = {window}"
    alone = folder / f"alone{window}"
    pair = folder / f"pair{window}"
    alone.mkdir()
    pair.mkdir()
    node = Node(1, budget_bytes=2 * EXPORT_BYTES, export_bytes=EXPORT_BYTES, top=top)
    (local,) = stack.enter_context(cluster(alone, [node]))
    nodes = [
        Node(1, budget_bytes=BUDGET_BYTES_MIN, export_bytes=EXPORT_BYTES, top=top),
        Node(2, budget_bytes=2 * EXPORT_BYTES, top=top),
    ]
    owner, holder = stack.enter_context(cluster(pair, nodes))
    for each in (local, owner):
        fio.fill(each.uri, EXPORT_BYTES)
    return Servers(local, owner, holder)


def compare(
    options: Options,
    work: str,
    daemons: Sequence[Daemon],
    job: fio.Job,
    core: int | None,
    bar: Bar,
) -> None:
    """Measure one job with all windows in turn, and print a line for each beside never."""
    seconds = options.seconds(1.0)
    never, *others = harness.interleaved(
        options.rounds, *(partial(measure, each, job, seconds, core) for each in daemons)
    )
    unit = "p50_us" if job.depth == 1 else "iops"
    for window, samples in zip(WINDOWS[1:], others, strict=True):
        harness.print_comparison(f"{work}, {window} us", unit, samples, "never", never, bar)


def measure(daemon: Daemon, job: fio.Job, seconds: float, core: int | None) -> float:
    """Run a job once."""
    result = fio.run(daemon.uri, job, EXPORT_BYTES, seconds, core=core)
    return result.p50_us if job.depth == 1 else result.iops


def print_idle(options: Options, daemons: Sequence[Daemon]) -> None:
    """Print which part of a core each daemon takes that has nothing to do."""
    seconds = options.seconds(IDLE_SECONDS)
    before = [processor_seconds(each.pid) for each in daemons]
    time.sleep(seconds)
    for window, daemon, had in zip(WINDOWS, daemons, before, strict=True):
        part = 100 * (processor_seconds(daemon.pid) - had) / seconds
        harness.print_figure(f"idle, {window} us, of a core", part, "%", at_most(0.5, " %"))


if __name__ == "__main__":
    harness.run_main({"polling": run}, __doc__)
