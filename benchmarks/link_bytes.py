"""Page bytes a second over a link shaped to 1 Gbit/s, beside the wire's and what a bare TCP stream gets through it.

    python -m benchmarks --only link

Two daemons in two network namespaces, joined by a veth pair with a token bucket on each end; node 1 has the
smallest budget there is, so that what fio writes or reads crosses the link: the budget holds a hundredth of it.
Needs root; the namespaces are removed at the end.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks import bare_stream, fio, harness, namespaces, page_writer
from benchmarks.processes import MIB, cluster
from benchmarks.suite.bars import STREAM, WIRE
from benchmarks.suite.serving import Server, fio_work, ours, wait_remote, write_work
from benchmarks.suite.works import OURS, PAGE_BYTES, Measure, Measured, Setting, Work

EXPORT_BYTES = 256 * MIB
RATE = "1gbit"
WIRE_BYTES_PER_SECOND = 1e9 / 8
SHAPING = ("tbf", "rate", RATE, "burst", "64kb", "latency", "50ms")
JOBS = [fio.Job("write", "128k", 8), fio.Job("read", "128k", 8)]
SECONDS = 2.0


@contextmanager
def scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have fio's pages cross the link."""
    size = setting.size(EXPORT_BYTES)
    with linked(setting, size) as (mine, peers):
        fio.fill(mine.uri, size)
        wait_remote(mine, size)
        yield [beside(fio_work(job, "MiB/s", size, {OURS: mine}), peers) for job in JOBS]


@contextmanager
def tls_scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have the same pages cross it with TLS."""
    harness.need_modules("trustme")
    size = setting.size(EXPORT_BYTES)
    with linked(setting, size, is_tls=True) as (mine, peers):
        fio.fill(mine.uri, size)
        wait_remote(mine, size)
        yield [beside(fio_work(job, "MiB/s", size, {OURS: mine}), peers) for job in JOBS]


@contextmanager
def real_scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have pages of real files cross it."""
    size = setting.size(EXPORT_BYTES)
    with linked(setting, size) as (mine, peers):
        page_writer.fill(mine.uri, size)
        wait_remote(mine, size)
        read = JOBS[1]
        yield [
            beside(real_writes(size, mine), peers),
            beside(
                fio_work(read, "MiB/s", size, {OURS: mine}, name=f"{read.name}, real files"), peers
            ),
        ]


def real_writes(size: int, mine: Server) -> Work:
    """Return the work of writing pages of real files in order."""
    job = JOBS[0]
    return write_work(
        f"{job.name}, real files", "MiB/s", size, {OURS: mine},
        request_bytes=32 * PAGE_BYTES, depth=job.depth, is_random=False,
    )  # fmt: skip


def beside(work: Work, peers: Mapping[str, Measure]) -> Work:
    """Return a work with more contestants."""
    return Work(work.name, work.unit, {**work.contestants, **peers}, SECONDS)


@contextmanager
def linked(
    setting: Setting, size: int, *, is_tls: bool = False
) -> Iterator[tuple[Server, dict[str, Measure]]]:
    """Run an owner and a holder on a shaped link, and the bare stream's receiver."""
    harness.need_root()
    harness.need_tools("ip", "tc", "fio")
    with harness.temp_dir() as folder, ExitStack() as stack:
        names = stack.enter_context(namespaces.cabled())
        for name in names:
            shape(name)
        nodes = namespaces.owner_and_holder(names, size, is_tls=is_tls)
        owner, holder = stack.enter_context(cluster(folder, nodes))
        peers: dict[str, Measure] = {}
        if setting.with_peers:
            stream = stack.enter_context(bare_stream.between(names, folder))
            peers = {WIRE: the_wire, STREAM: stream}
        yield ours(owner=owner, holder=holder), peers


def shape(name: str) -> None:
    """Limit what leaves a namespace."""
    command = ["tc", "-n", name, "qdisc", "add", "dev", namespaces.DEVICE, "root", *SHAPING]
    subprocess.run(command, check=True)


def the_wire(_seconds: float) -> Measured:
    """Return what the link is shaped to, in MiB/s."""
    return Measured(WIRE_BYTES_PER_SECOND / MIB)
