"""Many lines to a control socket, answered beside each other: a few connections at a time, and one deadline for all."""

import selectors
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

RECEIVE_BYTES: Final = 256 * 1024


class NotInTime(OSError):
    """There was no answer before the deadline."""


def send_beside(
    socket_path: Path, lines: Sequence[bytes], *, at_once: int, seconds_max: float
) -> list[bytes | OSError]:
    """Return the answer to each line: empty if the connection was closed, or why there is none."""
    deadline = time.perf_counter() + seconds_max
    answers: list[bytes | OSError] = [NotInTime("no answer in time") for _ in lines]
    unsent = iter(enumerate(lines))
    received: dict[socket.socket, tuple[int, bytearray]] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while True:
                while len(received) < at_once and (following := next(unsent, None)) is not None:
                    place, line = following
                    try:
                        client = _send(socket_path, line, deadline - time.perf_counter())
                    except OSError as error:
                        answers[place] = error
                        continue
                    received[client] = (place, bytearray())
                    selector.register(client, selectors.EVENT_READ)
                left = deadline - time.perf_counter()
                if not received or left <= 0:
                    return answers
                for key, _ in selector.select(left):
                    asked = key.fileobj
                    assert isinstance(asked, socket.socket)
                    place, data = received[asked]
                    if (found := _receive(asked, data)) is not None:
                        answers[place] = found
                        selector.unregister(asked)
                        del received[asked]
                        asked.close()
        finally:
            for client in received:
                client.close()


def _send(socket_path: Path, line: bytes, seconds_max: float) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    try:
        client.settimeout(max(seconds_max, 0.001))
        client.connect(str(socket_path))
        client.sendall(line)
        client.setblocking(False)
    except OSError:
        client.close()
        raise
    return client


def _receive(client: socket.socket, data: bytearray) -> bytes | OSError | None:
    """Take what has come; return the answer when it is whole, or why there is none."""
    try:
        more = client.recv(RECEIVE_BYTES)
    except BlockingIOError:
        return None
    except OSError as error:
        return error
    data += more
    if more and not data.endswith(b"\n"):
        return None
    return bytes(data)
