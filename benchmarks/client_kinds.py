"""Clients of every endpoint, each with an end of its own: what one does with its socket before that is closed."""

import contextlib
import socket
import struct
import time
from collections.abc import Callable

from benchmarks.processes import MIB
from config.model import TimersConfig
from net.frame import LinkType, encode_header
from net.hello import Hello
from nodemanager.ids import Incarnation, NodeId
from ramsterd.client.protocol import ClientProtocol, pieces_of
from ramsterd.client.requests import get_requests, hello_request, new_pool_request, put_requests
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.frontends.tmem.messages import TmemType

NBD_JOIN = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 4) + b"disk"
NBD_GREETING_BYTES, NBD_EXPORT_BYTES = 18, 10
READ, DISC = 0, 2
GET = b"GET /metrics HTTP/1.1\r\nHost: n1\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


def receive(client: socket.socket, count: int) -> None:
    while count:
        some = client.recv(count)
        if not some:
            raise ConnectionResetError("closed")
        count -= len(some)


def read_to_end(client: socket.socket) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        while client.recv(1 << 20):
            pass


def nbd_request(command: int, length: int = 0) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, 0, command, 7, 0, length)


def nbd_join(client: socket.socket) -> None:
    client.sendall(NBD_JOIN)
    receive(client, NBD_GREETING_BYTES + NBD_EXPORT_BYTES)


def nbd_read(client: socket.socket) -> None:
    """Read a page."""
    client.sendall(nbd_request(READ, PAGE_BYTES))
    receive(client, 16 + PAGE_BYTES)


def nbd_disconnects(client: socket.socket) -> None:
    nbd_join(client)
    client.sendall(nbd_request(READ, MIB) + nbd_request(DISC))
    read_to_end(client)


def nbd_closes(client: socket.socket) -> None:
    nbd_join(client)
    client.sendall(nbd_request(READ, PAGE_BYTES)[:20])


def nbd_is_killed(client: socket.socket) -> None:
    """With replies that it has not read."""
    nbd_join(client)
    client.sendall(nbd_request(READ, MIB) * 4)
    client.recv(1000)


def nbd_reads_nothing(client: socket.socket) -> None:
    nbd_join(client)
    client.sendall(nbd_request(READ, 32 * MIB) * 4)
    client.recv(1, socket.MSG_PEEK)


def nbd_sends_garbage(client: socket.socket) -> None:
    nbd_join(client)
    client.sendall(b"x" * 28)
    read_to_end(client)


def closes_at_once(client: socket.socket) -> None:
    pass


def sends_garbage(client: socket.socket) -> None:
    client.sendall(b"garbage, and more of it\r\n\r\n")
    client.settimeout(10)
    read_to_end(client)


def sends_half(said: bytes) -> Callable[[socket.socket], None]:
    return lambda client: client.sendall(said[: len(said) // 2])


def tmem_join(client: socket.socket) -> ClientProtocol:
    protocol = ClientProtocol()
    hello = hello_request("bench")
    pool = new_pool_request(PoolKind.PERSISTENT, "", is_exclusive=False)
    for request in (hello, pool):
        client.sendall(b"".join(pieces_of(request, protocol.begin(request))))
        while not request.is_done:
            protocol.on_received(client.recv_into(protocol.space()))
    return protocol


def tmem_closes(client: socket.socket) -> None:
    protocol = tmem_join(client)
    (put,) = put_requests(1, b"o", 0, bytes(4 * PAGE_BYTES))
    client.sendall(b"".join(pieces_of(put, protocol.begin(put))))
    client.recv(1)


def tmem_reads_nothing(client: socket.socket) -> None:
    protocol = tmem_join(client)
    pages = bytes(range(256)) * (8 * MIB // 256)
    target = bytearray(len(pages))
    for request in (*put_requests(1, b"o", 0, pages), *get_requests(1, b"o", 0, target)):
        client.sendall(b"".join(pieces_of(request, protocol.begin(request))))
    client.recv(1, socket.MSG_PEEK)


def tmem_sends_garbage(client: socket.socket) -> None:
    tmem_join(client)
    client.sendall(b"x" * 100)
    read_to_end(client)


def control_asks(client: socket.socket) -> None:
    client.sendall(b'{"command": "nodes"}\n')
    client.recv(1)


def control_sends_a_long_line(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.sendall(b"x" * 100_000)


def control_reads_nothing(client: socket.socket) -> None:
    client.sendall(b'{"command": "status"}\n' * 100)
    client.recv(1, socket.MSG_PEEK)


def metrics_scrapes(client: socket.socket) -> None:
    client.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    read_to_end(client)


def metrics_reads_nothing(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.sendall(GET * 50)
        client.recv(1, socket.MSG_PEEK)


def hello_frame(number: int) -> bytes:
    payload = Hello(
        cluster="bench",
        number=NodeId(number),
        name=f"n{number}",
        incarnation=Incarnation(time.time_ns()),
        unit_bytes=PAGE_BYTES,
        codecs=("lz4",),
        timers=TimersConfig(),
    ).encode()
    return encode_header(LinkType.HELLO, table_bytes=len(payload)) + payload


def link_is_reset(client: socket.socket) -> None:
    """After both HELLOs and a STATUS."""
    client.sendall(hello_frame(2))
    receive(client, 200)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def link_is_refused(client: socket.socket) -> None:
    client.sendall(hello_frame(3))
    client.settimeout(10)
    read_to_end(client)


def link_breaks_the_protocol(client: socket.socket) -> None:
    client.sendall(hello_frame(2))
    receive(client, 200)
    client.sendall(encode_header(99) + bytes(100))
    client.settimeout(10)
    read_to_end(client)


ENDS: dict[str, dict[str, Callable[[socket.socket], None]]] = {
    "nbd": {
        "disconnects": nbd_disconnects,
        "closes at once": closes_at_once,
        "closes in the handshake": sends_half(NBD_JOIN),
        "closes without a disconnect": nbd_closes,
        "is killed, replies unread": nbd_is_killed,
        "asks for 4 x 32 MiB, reads nothing": nbd_reads_nothing,
        "sends garbage": sends_garbage,
        "sends garbage after the handshake": nbd_sends_garbage,
    },
    "tmem": {
        "puts and closes": tmem_closes,
        "closes at once": closes_at_once,
        "closes in HELLO": sends_half(encode_header(TmemType.HELLO, request_id=1)),
        "asks for 8 MiB, reads nothing": tmem_reads_nothing,
        "sends garbage": sends_garbage,
        "sends garbage after HELLO": tmem_sends_garbage,
    },
    "control": {
        "asks and closes": control_asks,
        "closes at once": closes_at_once,
        "sends too long a line": control_sends_a_long_line,
        "asks 100 times, reads nothing": control_reads_nothing,
    },
    "metrics": {
        "scrapes": metrics_scrapes,
        "closes at once": closes_at_once,
        "closes in a request": sends_half(GET),
        "asks 50 times, reads nothing": metrics_reads_nothing,
        "sends garbage": sends_garbage,
    },
    "links": {
        "closes at once": closes_at_once,
        "closes in HELLO": sends_half(hello_frame(2)),
        "sends garbage": sends_garbage,
        "is no member": link_is_refused,
        "a link that is reset": link_is_reset,
        "a link that breaks the protocol": link_breaks_the_protocol,
    },
}
