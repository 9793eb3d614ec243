"""A member made by hand: a real TLS identity, and frames as the test likes them."""

import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Self

from config.model import TimersConfig, TlsConfig
from net.frame import HEADER, HEADER_BYTES, LinkType, encode_header
from net.hello import Hello
from nodemanager.ids import Incarnation, NodeId
from tests.system.daemons import STOP_SECONDS_MAX, TIMERS

# header's fields, table, body
Received = tuple[tuple[int, ...], bytes, bytes]


def hello_of(number: int, incarnation: int = 1 << 50) -> Hello:
    return Hello(
        cluster="test",
        number=NodeId(number),
        name=f"n{number}",
        incarnation=Incarnation(incarnation),
        unit_bytes=4096,
        codecs=("lz4", "none"),
        timers=TimersConfig(**TIMERS),
    )


def frame(
    kind: int, *, count: int = 0, table: bytes = b"", body: bytes = b"",
    request_id: int = 0, is_reply: bool = False,
) -> bytes:  # fmt: skip
    header = encode_header(
        kind, request_id=request_id, is_reply=is_reply, count=count,
        table_bytes=len(table), body_bytes=len(body),
    )  # fmt: skip
    return header + table + body


@cache  # to read a key takes a millisecond
def context_of(tls: TlsConfig | None) -> ssl.SSLContext:
    """Return a client that shows this certificate, or none, and believes anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


class HandMade:
    """One connection to a daemon."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        """Connect; without a context as in a cluster without TLS."""
        plain = socket.create_connection(("127.0.0.1", port), STOP_SECONDS_MAX)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if context is None else context.wrap_socket(plain)
        self._requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> Received | None:
        """Return the next frame, None at the end of the connection."""
        try:
            head = self._exactly(HEADER_BYTES)
            if head is None:
                return None
            header = HEADER.unpack(head)
            table, body = self._exactly(header[7]), self._exactly(header[8])
        except (ssl.SSLError, ConnectionError):
            return None
        assert table is not None
        assert body is not None
        return header, table, body

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            got = self.socket.recv(count - len(data))
            if not got:
                return None
            data += got
        return data

    def wait_for(self, wanted: Callable[[tuple[int, ...]], bool]) -> Received | None:
        """Return the first frame whose header is wanted, None if the link ends before."""
        while (received := self.receive()) is not None:
            if wanted(received[0]):
                return received
        return None

    def greet(self, hello: Hello) -> Received | None:
        """Say HELLO and return the answer."""
        self.send(frame(LinkType.HELLO, table=hello.encode()))
        return self.receive()

    def ask(self, kind: int, *, count: int, table: bytes, body: bytes = b"") -> Received | None:
        """Send a request and return its reply, None if the link ends instead."""
        self._requests += 1
        number = self._requests
        self.send(frame(kind, count=count, table=table, body=body, request_id=number))
        return self.wait_for(lambda header: header[3] == 1 and header[6] == number)


def linked(port: int, tls: TlsConfig | None, hello: Hello) -> HandMade:
    """Return an open link of the member that `hello` says; without `tls` in a cluster without it."""
    link = HandMade(port, None if tls is None else context_of(tls))
    answer = link.greet(hello)
    assert answer is not None
    assert answer[0][2] == LinkType.HELLO, answer
    return link


def later(hello: Hello, lives: int = 1) -> Hello:
    return replace(hello, incarnation=Incarnation(hello.incarnation + lives))
