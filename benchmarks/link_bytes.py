"""Page bytes a second over a link shaped to 1 Gbit/s, beside what a bare TCP stream gets through it.

    python -m benchmarks.link_bytes [--rounds 5] [--quick]

Two daemons in two network namespaces, joined by a veth pair with a token bucket on each end; node 1 has the
smallest budget there is, so that what fio writes or reads crosses the link.  Needs root; the namespaces are
removed at the end.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks import fio, harness
from benchmarks.harness import Options, at_least
from benchmarks.processes import MIB, Daemon, Node, cluster, running, wait_until

EXPORT_BYTES = 256 * MIB
BUDGET_BYTES_MIN = 2 * MIB
RATE = "1gbit"
WIRE_BYTES_PER_SECOND = 1e9 / 8
SHAPING = ("tbf", "rate", RATE, "burst", "64kb", "latency", "50ms")
ADDRESSES = ("10.99.0.1", "10.99.0.2")
BARE_PORT = 7799
PEER = "bare TCP stream"


def run(options: Options) -> None:
    """Print the table."""
    harness.need_root()
    harness.need_tools("ip", "tc", "fio")
    with harness.temp_dir() as folder, ExitStack() as stack:
        names = stack.enter_context(shaped_namespaces())
        inside = [("ip", "netns", "exec", name) for name in names]
        nodes = [
            Node(1, BUDGET_BYTES_MIN, EXPORT_BYTES, address=ADDRESSES[0], prefix=inside[0]),
            Node(2, 2 * EXPORT_BYTES, address=ADDRESSES[1], prefix=inside[1]),
        ]
        first, _ = stack.enter_context(cluster(folder, nodes))
        serve_bare(stack, folder, inside[1])
        fio.fill(first.uri, EXPORT_BYTES)
        seconds = options.seconds(2.0)
        for mode in ("write", "read"):
            job = fio.Job(mode, "128k", 8)
            ours, theirs = harness.interleaved(
                options.rounds,
                partial(page_bytes_per_second, first, job, seconds),
                partial(bare_bytes_per_second, inside[0], seconds),
            )
            harness.print_comparison(
                f"{job.name}, all remote", "MiB/s", ours, PEER, theirs, at_least(2)
            )
            wire = ours.median * MIB / WIRE_BYTES_PER_SECOND
            harness.print_figure(
                f"  of the wire's {WIRE_BYTES_PER_SECOND / MIB:.0f} MiB/s", wire, "x", at_least(2)
            )


def page_bytes_per_second(daemon: Daemon, job: fio.Job, seconds: float) -> float:
    """Return MiB/s as the client sees it: the budget holds a hundredth of what is written."""
    return fio.run(daemon.uri, job, EXPORT_BYTES, seconds).bytes_per_second / MIB


# The namespaces.


def ip(*words: str) -> None:
    """Run ip(8) or raise."""
    subprocess.run(["ip", *words], check=True)


@contextmanager
def shaped_namespaces() -> Iterator[tuple[str, str]]:
    """Make two namespaces joined by a shaped link; remove them at the end, and the link with them."""
    names = (f"ramster-{os.getpid()}-1", f"ramster-{os.getpid()}-2")
    try:
        for name in names:
            ip("netns", "add", name)
        ip(
            "link",
            "add",
            "bench",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "bench",
            "netns",
            names[1],
        )
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "bench")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "bench", "up")
            subprocess.run(
                ["tc", "-n", name, "qdisc", "add", "dev", "bench", "root", *SHAPING], check=True
            )
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


# The bare stream: each side runs this module inside its namespace.


def serve_bare(stack: ExitStack, folder: Path, inside: tuple[str, ...]) -> None:
    """Run the receiver."""
    ready = folder / "bare.log"
    command = [*inside, sys.executable, "-m", "benchmarks.link_bytes", "--receive"]
    stack.enter_context(running(command, log=ready))
    wait_until(lambda: bool(ready.read_text()), "the bare receiver")


def bare_bytes_per_second(inside: tuple[str, ...], seconds: float) -> float:
    """Run the sender; return MiB/s."""
    command = [*inside, sys.executable, "-m", "benchmarks.link_bytes", "--send", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def receive() -> None:
    """Take streams one after the other, and answer each with the bytes a second that arrived."""
    with socket.create_server((ADDRESSES[1], BARE_PORT)) as listener:
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
    with socket.create_connection((ADDRESSES[1], BARE_PORT)) as stream:
        piece, end = bytes(256 * 1024), time.monotonic() + seconds
        while time.monotonic() < end:
            stream.sendall(piece)
        stream.shutdown(socket.SHUT_WR)
        print(stream.recv(100).decode())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--receive"]:
        receive()
    elif sys.argv[1:2] == ["--send"]:
        send(float(sys.argv[2]))
    else:
        harness.run_main({"link_bytes": run}, __doc__)
