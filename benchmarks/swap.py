"""What a kernel that swaps does, and writes that outrun the budget: one owner, two peers, two copies.

    python -m benchmarks --only swap

The mix is the kernel's own: reads and writes of 4, 32 and 128 KiB at random places.  Its figure is what the reads
bring, for a program waits for them; the writes are as many.  The owner's budget is a quarter of what is written.
Beside it are nbdkit over TCP, a daemon of ours whose budget holds all, and nbdkit on a Unix socket beside that one.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import fio, harness
from benchmarks.processes import MIB, Node, cluster, nbdkit
from benchmarks.suite.bars import LOCAL, MEMORY, TCP
from benchmarks.suite.serving import Server, fio_work, nbdkit_server, ours
from benchmarks.suite.works import OURS, Setting, Work

EXPORT_BYTES = 256 * MIB
BUDGET_PART = 4
DEPTHS = (1, 16)
SPLIT = "4k/40:32k/40:128k/20"
BEYOND = fio.Job("randwrite", "4k", 32)
SECONDS = 2.0


@contextmanager
def scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Run all of them."""
    harness.need_tools("fio", "nbdkit")
    size = setting.size(EXPORT_BYTES)
    with harness.temp_dir() as folder, ExitStack() as stack:
        mine, local = overflowing(stack, folder, size), alone(stack, folder, size)
        remote_servers, local_servers = {OURS: mine}, {OURS: local}
        if setting.with_peers:
            tcp = stack.enter_context(nbdkit(folder, "tcp", size, tcp=True))
            unix = stack.enter_context(nbdkit(folder, "unix", size))
            remote_servers[TCP] = nbdkit_server(tcp)
            local_servers[MEMORY] = nbdkit_server(unix)
        for server in (*remote_servers.values(), *local_servers.values()):
            fio.fill(server.uri, size)
        yield [
            *mixes(size, remote_servers, ""),
            *mixes(size, local_servers, ", all local"),
            *writes_beyond(size, mine, local),
        ]


def overflowing(stack: ExitStack, folder: Path, size: int) -> Server:
    """Run an owner and two holders of all that it writes."""
    (folder / "three").mkdir()
    nodes = [
        Node(1, size // BUDGET_PART, size, remote="copies = 2"),
        Node(2, 2 * size),
        Node(3, 2 * size),
    ]
    owner, one, other = stack.enter_context(cluster(folder / "three", nodes))
    return ours(owner=owner, holder=one, holder2=other)


def alone(stack: ExitStack, folder: Path, size: int) -> Server:
    """Run a daemon that needs no peer."""
    (folder / "one").mkdir()
    (daemon,) = stack.enter_context(cluster(folder / "one", [Node(1, 2 * size, size)]))
    return ours(daemon=daemon)


def mixes(size: int, servers: dict[str, Server], where: str) -> Iterator[Work]:
    """Yield the mix at each depth."""
    for depth in DEPTHS:
        job = fio.Job("randrw", "", depth, split=SPLIT)
        name = f"swap mix depth {depth}{where}"
        yield fio_work(job, "MiB/s", size, servers, name=name, seconds=SECONDS)


def writes_beyond(size: int, mine: Server, local: Server) -> Iterator[Work]:
    """Yield writes that need pages to leave as fast, and how late the latest of them are."""
    name = "writes beyond the budget"
    both = {OURS: mine, LOCAL: local}
    yield fio_work(BEYOND, "iops", size, both, name=name, seconds=SECONDS)
    yield fio_work(
        BEYOND, "p99/p50", size, {OURS: mine}, name=f"{name}, p99 by p50", seconds=SECONDS
    )
