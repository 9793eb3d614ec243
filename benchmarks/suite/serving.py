"""Works of servers that fio asks: one job, one quantity, and what it costs each process."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from benchmarks import fio, page_writer
from benchmarks.processes import MIB, Daemon, Peer, placed, wait_until
from benchmarks.suite.works import OURS, PAGE_BYTES, Measured, ProcessorTime, Work

# By unit, and one that is a ratio of two of its own percentiles.
QUANTITIES: dict[str, Callable[[fio.Result], float]] = {
    "iops": lambda result: result.iops,
    "us": lambda result: result.p50_us,
    "MiB/s": lambda result: result.bytes_per_second / MIB,
    "p99/p50": lambda result: result.p99_us / result.p50_us,
}


# What the smallest budget holds, 2 MiB, of pages that compress to half of theirs at best.
PAGES_HERE_MAX = 2048


@dataclass(frozen=True, slots=True)
class Server:
    """An export, and the processes that serve it; `owner` is the daemon, if it is one of ours."""

    uri: str
    pids: Mapping[str, int]
    owner: Daemon | None = None


def ours(**daemons: Daemon) -> Server:
    """Return the export of the first daemon."""
    first, *_ = daemons.values()
    return Server(first.uri, {name: daemon.pid for name, daemon in daemons.items()}, first)


def wait_remote(server: Server, size_bytes: int) -> None:
    """Wait until all pages of a server of ours that have no room there are at its peers.

    Raises:
        TimeoutError: They do not leave: what is measured would not be what a row says.
    """
    daemon = server.owner
    if daemon is None:
        return

    def are_remote() -> bool:
        held = sum(holder["pages"] for holder in daemon.status()["engine"]["remote"])
        return bool(held >= size_bytes // PAGE_BYTES - PAGES_HERE_MAX)

    wait_until(are_remote, "pages are at the peer", pause_seconds=0.2)


def nbdkit_server(peer: Peer) -> Server:
    """Return the export of an nbdkit."""
    return Server(peer.uri, {"nbdkit": peer.pid})


def fio_work(
    job: fio.Job,
    unit: str,
    size_bytes: int,
    servers: Mapping[str, Server],
    *,
    name: str = "",
    seconds: float = 1.0,
    is_placed: bool = False,
) -> Work:
    """Return the work of a job within the first `size_bytes` of each export, on any cores or as `processes.placed`."""
    contestants = {
        who: partial(measure, server, job, unit, size_bytes, is_placed)
        for who, server in servers.items()
    }
    return Work(name or job.name, unit, contestants, seconds)


def measure(
    server: Server, job: fio.Job, unit: str, size_bytes: int, is_placed: bool, seconds: float
) -> Measured:
    """Run a job once."""
    used = ProcessorTime(server.pids)
    with placed([*server.pids.values()]) if is_placed else nullcontext() as core:
        result = fio.run(server.uri, job, size_bytes, seconds, core=core)
    return Measured(QUANTITIES[unit](result), used.per_page(result.pages))


def with_peers(mine: Server, peers: Mapping[str, Server]) -> dict[str, Server]:
    """Return the contestants: we come first."""
    return {OURS: mine, **peers}


# Pages of real files, which a client of ours writes.


def write_work(
    name: str,
    unit: str,
    size_bytes: int,
    servers: Mapping[str, Server],
    *,
    request_bytes: int,
    depth: int,
    is_random: bool,
    seconds: float = 1.0,
) -> Work:
    """Return the work of writing pages of real files."""
    write = partial(
        page_writer.run,
        size_bytes=size_bytes,
        request_bytes=request_bytes,
        depth=depth,
        is_random=is_random,
    )
    return Work(
        name,
        unit,
        {who: partial(measure_writes, each, unit, write) for who, each in servers.items()},
        seconds,
    )


def measure_writes(
    server: Server, unit: str, write: Callable[..., page_writer.Written], seconds: float
) -> Measured:
    """Write once."""
    used = ProcessorTime(server.pids)
    written = write(server.uri, seconds=seconds)
    amount = written.requests if unit == "iops" else written.pages * PAGE_BYTES / MIB
    return Measured(amount / written.seconds, used.per_page(written.pages))


def real_works(servers: Mapping[str, Server], size_bytes: int) -> list[Work]:
    """Fill servers with pages of real files, and return works of 4 KiB at random, at depth 32."""
    for server in servers.values():
        page_writer.fill(server.uri, size_bytes)
    read = fio.Job("randread", "4k", 32)
    return [
        write_work(
            "4k randwrite depth 32, real files", "iops", size_bytes, servers,
            request_bytes=PAGE_BYTES, depth=32, is_random=True,
        ),
        fio_work(read, "iops", size_bytes, servers, name=f"{read.name}, real files"),
    ]  # fmt: skip
