"""What a bare TCP stream gets through between two namespaces: each side runs this module inside of its own.

python -m benchmarks.bare_stream --receive | --send SECONDS
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import namespaces
from benchmarks.processes import MIB, running, wait_until
from benchmarks.suite.works import Measure, Measured

PORT = 7799


@contextmanager
def between(names: Sequence[str], folder: Path) -> Iterator[Measure]:
    """Run the receiver in the second, and yield what measures from the first."""
    one, other = map(namespaces.inside, names)
    ready = folder / "bare.log"
    command = [*other, sys.executable, "-m", "benchmarks.bare_stream", "--receive"]
    with running(command, log=ready):
        wait_until(lambda: bool(ready.read_text()), "the bare receiver")
        yield partial(mebibytes_per_second, one)


def mebibytes_per_second(inside: tuple[str, ...], seconds: float) -> Measured:
    """Run the sender."""
    command = [*inside, sys.executable, "-m", "benchmarks.bare_stream", "--send", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(float(done.stdout))


def receive() -> None:
    """Take streams one after the other, and answer each with the bytes a second that arrived."""
    with socket.create_server((namespaces.ADDRESSES[1], PORT)) as listener:
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
    with socket.create_connection((namespaces.ADDRESSES[1], PORT)) as stream:
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
