"""Any bytes at the metrics port are requests, each with one answer, or end the connection with one; little is kept."""

import random
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import h11

from ramsterd.observe.scrape import HEAD_BYTES_MAX, BadRequest, ScrapeProtocol
from tests.fuzz.target import Target, pieces

# The server receives so much at a time.
RECEIVE_BYTES: Final = 4096
BODY: Final = b"ramster_rows 1\n"
GET: Final = b"GET /metrics HTTP/1.1\r\nHost: n1\r\n\r\n"


class Scraper:
    """The server's side, and a client that reads what it answers."""

    def __init__(self) -> None:
        self.outcomes: set[str] = set()
        self.protocol = ScrapeProtocol()
        self.answers: list[bytes] = []

    def say(self, data: bytes) -> None:
        """Serve what comes, as the server of the port does."""
        protocol = self.protocol
        while data and not protocol.is_over:
            protocol.receive_data(data[:RECEIVE_BYTES])
            data = data[RECEIVE_BYTES:]
            self.serve()

    def end(self) -> None:
        if not self.protocol.is_over:
            self.protocol.receive_data(b"")
            self.serve()
            assert self.protocol.has_closed or self.protocol.is_over

    def serve(self) -> None:
        protocol = self.protocol
        try:
            while not protocol.is_over and (request := protocol.next_request()) is not None:
                assert request.path.isascii()
                self.outcomes.add("HEAD" if protocol.is_head else "GET")
                self.answer(HTTPStatus.OK)
        except BadRequest as error:
            assert str(error)
            self.answer(error.status)
            assert protocol.is_over
            self.outcomes.add(error.status.phrase)
        assert len(self.held()) <= HEAD_BYTES_MAX + RECEIVE_BYTES

    def held(self) -> bytes:
        return self.protocol._http.trailing_data[0]

    def answer(self, status: HTTPStatus) -> None:
        is_head = self.protocol.is_head
        answer = b"".join(self.protocol.answer(status, BODY))
        reader = h11.Connection(h11.CLIENT)
        method = "HEAD" if is_head else "GET"
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "n1")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(answer)
        response = reader.next_event()
        assert isinstance(response, h11.Response)
        assert response.status_code == status
        if not is_head:
            data = reader.next_event()
            assert isinstance(data, h11.Data)
            assert bytes(data.data) == BODY
        self.answers.append(answer)


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut."""
    whole, cut = Scraper(), Scraper()
    whole.say(data[1:])
    whole.end()
    for piece in pieces(data[1:], data[0] if data else 0):
        cut.say(piece)
    cut.end()
    # A head that is too long is found where a piece ends.
    if "Request Header Fields Too Large" not in whole.outcomes | cut.outcomes:
        assert cut.answers == whole.answers
    return whole.outcomes | cut.outcomes


def seeds() -> Mapping[str, bytes]:
    return {
        "get": b"\x01" + GET,
        "three": b"\x03"
        + GET
        + GET.replace(b"GET", b"HEAD")
        + GET.replace(b"\r\n\r\n", b"\r\nAccept: a\r\n\r\n"),
        "old": b"\x00GET / HTTP/1.0\r\n\r\n" + GET,
        "close": b"\x00" + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET,
        "no-host": b"\x00GET /metrics HTTP/1.1\r\n\r\n",
        "body": b"\x00GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        "chunked": b"\x00POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "expect": b"\x00GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        "connect": b"\x00CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" + GET,
        "upgrade": b"\x00"
        + GET.replace(b"\r\n\r\n", b"\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n")
        + GET,
        "http2": b"\x00PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "long": b"\x02GET /" + b"m" * (HEAD_BYTES_MAX + 1),
        "fields": b"\x02GET / HTTP/1.1\r\n" + b"a: b\r\n" * (HEAD_BYTES_MAX // 6),
        "tls": b"\x00\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        "cut": b"\x00" + GET[:20],
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Make lines of what is there, with a first one that is right."""
    rest = data[1:].partition(b"\r\n")[2]
    method = rng.choice((b"GET", b"HEAD", b"POST", b"CONNECT"))
    return data[:1] + method + b" /metrics HTTP/1.1\r\nHost: n1\r\n" + rest + b"\r\n\r\n"


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {"GET", "HEAD", "Method Not Allowed", "Bad Request", "Request Header Fields Too Large"}
        | {HTTPStatus.REQUEST_ENTITY_TOO_LARGE.phrase}
    ),
    repair=repair,
    bytes_max=16384,
    tokens=(b"GET ", b" HTTP/1.1", b"\r\n", b"Host: ", b"Content-Length: ", b"chunked", b"Connection: "),
)  # fmt: skip
