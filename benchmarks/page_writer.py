"""A client that writes pages of real files: fio's buffers are noise and zeros, and no file.

All requests are made beforehand, so that the client does little more than to send: half of what may be in flight at
once, and the next half when as many replies have come.
"""

import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qs, urlsplit

from benchmarks.pages import PAGE_BYTES, real_pages
from ramsterd.client.nbd import NbdClient
from ramsterd.frontends.nbd.protocol import REQUEST, SIMPLE_REPLY, Command, request_word

# Different pages, and requests that are made.
PAGES = 8192
REQUESTS = 16384


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    requests: int
    pages: int
    seconds: float


def open_client(uri: str) -> NbdClient:
    """Connect to an export at a Unix socket or a TCP port."""
    parts = urlsplit(uri)
    if parts.scheme == "nbd+unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(parse_qs(parts.query)["socket"][0])
    else:
        assert parts.hostname is not None
        assert parts.port is not None
        sock = socket.create_connection((parts.hostname, parts.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return NbdClient(sock, parts.path.removeprefix("/"))


@cache
def corpus() -> memoryview:
    """Return pages of real files, one after the other."""
    return memoryview(b"".join(real_pages(PAGES)))


def places(size_bytes: int, request_bytes: int, *, is_random: bool) -> list[int]:
    """Return where requests write, in bytes: each place once, in order or not."""
    found = list(range(0, size_bytes, request_bytes))
    if is_random:
        random.Random(1).shuffle(found)
    return found[:REQUESTS]


def pieces_of(place: int, request_bytes: int) -> tuple[bytes, memoryview]:
    """Return a request and its pages, which are other ones at each place."""
    whole = corpus()
    start = place * 7 % (len(whole) - request_bytes) // PAGE_BYTES * PAGE_BYTES
    header = REQUEST.pack(request_word(Command.WRITE), bytes(8), place, request_bytes)
    return header, whole[start : start + request_bytes]


def fill(uri: str, size_bytes: int) -> None:
    """Write all pages once."""
    request_bytes = 32 * PAGE_BYTES
    everywhere = places(size_bytes, request_bytes, is_random=False)
    with open_client(uri) as client:
        _write(client, everywhere, request_bytes, depth=8, until=0.0)


def run(
    uri: str, size_bytes: int, *, request_bytes: int, depth: int, seconds: float, is_random: bool
) -> Written:
    """Write for some time."""
    where = places(size_bytes, request_bytes, is_random=is_random)
    with open_client(uri) as client:
        start = time.perf_counter()
        requests = _write(client, where, request_bytes, depth=depth, until=start + seconds)
        return Written(
            requests, requests * request_bytes // PAGE_BYTES, time.perf_counter() - start
        )


def _write(
    client: NbdClient, where: Sequence[int], request_bytes: int, *, depth: int, until: float
) -> int:
    """Write at all these places, again and again until then; return how many requests that were."""
    sock, half = client._sock, max(1, depth // 2)
    batches = [
        [
            piece
            for place in where[first : first + half]
            for piece in pieces_of(place, request_bytes)
        ]
        for first in range(0, len(where), half)
    ]
    done, in_flight = 0, [0]
    while True:
        for batch in batches:
            send(sock, batch)
            in_flight.append(len(batch) // 2)
            done += take_replies(sock, in_flight.pop(0))
            if until and time.perf_counter() >= until:
                return done + take_replies(sock, sum(in_flight))
        if not until:
            return done + take_replies(sock, sum(in_flight))


def send(sock: socket.socket, pieces: Sequence[bytes | memoryview]) -> None:
    """Send all of some pieces."""
    sent, total = sock.sendmsg(pieces), sum(map(len, pieces))
    if sent < total:
        sock.sendall(memoryview(b"".join(pieces))[sent:])


def take_replies(sock: socket.socket, count: int) -> int:
    """Receive so many replies without data; return the count."""
    replies = bytearray()
    while len(replies) < count * SIMPLE_REPLY.size:
        data = sock.recv(count * SIMPLE_REPLY.size - len(replies))
        if not data:
            raise RuntimeError("the server closed the connection")
        replies += data
    for _magic, errno, _cookie in SIMPLE_REPLY.iter_unpack(replies):
        if errno:
            raise RuntimeError(f"a write failed with errno {errno}")
    return count
