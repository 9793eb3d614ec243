"""NBD with every page on a peer: two real daemons over loopback TCP, one copy.

    python -m benchmarks.nbd_remote [--rounds 5] [--quick]

Node 1 has the smallest budget there is, so all but a sliver of the pages is at node 2 (the share is printed).
The same fio job goes straight to nbdkit over TCP: one hop and nothing compressed, where we have two.  A fetch is
compared with a bare round trip: 8 bytes to a trio peer, 4 KiB back, on the raw sockets that net.tcp uses.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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

JOBS: list[tuple[fio.Job, str, Bar]] = [
    (fio.Job("randread", "4k", 32), "iops", at_least(0.9)),
    (fio.Job("randwrite", "4k", 32), "iops", at_least(0.7)),
    (fio.Job("randread", "4k", 1), "p50_us", at_most(3)),
    (fio.Job("randwrite", "4k", 1), "p50_us", at_most(3)),
]


def run(options: Options) -> None:
    """Print the table."""
    harness.need_tools("fio", "nbdkit")
    with harness.temp_dir() as folder, ExitStack() as stack:
        nodes = [
            Node(1, budget_bytes=BUDGET_BYTES_MIN, export_bytes=EXPORT_BYTES),
            Node(2, budget_bytes=2 * EXPORT_BYTES),
        ]
        first, _ = stack.enter_context(cluster(folder, nodes))
        peer = stack.enter_context(nbdkit(folder, "peer", EXPORT_BYTES, tcp=True)).uri
        echo = stack.enter_context(bare_peer(folder))
        for uri in (first.uri, peer):
            fio.fill(uri, EXPORT_BYTES)
        print_share(first)
        seconds = options.seconds(1.0)
        for job, quantity, bar in JOBS:
            ours, theirs = harness.interleaved(
                options.rounds,
                partial(measure, first.uri, job, quantity, seconds),
                partial(measure, peer, job, quantity, seconds),
            )
            harness.print_comparison(job.name, quantity, ours, PEER, theirs, bar)
        fetch = JOBS[2][0]
        ours, theirs = harness.interleaved(
            options.rounds,
            partial(measure, first.uri, fetch, "p50_us", seconds),
            partial(round_trip_us, echo, seconds),
        )
        harness.print_comparison(
            "remote fetch, depth 1", "p50_us", ours, "bare round trip", theirs, at_most(2.5)
        )
        print("  (the fetch includes its NBD request: what a client waits for)")


def measure(uri: str, job: fio.Job, quantity: str, seconds: float) -> float:
    """Run a job once; return what is asked of it."""
    result = fio.run(uri, job, EXPORT_BYTES, seconds)
    return result.iops if quantity == "iops" else result.p50_us


def print_share(daemon: Daemon) -> None:
    """Say how many pages are at the peer."""
    engine = daemon.status()["engine"]
    held = sum(holder["pages"] for holder in engine["holders"])
    local = sum(engine["store"]["zpages"].values())
    print(
        f"  ({held:,} pages at the peer, {local:,} of {engine['store']['rows']:,} here too or only)"
    )


# The bare peer.


@contextmanager
def bare_peer(folder: Path) -> Iterator[int]:
    """Run it; yield its port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.nbd_remote", "--serve-bare", str(port)]
    with running(command, log=folder / "bare.log"):
        wait_until(lambda: accepts(("127.0.0.1", port)), "the bare peer")
        yield port


async def serve_bare(port: int) -> None:
    """Answer each 8 bytes with a page."""
    page = bytes(range(256)) * (PAGE_BYTES // 256)

    async def answer(stream: Stream) -> None:
        asked = memoryview(bytearray(ASK_BYTES))
        while await stream.receive_into(asked):
            stream.send_nowait([page])

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(TcpTransport().listen, "127.0.0.1", port, answer))


def round_trip_us(port: int, seconds: float) -> float:
    """Ask for pages one after the other; return the median time."""
    return trio.run(_round_trip_us, port, seconds)


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
