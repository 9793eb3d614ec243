"""NBD on a Unix socket, all pages local: one real daemon and nbdkit, the same fio job.

Throughput is measured wherever the scheduler puts the programs; latency with each server on a core that its client
does not use, or it would be a lottery (see `processes.placed`).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks import fio, harness
from benchmarks.processes import MIB, Node, cluster, nbdkit
from benchmarks.suite.bars import MEMORY, ZSTD
from benchmarks.suite.serving import Server, fio_work, nbdkit_server, ours, real_works, with_peers
from benchmarks.suite.works import Setting, Work

EXPORT_BYTES = 256 * MIB
ALLOCATORS = {MEMORY: (), ZSTD: ("allocator=zstd",)}
AT_ONCE = [fio.Job("randwrite", "4k", 32), fio.Job("randread", "4k", 32)]
ONE_BY_ONE = [fio.Job("randwrite", "4k", 1), fio.Job("randread", "4k", 1)]
SEQUENTIAL = [fio.Job("write", "128k", 4), fio.Job("read", "128k", 4)]


@contextmanager
def scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have fio's pages in a daemon with room for all, and in nbdkit."""
    size = setting.size(EXPORT_BYTES)
    with servers_of(setting, size) as servers:
        plain = {name: server for name, server in servers.items() if name != ZSTD}
        for server in servers.values():
            fio.fill(server.uri, size)
        yield [
            *(fio_work(job, "iops", size, servers) for job in AT_ONCE),
            *(fio_work(job, "us", size, plain, is_placed=True) for job in ONE_BY_ONE),
            *(fio_work(job, "MiB/s", size, plain) for job in SEQUENTIAL),
        ]


@contextmanager
def real_scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have pages of real files in the same servers."""
    size = setting.size(EXPORT_BYTES)
    with servers_of(setting, size) as servers:
        yield real_works(servers, size)


@contextmanager
def servers_of(setting: Setting, size: int) -> Iterator[dict[str, Server]]:
    """Run a daemon, and nbdkit with and without compression."""
    harness.need_tools("fio", "nbdkit")
    with harness.temp_dir() as folder, ExitStack() as stack:
        (daemon,) = stack.enter_context(cluster(folder, [Node(1, 2 * size, size)]))
        peers: dict[str, Server] = {}
        for name, options in ALLOCATORS.items() if setting.with_peers else ():
            peer = stack.enter_context(nbdkit(folder, name.replace(" ", "-"), size, *options))
            peers[name] = nbdkit_server(peer)
        yield with_peers(ours(daemon=daemon), peers)
