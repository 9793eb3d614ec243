"""Page bytes a second over a link shaped to 1 Gbit/s, beside the wire's and what a bare TCP stream gets through it.

    python -m benchmarks --only link

Two daemons in two network namespaces, joined by a veth pair with a token bucket on each end; node 1 has the
smallest budget there is, so that what fio writes or reads crosses the link: the budget holds a hundredth of it.
Needs root; the namespaces are removed at the end.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks import fio, harness, namespaces, page_writer
from benchmarks.processes import MIB, cluster, running, wait_until
from benchmarks.suite.bars import STREAM, WIRE
from benchmarks.suite.serving import Server, fio_work, ours, write_work
from benchmarks.suite.works import OURS, PAGE_BYTES, Measure, Measured, Setting, Work

EXPORT_BYTES = 256 * MIB
RATE = "1gbit"
WIRE_BYTES_PER_SECOND = 1e9 / 8
SHAPING = ("tbf", "rate", RATE, "burst", "64kb", "latency", "50ms")
BARE_PORT = 7799
JOBS = [fio.Job("write", "128k", 8), fio.Job("read", "128k", 8)]
SECONDS = 2.0


@contextmanager
def scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have fio's pages cross the link."""
    size = setting.size(EXPORT_BYTES)
    with linked(setting, size) as (mine, peers):
        fio.fill(mine.uri, size)
        yield [beside(fio_work(job, "MiB/s", size, {OURS: mine}), peers) for job in JOBS]


@contextmanager
def tls_scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have the same pages cross it with TLS."""
    harness.need_modules("trustme")
    size = setting.size(EXPORT_BYTES)
    with linked(setting, size, is_tls=True) as (mine, peers):
        fio.fill(mine.uri, size)
        yield [beside(fio_work(job, "MiB/s", size, {OURS: mine}), peers) for job in JOBS]


@contextmanager
def real_scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have pages of real files cross it."""
    size = setting.size(EXPORT_BYTES)
    with linked(setting, size) as (mine, peers):
        page_writer.fill(mine.uri, size)
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
        inside = [namespaces.inside(name) for name in names]
        nodes = namespaces.owner_and_holder(names, size, is_tls=is_tls)
        owner, holder = stack.enter_context(cluster(folder, nodes))
        peers: dict[str, Measure] = {}
        if setting.with_peers:
            serve_bare(stack, folder, inside[1])
            peers = {WIRE: the_wire, STREAM: partial(bare_stream, inside[0])}
        yield ours(owner=owner, holder=holder), peers


def shape(name: str) -> None:
    """Limit what leaves a namespace."""
    command = ["tc", "-n", name, "qdisc", "add", "dev", namespaces.DEVICE, "root", *SHAPING]
    subprocess.run(command, check=True)


def the_wire(_seconds: float) -> Measured:
    """Return what the link is shaped to, in MiB/s."""
    return Measured(WIRE_BYTES_PER_SECOND / MIB)


# The bare stream: each side runs this module inside its namespace.


def serve_bare(stack: ExitStack, folder: Path, inside: tuple[str, ...]) -> None:
    """Run the receiver."""
    ready = folder / "bare.log"
    command = [*inside, sys.executable, "-m", "benchmarks.link_bytes", "--receive"]
    stack.enter_context(running(command, log=ready))
    wait_until(lambda: bool(ready.read_text()), "the bare receiver")


def bare_stream(inside: tuple[str, ...], seconds: float) -> Measured:
    """Run the sender; return MiB/s."""
    command = [*inside, sys.executable, "-m", "benchmarks.link_bytes", "--send", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(float(done.stdout))


def receive() -> None:
    """Take streams one after the other, and answer each with the bytes a second that arrived."""
    with socket.create_server((namespaces.ADDRESSES[1], BARE_PORT)) as listener:
        print("ready", flush=True)
        while True:
            stream, _ = listener.accept()
            with stream:
                buffer, total, start = bytearray(MIB), 0, time.monotonic()
                while count := stream.recv_into(buffer):
                    total += count
                stream.sendall(str(total / (time.monotonic() - start) / MIB).encode())


def send(seconds: float) -> None:
    """Send for some time, and print what arrived."""
    with socket.create_connection((namespaces.ADDRESSES[1], BARE_PORT)) as stream:
        piece, end = bytes(256 * 1024), time.monotonic() + seconds
        while time.monotonic() < end:
            stream.sendall(piece)
        stream.shutdown(socket.SHUT_WR)
        print(stream.recv(100).decode())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--receive"]:
        receive()
    else:
        assert sys.argv[1:2] == ["--send"]
        send(float(sys.argv[2]))
