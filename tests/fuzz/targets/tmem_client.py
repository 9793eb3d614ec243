"""Any bytes of a daemon end a program's requests, each once, or raise RemoteProtocolError; no buffer is written that was not offered."""

import random
from collections.abc import Mapping
from typing import Final

from net.errors import RemoteProtocolError
from net.frame import FrameDecoder
from net.packing import pack_fields
from ramsterd.client.errors import RamsterError
from ramsterd.client.protocol import ClientProtocol, Request
from ramsterd.client.requests import (
    destroy_request,
    dropped_pages,
    error_of,
    get_requests,
    hello_request,
    new_pool_request,
    opened_pool,
    pages_of,
    put_requests,
    status_of,
    status_request,
    stored_pages,
)
from ramsterd.frontends.tmem.messages import (
    COUNT,
    PAGE_BYTES,
    REPLY_LIMITS,
    ErrorCode,
    PageState,
    PoolKind,
    TmemType,
    Welcome,
    encode_error,
    encode_frame,
    place,
)
from tests.fuzz.repairing import Parts, change_field, repair_frames
from tests.fuzz.target import Target, pieces

GET_PAGES: Final = 5
GUARD: Final = b"\xa5" * 64


class Program:
    """A client with one request of each kind under way."""

    def __init__(self) -> None:
        self.protocol = ClientProtocol()
        self._memory = bytearray(GUARD + bytes(GET_PAGES * PAGE_BYTES) + GUARD)
        buffer = memoryview(self._memory)[len(GUARD) : -len(GUARD)]
        self.hello = hello_request("fuzz")
        self.opened = new_pool_request(PoolKind.PERSISTENT, "p", is_exclusive=False)
        (self.get,) = get_requests(1, b"o", 0, buffer)
        (self.put,) = put_requests(1, b"o", 0, bytes(2 * PAGE_BYTES))
        self.status = status_request()
        self.destroyed = destroy_request(1)
        self.requests = [self.hello, self.opened, self.get, self.put, self.status, self.destroyed]
        for each in self.requests:
            self.protocol.begin(each)

    def receive(self, data: bytes) -> set[str]:
        """Take bytes; return what ended."""
        ended: set[str] = set()
        while data:
            space = self.protocol.space()
            assert len(space) > 0, "nothing could ever be received again"
            count = min(len(space), len(data))
            space[:count], data = data[:count], data[count:]
            for request in self.protocol.on_received(count):
                assert request.is_done
                ended.add(self._read(request))
        return ended

    def check(self) -> None:
        """Look at the whole."""
        assert self._memory.startswith(GUARD)
        assert self._memory.endswith(GUARD)
        waiting = list(self.protocol.waiting.values())
        assert [each for each in self.requests if not each.is_done] == waiting
        assert self.protocol.in_flight_bytes == sum(each.in_flight_bytes for each in waiting)

    def _read(self, request: Request) -> str:
        """Return what a caller gets."""
        if request.error is not None:
            assert isinstance(error_of(request.error), RamsterError)
            return request.error[0].name
        if request is self.hello:
            Welcome.parse(request.reply)
        elif request is self.opened:
            number, _ = opened_pool(request)
            assert place(number)
        elif request is self.get:
            self._read_get(request)
        elif request is self.put:
            assert 0 <= stored_pages([request]) <= 2
        elif request is self.status:
            assert all(isinstance(each, int) for each in status_of(request).values())
        else:
            dropped_pages(request)
        return request.type.name

    def _read_get(self, request: Request) -> None:
        try:
            pages = pages_of([request])
        except RamsterError:
            assert {PageState.LOST, PageState.UNREACHABLE} & set(request.reply)
            return
        assert [page is not None for page in pages] == [
            state == PageState.PAGE for state in request.reply
        ]


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut."""
    program = Program()
    outcomes: set[str] = set()
    rule = data[0] if data else 0
    try:
        for piece in pieces(data[1:], rule):
            outcomes |= program.receive(piece)
    except RemoteProtocolError as error:
        assert str(error).isprintable(), "it may stand in a log"
        return outcomes | {"broke the protocol"}
    program.check()
    if program.get.is_done and not program.get.error:
        check_pages(program.get, data[1:])
    return outcomes | ({"farewell"} if program.protocol.farewell else set())


def check_pages(get: Request, stream: bytes) -> None:
    """Compare what a GET brought with the stream, read by the daemon's own decoder."""
    decoder = FrameDecoder(REPLY_LIMITS)
    stream = stream[: len(decoder.space())]
    decoder.space()[: len(stream)] = stream
    decoder.on_received(len(stream))
    for found in decoder.frames():
        if found.type == TmemType.GET:
            states, body = bytes(found.table), bytes(found.body)
            sent = [body[at : at + PAGE_BYTES] for at in range(0, len(body), PAGE_BYTES)]
            assert states == get.reply
            assert len(body) == states.count(PageState.PAGE) * PAGE_BYTES
            if {*states} <= {PageState.PAGE, PageState.MISS}:
                assert [page for page in pages_of([get]) if page is not None] == sent
            return


