"""The requests of one client: one pass over all that was received.

Pure.  A pass turns each complete request into calls of the pager and collects the replies in one list; the shell
then settles the pager and sends the list.  A request that waits for a peer or for room leaves a callback with the
pager, which appends its reply later and calls `on_late_reply`.

What a client may cost is bounded.  `is_full` says when to stop receiving; a pass ends after `PASS_WORK_MAX` and
goes on, as `has_unserved` says, after the shell has let others have their turn.  A flush of many pages is a job
done over several passes, before any later request, so that it can't drop what was put after it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from config.model import PoolCodec
from net.errors import RemoteProtocolError
from net.frame import Frame, FrameDecoder
from net.packing import pack_fields
from ramsterd.core.page import INDEX_MAX, PAGE_BYTES, PoolKind
from ramsterd.core.table import LEAF_PAGES
from ramsterd.pager import GetOutcome, GetResult, PutOutcome
from ramsterd.tmemd.counters import Counters
from ramsterd.tmemd.messages import (
    COUNT,
    IN_FLIGHT_BYTES_MAX,
    PAGES_PER_FRAME_MAX,
    REPLY_BYTES_MAX,
    REQUEST_LIMITS,
    REQUESTS_IN_FLIGHT_MAX,
    VERSION,
    BadRequest,
    ErrorCode,
    NewPool,
    PageState,
    TmemType,
    Welcome,
    encode_error,
    encode_reply,
    parse_hello,
    parse_place,
    parse_put,
    parse_range,
    parse_run,
)
from ramsterd.tmemd.pools import PoolBook, PoolPager, Refused, TmemPool
from ramsterd.tmemd.replies import ReplyQueue

# In pages; about 5 ms of puts.
PASS_WORK_MAX: Final = 1024
# What a request costs apart from its pages.
_REQUEST_WORK: Final = 4
# Leaves flushed in one slice: 1024 pages.
FLUSH_LEAVES_MAX: Final = PASS_WORK_MAX // LEAF_PAGES
# Finding the leaves of a long range may walk all leaves of its object.
_LONG_RANGE_WORK: Final = PASS_WORK_MAX // 4
# Pools that one connection may have open; a named one may be opened twice.
OPEN_POOLS_MAX: Final = 1024

_ALL_PAGES: Final = bytes([PageState.PAGE])
_STATE_OF: Final = {
    GetOutcome.LOST: PageState.LOST,
    GetOutcome.UNREACHABLE: PageState.UNREACHABLE,
}
assert set(_STATE_OF) == set(GetOutcome)


@dataclass(slots=True, eq=False)
class OpenPool:
    """A pool as one connection has it open."""

    pool: TmemPool
    is_exclusive: bool


@dataclass(slots=True, eq=False)
class Flush:
    """A flush under way: the leaves that are left, and the range they are cut to."""

    frame_type: int
    request_id: int
    pool: TmemPool
    object_id: bytes
    start: int
    end: int
    leaf_starts: list[int]
    dropped: int = 0


@dataclass(slots=True, eq=False)
class PageByPage:
    """A get of a run with a lost page in it, whose other pages are wanted all the same."""

    request_id: int
    opened: OpenPool
    object_id: bytes
    index: int
    states: bytearray
    pages: list[bytes | None]
    missing: int


class Session:
    """One connection's requests and replies.

    `received` is filled and `replies` is sent by the shell.  After an exception the connection is of no further
    use: `close` it.
    """

    def __init__(
        self,
        pager: PoolPager,
        book: PoolBook,
        user: int,
        counters: Counters,
        on_late_reply: Callable[[], None],
    ) -> None:
        self.received = FrameDecoder(REQUEST_LIMITS)
        self.replies = ReplyQueue()
        self.client_name = ""
        self.is_greeted = False
        self.is_closed = False
        # The pass ended before all that was received was served.
        self.has_unserved = False
        self.in_flight_count = 0
        self.in_flight_bytes = 0
        self._pager = pager
        self._book = book
        self._user = user
        self._counters = counters
        self._on_late_reply = on_late_reply
        self._pools: dict[int, OpenPool] = {}
        self._last_pool = 0
        self._flush: Flush | None = None
        self._in_pass = False
        self._work = 0
        self._handlers: dict[int, Callable[[Frame], None]] = {
            TmemType.HELLO: self._on_hello,
            TmemType.NEW_POOL: self._on_new_pool,
            TmemType.DESTROY_POOL: self._on_destroy_pool,
            TmemType.PUT: self._on_put,
            TmemType.GET: self._on_get,
            TmemType.FLUSH_PAGES: self._on_flush_pages,
            TmemType.FLUSH_OBJECT: self._on_flush_object,
            TmemType.STATUS: self._on_status,
        }
        assert set(self._handlers) == set(REQUEST_LIMITS)

    @property
    def is_full(self) -> bool:
        """Whether to serve and receive nothing until replies have left or waits have ended."""
        return (
            self.replies.queued_bytes >= REPLY_BYTES_MAX
            or self.in_flight_bytes >= IN_FLIGHT_BYTES_MAX
            or self.in_flight_count >= REQUESTS_IN_FLIGHT_MAX
        )

    def close(self) -> None:
        """The connection is over: its private pools go, replies queued and to come are forgotten."""
        self.is_closed = True
        self._counters.in_flight -= self.in_flight_count
        self.replies = ReplyQueue()
        self._flush = None
        for opened in self._pools.values():
            self._book.close(opened.pool)
        self._pools.clear()

    def serve(self) -> None:
        """Serve what was received, until a bound is reached.

        Raises:
            RemoteProtocolError: The client broke the protocol.  Requests before that were served.
        """
        self._in_pass = True
        self._work = 0
        self.has_unserved = False
        try:
            if self._flush is not None:
                self._go_on_flushing(self._flush)
            if self._flush is None and not self.is_full:
                self._serve_frames()
        finally:
            self._in_pass = False
        self.has_unserved = self.has_unserved or self._flush is not None

    def _serve_frames(self) -> None:
        handlers, requests = self._handlers, self._counters.requests
        for frame in self.received.frames():
            handler = handlers.get(frame.type)
            if handler is None or frame.is_reply or not frame.request_id:
                raise RemoteProtocolError(
                    f"a frame of type {frame.type} with id {frame.request_id}, which is no request"
                )
            if not self.is_greeted and frame.type != TmemType.HELLO:
                raise RemoteProtocolError(f"a request of type {frame.type} before HELLO")
            requests[frame.type] += 1
            try:
                handler(frame)
            except BadRequest as error:
                self._refuse(frame.request_id, ErrorCode.BAD_REQUEST, str(error))
            except Refused as error:
                self._refuse(frame.request_id, error.code, str(error))
            self._work += _REQUEST_WORK + frame.count
            if self._flush is not None or self._work >= PASS_WORK_MAX or self.is_full:
                self.has_unserved = True
                return

    # Control.

    def _on_hello(self, frame: Frame) -> None:
        if self.is_greeted:
            raise RemoteProtocolError("a second HELLO")
        version, self.client_name = parse_hello(frame.table)
        if version != VERSION:
            text = f"tmem version {version}; this daemon speaks {VERSION}"
            raise Refused(ErrorCode.WRONG_VERSION, text)
        self.is_greeted = True
        welcome = Welcome(
            pages_per_frame_max=PAGES_PER_FRAME_MAX,
            requests_in_flight_max=REQUESTS_IN_FLIGHT_MAX,
            in_flight_bytes_max=IN_FLIGHT_BYTES_MAX,
            user=self._user,
        )
        self._answer(TmemType.HELLO, frame.request_id, welcome.encode())

    def _on_new_pool(self, frame: Frame) -> None:
        wanted = NewPool.parse(frame.table)
        if len(self._pools) >= OPEN_POOLS_MAX:
            raise Refused(ErrorCode.TOO_MANY_POOLS, f"{OPEN_POOLS_MAX} pools are open here")
        pool = self._book.open(self._user, wanted.kind, wanted.name, PoolCodec(wanted.codec))
        self._last_pool += 1
        self._pools[self._last_pool] = OpenPool(pool, wanted.is_exclusive)
        fields = pack_fields([self._last_pool, pool.pages])
        self._answer(TmemType.NEW_POOL, frame.request_id, fields)

    def _on_destroy_pool(self, frame: Frame) -> None:
        number, _, _ = parse_place(frame)
        opened = self._find(number)
        del self._pools[number]
        opened.pool.connections -= 1
        self._owe(0)
        self._book.destroy(opened.pool, partial(self._on_destroyed, frame.request_id))

    def _on_destroyed(self, request_id: int, dropped: int) -> None:
        if self._settle_debt(0):
            self._answer(TmemType.DESTROY_POOL, request_id, COUNT.pack(dropped))
            self._on_late()

    def _on_status(self, frame: Frame) -> None:
        pools = [opened.pool for opened in self._pools.values()]
        status = {
            "user": self._user,
            "pools": len(pools),
            "pages": sum(pool.pages for pool in pools if not pool.is_gone),
            "in_flight": self.in_flight_count,
        }
        # A list of one map, for messages are lists.
        self._answer(TmemType.STATUS, frame.request_id, pack_fields([status]))

    def _find(self, number: int) -> OpenPool:
        opened = self._pools.get(number)
        if opened is None:
            raise Refused(ErrorCode.NO_SUCH_POOL, f"this connection has no pool {number}")
        if opened.pool.is_gone:
            raise Refused(ErrorCode.NO_SUCH_POOL, "another connection destroyed this pool")
        return opened

    # Put.

    def _on_put(self, frame: Frame) -> None:
        number, object_id, index = parse_put(frame)
        pool, count, request_id = self._find(number).pool, frame.count, frame.request_id
        before, charged = self._book.charge(pool, object_id, index, count)
        if pool.kind is PoolKind.EPHEMERAL:
            stored = self._pager.put_now(pool.pool, object_id, index, frame.body)
            if stored < count:
                self._book.correct(pool, object_id, index, count, before=before, charged=charged)
            self._answer(TmemType.PUT, request_id, count=stored)
            return
        done = partial(self._on_late_put, request_id, pool, count)
        outcome = self._pager.put(pool.pool, object_id, index, frame.body, done)
        if outcome is None:
            pool.waiting_pages += count
            self._owe(count * PAGE_BYTES)
            return
        if outcome is PutOutcome.REFUSED:
            self._book.correct(pool, object_id, index, count, before=before, charged=charged)
        self._answer_put(request_id, count, outcome)

    def _on_late_put(
        self, request_id: int, pool: TmemPool, count: int, outcome: PutOutcome
    ) -> None:
        # What was refused stays charged until the pool is counted anew: other requests came in between.
        pool.waiting_pages -= count
        if self._settle_debt(count * PAGE_BYTES):
            self._answer_put(request_id, count, outcome)
            self._on_late()

    def _answer_put(self, request_id: int, count: int, outcome: PutOutcome) -> None:
        if outcome is PutOutcome.STORED:
            self._answer(TmemType.PUT, request_id, count=count)
        else:
            self._refuse(request_id, ErrorCode.NO_ROOM, outcome.value)

    # Get.

    def _on_get(self, frame: Frame) -> None:
        number, object_id, index = parse_run(frame)
        opened, count, request_id = self._find(number), frame.count, frame.request_id
        done = partial(self._on_late_get, request_id, opened, object_id, index, count)
        result = self._pager.get(opened.pool.pool, object_id, index, count, done)
        if result is None:
            self._owe(count * PAGE_BYTES)
        else:
            self._answer_get(request_id, opened, object_id, index, count, result)

    def _on_late_get(
        self,
        request_id: int,
        opened: OpenPool,
        object_id: bytes,
        index: int,
        count: int,
        result: GetResult,
    ) -> None:
        if self._settle_debt(count * PAGE_BYTES):
            self._answer_get(request_id, opened, object_id, index, count, result)
            self._on_late()

    def _answer_get(
        self,
        request_id: int,
        opened: OpenPool,
        object_id: bytes,
        index: int,
        count: int,
        result: GetResult,
    ) -> None:
        if result is GetOutcome.LOST and count > 1 and not opened.pool.is_gone:
            self._get_page_by_page(request_id, opened, object_id, index, count)
        elif isinstance(result, GetOutcome):
            self._answer_states(request_id, bytes([_STATE_OF[result]]) * count, [])
        else:
            pages = [page for page in result if page is not None]
            is_whole = len(pages) == count
            states = _ALL_PAGES * count if is_whole else bytes(each is not None for each in result)
            self._answer_states(request_id, states, pages)
            if opened.is_exclusive and pages:
                self._take(opened, object_id, index, count)

    def _take(self, opened: OpenPool, object_id: bytes, index: int, count: int) -> None:
        """An exclusive get takes the pages with it.  A page put while the get waited goes too: it may vanish."""
        if not opened.pool.is_gone:
            dropped = self._pager.drop(opened.pool.pool, object_id, index, count)
            self._book.on_dropped(opened.pool, dropped)

    def _answer_states(self, request_id: int, states: bytes, pages: list[bytes]) -> None:
        body_bytes = len(pages) * PAGE_BYTES
        self._answer(TmemType.GET, request_id, states, count=len(states), body_bytes=body_bytes)
        self.replies.pieces += pages
        self.replies.queued_bytes += body_bytes

    def _get_page_by_page(
        self, request_id: int, opened: OpenPool, object_id: bytes, index: int, count: int
    ) -> None:
        pages: list[bytes | None] = [None] * count
        # One more, so that it can't be over before all pages are asked for.
        run = PageByPage(
            request_id, opened, object_id, index, bytearray(count), pages, missing=count + 1
        )
        self._owe(count * PAGE_BYTES)
        for position in range(count):
            done = partial(self._on_page, run, position)
            result = self._pager.get(opened.pool.pool, object_id, index + position, 1, done)
            if result is not None:
                done(result)
        self._count_down(run)

    def _on_page(self, run: PageByPage, position: int, result: GetResult) -> None:
        if isinstance(result, GetOutcome):
            run.states[position] = _STATE_OF[result]
        else:
            run.pages[position] = result[0]
            run.states[position] = PageState.MISS if result[0] is None else PageState.PAGE
        self._count_down(run)

    def _count_down(self, run: PageByPage) -> None:
        run.missing -= 1
        if run.missing or not self._settle_debt(len(run.pages) * PAGE_BYTES):
            return
        pages = [page for page in run.pages if page is not None]
        self._answer_states(run.request_id, bytes(run.states), pages)
        self._on_late()

    # Flush.

    def _on_flush_pages(self, frame: Frame) -> None:
        number, object_id, index, count = parse_range(frame)
        self._begin_flush(frame, self._find(number).pool, object_id, index, index + count)

    def _on_flush_object(self, frame: Frame) -> None:
        number, object_id, _ = parse_place(frame)
        self._begin_flush(frame, self._find(number).pool, object_id, 0, INDEX_MAX + 1)

    def _begin_flush(
        self, frame: Frame, pool: TmemPool, object_id: bytes, start: int, end: int
    ) -> None:
        leaf_starts = self._pager.leaf_starts(pool.pool, object_id, start, end - start)
        if end - start > PASS_WORK_MAX:
            self._work += _LONG_RANGE_WORK
        flush = Flush(frame.type, frame.request_id, pool, object_id, start, end, leaf_starts)
        self._flush = flush
        self._go_on_flushing(flush)

    def _go_on_flushing(self, flush: Flush) -> None:
        """Flush a slice; at the end answer and let the next requests come."""
        pool = flush.pool
        some = flush.leaf_starts[-FLUSH_LEAVES_MAX:]
        del flush.leaf_starts[-FLUSH_LEAVES_MAX:]
        if pool.is_gone:
            self._flush = None
            text = "another connection destroyed this pool"
            self._refuse(flush.request_id, ErrorCode.NO_SUCH_POOL, text)
            return
        for leaf_start in some:
            start = max(flush.start, leaf_start)
            end = min(flush.end, leaf_start + LEAF_PAGES)
            dropped = self._pager.drop(pool.pool, flush.object_id, start, end - start)
            flush.dropped += dropped
            self._work += dropped
            self._book.on_dropped(pool, dropped)
        if not flush.leaf_starts:
            self._flush = None
            self._answer(flush.frame_type, flush.request_id, COUNT.pack(flush.dropped))

    # Replies.

    def _answer(
        self,
        frame_type: int,
        request_id: int,
        table: bytes = b"",
        *,
        count: int = 0,
        body_bytes: int = 0,
    ) -> None:
        piece = encode_reply(frame_type, request_id, table, count=count, body_bytes=body_bytes)
        self.replies.pieces.append(piece)
        self.replies.queued_bytes += len(piece)

    def _refuse(self, request_id: int, code: ErrorCode, text: str) -> None:
        self._counters.errors[code] += 1
        piece = encode_error(request_id, code, text)
        self.replies.pieces.append(piece)
        self.replies.queued_bytes += len(piece)

    def _owe(self, count_bytes: int) -> None:
        self.in_flight_count += 1
        self.in_flight_bytes += count_bytes
        self._counters.in_flight += 1

    def _settle_debt(self, count_bytes: int) -> bool:
        """Take note that a request waits no more; return whether its reply is still wanted."""
        if self.is_closed:
            return False
        self.in_flight_count -= 1
        self.in_flight_bytes -= count_bytes
        self._counters.in_flight -= 1
        return True

    def _on_late(self) -> None:
        if not self._in_pass:
            self._on_late_reply()
