"""Any bytes of a program are requests that get one answer each, or RemoteProtocolError; once all is answered the books of pools balance."""

import random
from collections.abc import Mapping
from typing import Final

from net.errors import RemoteProtocolError
from net.frame import FrameDecoder
from ramsterd.core.page import OBJECT_ID_BYTES_MAX, PAGE_BYTES, PoolKind
from ramsterd.frontends.tmem.counters import Counters
from ramsterd.frontends.tmem.messages import (
    COUNT,
    IN_FLIGHT_BYTES_MAX,
    INDEX_MAX,
    PAGES_PER_FRAME_MAX,
    PLACE,
    RANGE,
    REPLY_BYTES_MAX,
    REPLY_LIMITS,
    REQUEST_LIMITS,
    NewPool,
    TmemType,
    encode_frame,
    hello,
    page_range,
    parse_error,
    place,
)
from ramsterd.frontends.tmem.pool_records import Quotas
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.session import Session
from tests.fakes.fake_pool_pager import FakePoolPager
from tests.fuzz.repairing import Parts, change_field, repair_frames
from tests.fuzz.target import Target, pieces
from tests.helpers.buffers import unread_bytes

QUOTAS: Final = Quotas(pool_pages_max=4, user_pages_max=6, user_objects_max=4, pools_per_user_max=3)
USER: Final = 1000
# Bits of the second byte of an input.
IS_DELAYED, IS_FULL, IS_LOSING = 1, 2, 4
PAGES_MAX: Final = 2


