"""Sequential reads of pages that are all at a peer, with a round trip of 1, 5 and 25 ms, beside a bare TCP stream.

    python -m benchmarks --only far

Two daemons in two network namespaces, joined by a line that delays each packet (`delay_line.py`).  The pages are
those of fio, and the owner has the smallest budget there is.  Needs root.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks import bare_stream, delay_line, fio, harness, namespaces
from benchmarks.processes import MIB, ROOT, cluster
from benchmarks.suite.bars import STREAM
from benchmarks.suite.serving import Server, measure, ours, wait_remote
from benchmarks.suite.works import OURS, Measure, Measured, Setting, Work

EXPORT_BYTES = 256 * MIB
ROUND_TRIPS = (0.001, 0.005, 0.025)
JOB = fio.Job("read", "128k", 4)
# How long fio reads before it counts, until the windows of TCP are as large as they get.
WARM_SECONDS = 0.5
SECONDS = 2.0


class Line:
    """A running delay line between two namespaces."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def set_round_trip(self, seconds: float) -> None:
        """Delay each packet by half of this from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds / 2}\n")
        self._process.stdin.flush()


@contextmanager
def line_between(names: Sequence[str]) -> Iterator[Line]:
    """Run a delay line, with an end in each namespace."""
    devices = [f"bench{os.getpid() % 100000}{end}" for end in "ab"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.delay_line", *devices],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        if process.stdout.readline() != "ready\n":
            raise harness.Skipped("needs tun devices")
        for name, device, address in zip(names, devices, namespaces.ADDRESSES, strict=True):
            namespaces.ip(
                "link", "set", device, "mtu", str(delay_line.MTU),
                "name", namespaces.DEVICE, "netns", name,
            )  # fmt: skip
            namespaces.set_up(name, address)
        yield Line(process)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


@contextmanager
def scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Run an owner and a holder far away."""
    harness.need_root()
    harness.need_tools("ip", "fio")
    size = setting.size(EXPORT_BYTES)
    with harness.temp_dir() as folder, ExitStack() as stack:
        names = stack.enter_context(namespaces.two_namespaces())
        line = stack.enter_context(line_between(names))
        nodes = namespaces.owner_and_holder(names, size)
        owner, holder = stack.enter_context(cluster(folder, nodes))
        mine = ours(owner=owner, holder=holder)
        fio.fill(mine.uri, size)
        wait_remote(mine, size)
        contestants: dict[str, Measure] = {OURS: partial(read_warm, mine, size)}
        if setting.with_peers:
            contestants[STREAM] = stack.enter_context(bare_stream.between(names, folder))
        yield [
            Work(
                f"{JOB.name}, round trip {1000 * round_trip:g} ms",
                "MiB/s",
                {who: partial(so_far, line, round_trip, each) for who, each in contestants.items()},
                SECONDS,
            )
            for round_trip in ROUND_TRIPS
        ]


def so_far(line: Line, round_trip: float, measure_there: Measure, seconds: float) -> Measured:
    """Measure once from so far."""
    line.set_round_trip(round_trip)
    return measure_there(seconds)


def read_warm(mine: Server, size: int, seconds: float) -> Measured:
    """Read once."""
    fio.run(mine.uri, JOB, size, min(seconds, WARM_SECONDS))
    return measure(mine, JOB, "MiB/s", size, False, seconds)