def replies(states: bytes = b"\1\0\1\1\1") -> list[bytes]:
    pages = b"".join(bytes([place]) * PAGE_BYTES for place in range(states.count(PageState.PAGE)))
    welcome = Welcome(
        pages_per_frame_max=128, requests_in_flight_max=256, in_flight_bytes_max=1 << 21, user=0
    )
    status = pack_fields([{"user": 1, "pools": 1, "pages": 2, "in_flight": 0}])
    return [
        encode_frame(TmemType.HELLO, 1, welcome.encode(), is_reply=True),
        encode_frame(TmemType.NEW_POOL, 2, pack_fields([1, 0]), is_reply=True),
        encode_frame(
            TmemType.GET, 3, states, count=len(states), body_bytes=len(pages), is_reply=True
        )
        + pages,
        encode_frame(TmemType.PUT, 4, count=2, is_reply=True),
        encode_frame(TmemType.STATUS, 5, status, is_reply=True),
        encode_frame(TmemType.DESTROY_POOL, 6, COUNT.pack(9), is_reply=True),
    ]


def short_get() -> bytes:
    """Return a GET's reply with a page less than its states say, which must break the protocol."""
    head = encode_frame(
        TmemType.GET, 3, b"\1\0\0\0\1", count=GET_PAGES, body_bytes=PAGE_BYTES, is_reply=True
    )
    return head + bytes(PAGE_BYTES)


def seeds() -> Mapping[str, bytes]:
    said = replies()
    errors = b"".join(encode_error(each, ErrorCode(each), "no") for each in range(1, 7))
    return {
        "in-order": b"\x00" + b"".join(said),
        "reversed": b"\x02" + b"".join(reversed(said)),
        "missing": b"\x01" + b"".join(replies(b"\0\0\0\0\0")),
        "lost": b"\x03" + b"".join(replies(b"\0\2\3\0\0")),
        "short": b"\x00" + short_get(),
        "errors": b"\x01" + errors + encode_error(0, ErrorCode.NOT_ALLOWED, "go away"),
        "twice": b"\x01" + said[0] * 2,
        "odd-pool": b"\x01"
        + encode_frame(TmemType.NEW_POOL, 2, pack_fields([-1, 0]), is_reply=True),
        "odd-status": b"\x01"
        + encode_frame(TmemType.STATUS, 5, pack_fields([{"user": None}]), is_reply=True),
        "garbage": b"\x01" + said[0] + b"HTTP/1.1 400 Bad Request\r\n\r\n",
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Make replies to what was asked, whose parts fit each other."""

    def repair_parts(
        frame_type: int, is_reply: bool, count: int, table: bytes, body: bytes
    ) -> Parts:
        if rng.random() < 0.1:
            return count, table, body
        match frame_type:
            case TmemType.GET:
                states = bytes(each % 4 for each in table[:GET_PAGES].ljust(GET_PAGES, b"\1"))
                body_bytes = states.count(PageState.PAGE) * PAGE_BYTES
                return GET_PAGES, states, body.ljust(body_bytes, b"\7")[:body_bytes]
            case TmemType.PUT:
                return count % 3, b"", b""
            case TmemType.DESTROY_POOL:
                return 0, table[: COUNT.size].ljust(COUNT.size, b"\0"), b""
            case TmemType.ERROR:
                return 0, table[:64], b""
            case _:
                pass
        table = change_field(table, rng) if rng.random() < 0.5 else table
        return 0, table[: REPLY_LIMITS[frame_type].table_bytes_max], b""

    return data[:1] + repair_frames(data[1:], REPLY_LIMITS, repair_parts)


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {"HELLO", "NEW_POOL", "GET", "PUT", "STATUS", "DESTROY_POOL", "farewell"}
        | {"BAD_REQUEST", "NO_ROOM", "broke the protocol"}
    ),
    repair=repair,
    bytes_max=32768,
)
