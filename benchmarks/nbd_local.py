"""NBD on a Unix socket, all pages local: one real daemon and nbdkit, the same fio job.

    python -m benchmarks.nbd_local [--rounds 5] [--quick]

Throughput is measured wherever the scheduler puts the programs; latency with all servers on one core and fio on
another, or it would be a lottery (see `processes.apart`).
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import fio, harness
from benchmarks.harness import Bar, Options, at_least, at_most
from benchmarks.processes import MIB, Node, apart, cluster, nbdkit

EXPORT_BYTES = 256 * MIB
PLAIN, ZSTD = "nbdkit memory", "nbdkit zstd  "

# Job, measured quantity, and the bar against each peer.
JOBS: list[tuple[fio.Job, str, dict[str, Bar]]] = [
    (fio.Job("randwrite", "4k", 32), "iops", {PLAIN: at_least(1.2), ZSTD: at_least(4)}),
    (fio.Job("randread", "4k", 32), "iops", {PLAIN: at_least(1.4), ZSTD: at_least(1.5)}),
    (fio.Job("randwrite", "4k", 1), "p50_us", {PLAIN: at_most(1.3)}),
    (fio.Job("randread", "4k", 1), "p50_us", {PLAIN: at_most(1.3)}),
    (fio.Job("write", "128k", 4), "MiB/s", {PLAIN: at_least(0.25), ZSTD: at_least(2)}),
    (fio.Job("read", "128k", 4), "MiB/s", {PLAIN: at_least(0.4)}),
]


def measure(uri: str, job: fio.Job, quantity: str, seconds: float, core: int | None) -> float:
    """Run a job once, on one core or on any; return what is asked of it."""
    result = fio.run(uri, job, EXPORT_BYTES, seconds, core=core)
    figures = {
        "iops": result.iops,
        "p50_us": result.p50_us,
        "MiB/s": result.bytes_per_second / MIB,
    }
    return figures[quantity]


def run(options: Options) -> None:
    """Print the table."""
    harness.need_tools("fio", "nbdkit")
    with harness.temp_dir() as folder, ExitStack() as stack:
        node = Node(1, budget_bytes=2 * EXPORT_BYTES, export_bytes=EXPORT_BYTES)
        (daemon,) = stack.enter_context(cluster(Path(folder), [node]))
        peers = {
            PLAIN: stack.enter_context(nbdkit(folder, "plain", EXPORT_BYTES)),
            ZSTD: stack.enter_context(nbdkit(folder, "zstd", EXPORT_BYTES, "allocator=zstd")),
        }
        servers = (daemon, *peers.values())
        for server in servers:
            fio.fill(server.uri, EXPORT_BYTES)
        for job, quantity, bars in JOBS:
            uris = {name: peers[name].uri for name in bars}
            if job.depth > 1:
                compare(options, daemon.uri, uris, job, quantity, bars)
                continue
            with apart([server.pid for server in servers]) as core:
                compare(options, daemon.uri, uris, job, quantity, bars, core=core)


def compare(
    options: Options,
    ours: str,
    peers: dict[str, str],
    job: fio.Job,
    quantity: str,
    bars: dict[str, Bar],
    core: int | None = None,
) -> None:
    """Measure one job at all servers in turn, and print a line for each peer."""
    seconds = options.seconds(1.0)
    our_samples, *their_samples = harness.interleaved(
        options.rounds,
        *(partial(measure, uri, job, quantity, seconds, core) for uri in (ours, *peers.values())),
    )
    for name, theirs in zip(peers, their_samples, strict=True):
        harness.print_comparison(job.name, quantity, our_samples, name, theirs, bars[name])


if __name__ == "__main__":
    harness.run_main({"nbd_local": run}, __doc__)
