"""NBD with every page on a peer: two real daemons over loopback TCP, one copy.

    python -m benchmarks.nbd_remote [--rounds 5] [--quick]

Node 1 has the smallest budget there is, so all but a sliver of the pages is at node 2 (the share is printed).
The same fio job goes straight to nbdkit over TCP: one hop and nothing compressed, where we have two.  A fetch is
compared with a bare round trip: 8 bytes to a trio peer, 4 KiB back, on the raw sockets that net.tcp uses.  Latency
is measured with all servers on one core and the client on another (see `processes.apart`).
"""

import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from benchmarks import fio, harness
from benchmarks.harness import Bar, Options, at_least, at_most
from benchmarks.processes import (
    MIB,
    Daemon,
    Node,
    accepts,
    apart,
    cluster,
    free_port,
    nbdkit,
    running,
    wait_until,
)
from net.tcp import TcpTransport
from net.transport import Stream

EXPORT_BYTES = 256 * MIB
BUDGET_BYTES_MIN = 2 * MIB
PAGE_BYTES = 4096
ASK_BYTES = 8
PEER = "nbdkit over TCP"

THROUGHPUT: list[tuple[fio.Job, Bar]] = [
    (fio.Job("randread", "4k", 32), at_least(0.9)),
    (fio.Job("randwrite", "4k", 32), at_least(0.7)),
]
LATENCY: list[tuple[fio.Job, Bar]] = [
    (fio.Job("randread", "4k", 1), at_most(3)),
    (fio.Job("randwrite", "4k", 1), at_most(3)),
]


def run(options: Options) -> None:
    """Print the table."""
    harness.need_tools("fio", "nbdkit")
    with harness.temp_dir() as folder, ExitStack() as stack:
        nodes = [
            Node(1, budget_bytes=BUDGET_BYTES_MIN, export_bytes=EXPORT_BYTES),
            Node(2, budget_bytes=2 * EXPORT_BYTES),
        ]
        first, second = stack.enter_context(cluster(folder, nodes))
        peer = stack.enter_context(nbdkit(folder, "peer", EXPORT_BYTES, tcp=True))
        echo = stack.enter_context(bare_peer(folder))
        for uri in (first.uri, peer.uri):
            fio.fill(uri, EXPORT_BYTES)
        print_share(first)
        seconds = options.seconds(1.0)

        def compare(job: fio.Job, quantity: str, bar: Bar, core: int | None) -> None:
            ours, theirs = harness.interleaved(
                options.rounds,
                partial(measure, first.uri, job, quantity, seconds, core),
                partial(measure, peer.uri, job, quantity, seconds, core),
            )
            harness.print_comparison(job.name, quantity, ours, PEER, theirs, bar)

        for job, bar in THROUGHPUT:
            compare(job, "iops", bar, None)
        core = stack.enter_context(apart([first.pid, second.pid, peer.pid, echo.pid]))
        for job, bar in LATENCY:
            compare(job, "p50_us", bar, core)
        ours, theirs = harness.interleaved(
            options.rounds,
            partial(measure, first.uri, LATENCY[0][0], "p50_us", seconds, core),
            partial(round_trip_us, echo.port, seconds, core),
        )
        harness.print_comparison(
            "remote fetch, depth 1", "p50_us", ours, "bare round trip", theirs, at_most(2.5)
        )
        print("  (the fetch includes its NBD request: what a client waits for)")


def measure(uri: str, job: fio.Job, quantity: str, seconds: float, core: int | None) -> float:
    """Run a job once, on one core or on any; return what is asked of it."""
    result = fio.run(uri, job, EXPORT_BYTES, seconds, core=core)
    return result.iops if quantity == "iops" else result.p50_us


def print_share(daemon: Daemon) -> None:
    """Say how many pages are at the peer."""
    engine = daemon.status()["engine"]
    held = sum(holder["pages"] for holder in engine["remote"])
    local = sum(engine["store"]["zpages"].values())
    print(
        f"  ({held:,} pages at the peer, {local:,} of {engine['store']['rows']:,} here too or only)"
    )


# The bare peer.


@dataclass(frozen=True, slots=True)
class BarePeer:
    """Where it listens."""

    pid: int
    port: int


@contextmanager
def bare_peer(folder: Path) -> Iterator[BarePeer]:
    """Run it."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.nbd_remote", "--serve-bare", str(port)]
    with running(command, log=folder / "bare.log") as process:
        wait_until(lambda: accepts(("127.0.0.1", port)), "the bare peer")
        yield BarePeer(process.pid, port)


async def serve_bare(port: int) -> None:
    """Answer each 8 bytes with a page."""
    page = bytes(range(256)) * (PAGE_BYTES // 256)

    async def answer(stream: Stream) -> None:
        asked = memoryview(bytearray(ASK_BYTES))
        while await stream.receive_into(asked):
            stream.send_nowait([page])

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(TcpTransport().listen, "127.0.0.1", port, answer))


def round_trip_us(port: int, seconds: float, core: int | None) -> float:
    """Ask for pages one after the other, from one core or from any; return the median time."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores if core is None else {core})
    try:
        return trio.run(_round_trip_us, port, seconds)
    finally:
        os.sched_setaffinity(0, cores)


async def _round_trip_us(port: int, seconds: float) -> float:
    stream = await TcpTransport().dial("127.0.0.1", port)
    target = memoryview(bytearray(PAGE_BYTES))
    times = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        stream.send_nowait([bytes(ASK_BYTES)])
        received = 0
        while received < PAGE_BYTES:
            received += await stream.receive_into(target[received:])
        times.append(time.perf_counter() - start)
    stream.close()
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve-bare"]:
        trio.run(serve_bare, int(sys.argv[2]))
    else:
        harness.run_main({"nbd_remote": run}, __doc__)