class Program:
    """One program and its connection over a pager that does as the bits say."""

    def __init__(self, bits: int) -> None:
        self.outcomes: set[str] = set()
        self._pager = FakePoolPager()
        self._pager.is_delaying = bool(bits & IS_DELAYED)
        self._pager.is_refusing = bool(bits & IS_FULL)
        self._pager.room_pages = 0 if bits & IS_FULL else 1 << 40
        self._pager.lost = {1} if bits & IS_LOSING else set()
        self._book = PoolBook(self._pager, QUOTAS)
        self._counters = Counters()
        self._session = Session(self._pager, self._book, USER, self._counters, lambda: None)
        self._replies = FrameDecoder(REPLY_LIMITS)
        self._answered = 0

    def say(self, data: bytes) -> None:
        """Send bytes, and take what is answered whenever the daemon waits for that."""
        session = self._session
        while data:
            space = session.received.space()
            assert len(space) > 0, "nothing could ever be received again"
            count = min(len(space), len(data))
            space[:count], data = data[:count], data[count:]
            session.received.on_received(count)
            session.serve()
            while session.has_unserved:
                self._check_bounds()
                if session.is_full:
                    self._release()
                session.serve()
            self._take()

    def end(self) -> None:
        """Let all that waits be answered, close, and look at the books."""
        self._release()
        self._book.check_invariants()
        assert self._session.in_flight.count == self._session.in_flight.bytes == 0
        asked = sum(self._counters.requests)
        # The one that broke the protocol has no answer, and was counted or not.
        assert self._answered <= asked <= self._answered + 1
        pools = [pool for owner in self._book._users.values() for pool in owner.pools]
        assert not any(pool.waiting_pages for pool in pools), "charged for what waits no more"
        self._session.close()
        self._sweep()
        self._book.check_invariants()
        assert self._counters.in_flight_count == 0
        assert all(snapshot.name for snapshot in self._book.pool_snapshots()), (
            "a private pool was left"
        )

    def _check_bounds(self) -> None:
        reply_bytes = REPLY_BYTES_MAX + (PAGES_PER_FRAME_MAX + 1) * PAGE_BYTES
        assert self._session.replies.queued_bytes <= reply_bytes
        most = IN_FLIGHT_BYTES_MAX + PAGES_PER_FRAME_MAX * PAGE_BYTES
        assert self._session.in_flight.bytes <= most

    def _release(self) -> None:
        self._sweep()
        while self._pager.delayed:
            self._pager.release()
        self._take()

    def _sweep(self) -> None:
        while self._book.is_sweeping:
            self._book.sweep(1)

    def _take(self) -> None:
        """Read the answers as a client would."""
        self._check_bounds()
        replies = self._session.replies
        data = b"".join(replies.pieces)
        assert len(data) == replies.queued_bytes
        replies.on_sent(len(data))
        while data:
            space = self._replies.space()
            count = min(len(space), len(data))
            space[:count], data = data[:count], data[count:]
            self._replies.on_received(count)
            for each in self._replies.frames():
                assert each.is_reply
                self._answered += 1
                said = TmemType(each.type).name
                if each.type == TmemType.ERROR:
                    code, text = parse_error(each.table)
                    assert text.isprintable(), "it stands in a log"
                    said = code.name
                elif each.type == TmemType.GET:
                    self.outcomes |= {f"state {state}" for state in bytes(each.table)}
                self.outcomes.add(said)
        assert unread_bytes(self._replies) == 0, "half an answer"


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut, the second is of bits, see above."""
    rule, bits = [*data[:2], 0, 0][:2]
    program = Program(bits)
    try:
        for piece in pieces(data[2:], rule):
            program.say(piece)
    except RemoteProtocolError as error:
        assert str(error).isprintable(), "it stands in a log"
        program.outcomes.add("broke the protocol")
    program.end()
    return program.outcomes


class Script:
    """Requests with ids that rise."""

    def __init__(self) -> None:
        self.data = b""
        self._id = 0
        self.ask(TmemType.HELLO, hello("fuzz"))

    def ask(
        self, kind: TmemType, table: bytes = b"", *, count: int = 0, body: bytes = b""
    ) -> "Script":
        self._id += 1
        self.data += encode_frame(kind, self._id, table, count=count, body_bytes=len(body)) + body
        return self

    def pool(
        self, kind: PoolKind, name: str = "", codec: str = "lz4", *, exclusive: bool = False
    ) -> "Script":
        return self.ask(TmemType.NEW_POOL, NewPool(kind, name, codec, exclusive).encode())

    def put(self, pool: int, index: int = 0, pages: int = 1, object_id: bytes = b"o") -> "Script":
        table = place(pool, object_id, index)
        return self.ask(TmemType.PUT, table, count=pages, body=bytes(pages * PAGE_BYTES))

    def get(self, pool: int, index: int = 0, pages: int = 1) -> "Script":
        return self.ask(TmemType.GET, place(pool, b"o", index), count=pages)


def seeds() -> Mapping[str, bytes]:
    def work() -> Script:
        script = Script().pool(PoolKind.PERSISTENT, "swap").pool(PoolKind.EPHEMERAL, exclusive=True)
        script.put(1, pages=2).put(2).get(1, pages=3).get(2).get(2).ask(TmemType.STATUS)
        script.ask(TmemType.FLUSH_PAGES, page_range(1, b"o", 0, 1))
        script.ask(TmemType.FLUSH_OBJECT, place(1, b"o")).ask(TmemType.DESTROY_POOL, place(2))
        return script

    wrong = Script().pool(PoolKind.PERSISTENT, "p").pool(PoolKind.EPHEMERAL, "p")
    wrong.pool(PoolKind.PERSISTENT, "p", "none").pool(PoolKind.PERSISTENT, "q", exclusive=True)
    wrong.pool(PoolKind.EPHEMERAL).pool(PoolKind.EPHEMERAL).pool(PoolKind.EPHEMERAL).get(9)
    wrong.get(1, INDEX_MAX, 2).ask(TmemType.FLUSH_PAGES, page_range(1, b"o", 1, 0))
    quota = Script().pool(PoolKind.PERSISTENT, "p").pool(PoolKind.PERSISTENT, "q")
    for pool, index in ((1, 0), (1, 2), (1, 4), (2, 0), (2, 2)):
        quota.put(pool, index, 2)
    return {
        "work": b"\x00\x00" + work().data,
        "late": b"\x03\x01" + work().data,
        "no-room": b"\x00\x02" + work().data,
        "lost": b"\x02\x04" + work().data,
        "lost-late": b"\x00\x05" + work().get(1, 0, 3).data,
        "wrong": b"\x01\x00" + wrong.data,
        "quota": b"\x00\x00" + quota.data,
        "version": b"\x01\x00" + encode_frame(TmemType.HELLO, 1, b"\x92\x02\xa1x"),
        "early": b"\x01\x00" + encode_frame(TmemType.STATUS, 1),
        "reply": b"\x01\x00" + Script().data + encode_frame(TmemType.STATUS, 0),
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Begin with HELLO; make requests whose parts fit, most of them of the pools 1 to 3 and with few pages."""

    def repair_parts(
        frame_type: int, is_reply: bool, count: int, table: bytes, body: bytes
    ) -> Parts:
        if rng.random() < 0.1:
            return count, table, body
        return fit(frame_type, count, table, body)

    def fit(frame_type: int, count: int, table: bytes, body: bytes) -> Parts:
        match frame_type:
            case TmemType.HELLO | TmemType.NEW_POOL:
                table = change_field(table, rng) if rng.random() < 0.2 else table
                return 0, table[: REQUEST_LIMITS[frame_type].table_bytes_max], b""
            case TmemType.STATUS:
                return 0, b"", b""
            case TmemType.FLUSH_PAGES:
                tail = table[PLACE.size : RANGE.size].ljust(COUNT.size, b"\0")
                return 0, repair_place(table) + tail, b""
            case TmemType.PUT:
                count = 1 + count % PAGES_MAX
                return (
                    count,
                    repair_place(table),
                    body.ljust(PAGES_MAX * PAGE_BYTES, b"\1")[: count * PAGE_BYTES],
                )
            case TmemType.GET:
                return 1 + (count - 1) % PAGES_PER_FRAME_MAX, repair_place(table), b""
            case _:
                return 0, repair_place(table), b""

    stream = repair_frames(data[2:], REQUEST_LIMITS, repair_parts)
    has_hello = stream[3:4] == bytes([TmemType.HELLO])
    return data[:2] + (stream if has_hello else Script().data + stream)


def repair_place(table: bytes) -> bytes:
    """Name one of few pools, an object id that is short enough, and an index that is often small."""
    pool, index, count, object_id = PLACE.unpack(table[: PLACE.size].ljust(PLACE.size, b"\0"))
    index = index if index <= INDEX_MAX else index % 8
    return PLACE.pack(pool % 4, index, count % (OBJECT_ID_BYTES_MAX + 1), object_id)


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {kind.name for kind in TmemType if kind is not TmemType.ERROR}
        | {"BAD_REQUEST", "NO_SUCH_POOL", "NO_ROOM", "POOL_QUOTA", "USER_QUOTA", "TOO_MANY_POOLS"}
        | {"WRONG_VERSION", "KIND_DIFFERS", "CODEC_DIFFERS", "state 0", "state 1", "state 2"}
        | {"broke the protocol"}
    ),
    repair=repair,
    bytes_max=32768,
    tokens=(b"persistent", b"ephemeral", b"lz4", b"zstd", b"none"),
)
