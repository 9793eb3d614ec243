"""NBD with every page on a peer: two real daemons over loopback TCP, one copy.

    python -m benchmarks --only nbd_remote

Node 1 has the smallest budget there is, so all but a sliver of the pages is at node 2 (`wait_remote` sees to it).  The same fio job goes straight
to nbdkit over TCP: one hop and nothing compressed, where we have two.  A fetch is compared with a bare round trip: 8
bytes to a trio peer, 4 KiB back, on the raw sockets that net.tcp uses.  Throughput is measured wherever the scheduler
puts the programs; latency with each server on a core of its own (see `processes.placed`).  The fetch includes its NBD
request: what a client waits for.
"""

import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from benchmarks import fio, harness
from benchmarks.processes import (
    MIB,
    Node,
    accepts,
    cluster,
    free_port,
    nbdkit,
    placed,
    running,
    wait_until,
)
from benchmarks.suite.bars import PLAIN, ROUND_TRIP, TCP
from benchmarks.suite.serving import (
    Server,
    fio_work,
    nbdkit_server,
    ours,
    real_works,
    wait_remote,
    with_peers,
)
from benchmarks.suite.works import OURS, Measured, ProcessorTime, Setting, Work
from net.tcp import TcpTransport
from net.transport import Stream

EXPORT_BYTES = 256 * MIB
BUDGET_BYTES_MIN = 2 * MIB
PAGE_BYTES = 4096
ASK_BYTES = 8
AT_ONCE = [fio.Job("randread", "4k", 32), fio.Job("randwrite", "4k", 32)]
ONE_BY_ONE = [fio.Job("randread", "4k", 1), fio.Job("randwrite", "4k", 1)]


@contextmanager
def scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Run an owner, a holder, nbdkit and the bare peer."""
    size = setting.size(EXPORT_BYTES)
    with servers_of(setting, size) as (folder, stack, servers):
        for server in servers.values():
            fio.fill(server.uri, size)
            wait_remote(server, size)
        fetch = fio_work(ONE_BY_ONE[0], "us", size, {OURS: servers[OURS]}, is_placed=True)
        contestants = dict(fetch.contestants)
        if setting.with_peers:
            contestants[ROUND_TRIP] = stack.enter_context(bare_peer(folder)).measure
        yield [
            *(fio_work(job, "iops", size, servers) for job in AT_ONCE),
            *(fio_work(job, "us", size, servers, is_placed=True) for job in ONE_BY_ONE),
            Work("remote fetch, depth 1", "us", contestants),
        ]


@contextmanager
def real_scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have pages of real files in the same servers."""
    size = setting.size(EXPORT_BYTES)
    with servers_of(setting, size) as (_, _, servers):
        works = real_works(servers, size)
        wait_remote(servers[OURS], size)
        yield works


@contextmanager
def tls_scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have links with TLS, beside the same without."""
    harness.need_modules("trustme")
    size = setting.size(EXPORT_BYTES)
    with servers_of(setting, size, is_tls=True) as (_, _, servers):
        for server in servers.values():
            fio.fill(server.uri, size)
            wait_remote(server, size)
        yield [fio_work(job, "iops", size, servers) for job in AT_ONCE]


@contextmanager
def servers_of(
    setting: Setting, size: int, *, is_tls: bool = False
) -> Iterator[tuple[Path, ExitStack, dict[str, Server]]]:
    """Run them; with TLS there is one more pair of daemons, without it."""
    harness.need_tools("fio", "nbdkit")
    with harness.temp_dir() as folder, ExitStack() as stack:
        mine = pair(stack, folder / "pair", size, is_tls=is_tls)
        peers: dict[str, Server] = {}
        if setting.with_peers:
            peer = stack.enter_context(nbdkit(folder, "peer", size, tcp=True))
            peers[TCP] = nbdkit_server(peer)
            if is_tls:
                peers[PLAIN] = pair(stack, folder / "plain", size)
        yield folder, stack, with_peers(mine, peers)


def pair(stack: ExitStack, folder: Path, size: int, *, is_tls: bool = False) -> Server:
    """Run an owner whose pages are at a holder."""
    folder.mkdir()
    nodes = [
        Node(1, BUDGET_BYTES_MIN, size, is_tls=is_tls),
        Node(2, 2 * size, is_tls=is_tls),
    ]
    owner, holder = stack.enter_context(cluster(folder, nodes))
    return ours(owner=owner, holder=holder)


# The bare peer.


@dataclass(frozen=True, slots=True)
class BarePeer:
    """Where it listens."""

    pid: int
    port: int

    def measure(self, seconds: float) -> Measured:
        """Ask for pages one after the other; return the median time."""
        used = ProcessorTime({"peer": self.pid})
        with placed([self.pid]) as core:
            times = round_trips_us(self.port, seconds, core)
        return Measured(statistics.median(times), used.per_page(len(times)))


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


def round_trips_us(port: int, seconds: float, core: int | None) -> list[float]:
    """Ask for pages one after the other, from one core or from any; return the times."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores if core is None else {core})
    try:
        return trio.run(_round_trips_us, port, seconds)
    finally:
        os.sched_setaffinity(0, cores)


async def _round_trips_us(port: int, seconds: float) -> list[float]:
    stream = await TcpTransport().dial("127.0.0.1", port)
    target = memoryview(bytearray(PAGE_BYTES))
    times = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        stream.send_nowait([bytes(ASK_BYTES)])
        received = 0
        while received < PAGE_BYTES:
            received += await stream.receive_into(target[received:])
        times.append((time.perf_counter() - start) * 1e6)
    stream.close()
    return times


if __name__ == "__main__":
    assert sys.argv[1:2] == ["--serve-bare"]
    trio.run(serve_bare, int(sys.argv[2]))
