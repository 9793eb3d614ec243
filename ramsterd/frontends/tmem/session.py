"""The requests of one client: one pass over all that was received.

Pure.  A pass turns each complete request into calls of the pager and collects the replies in one
list; the shell then settles the pager and sends the list.  A request that waits for a peer or for
room leaves a callback with the pager, which appends its reply later and calls `on_late_reply`.

What a client may cost is bounded.  `is_full` says when to stop receiving; a pass ends after
`PASS_WORK_MAX` and goes on, as `has_unserved` says, after the shell has let others have their turn.
A flush of many pages is a job done over several passes, before any later request, so that it can't
drop what was put after it.  The first put to a named persistent pool is held, with all behind it,
until the state file names the pool (`statefile.marks`).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final

from config.model import PoolCodec
from net.buffers import BufferPool
from net.errors import RemoteProtocolError
from net.frame import Frame, FrameDecoder
from net.packing import pack_fields
from ramsterd.core.page import INDEX_MAX, PAGE_BYTES
from ramsterd.frontends.clients.in_flight import InFlight
from ramsterd.frontends.pager.interface import PoolClient
from ramsterd.frontends.tmem.counters import Counters
from ramsterd.frontends.tmem.flushing import FLUSH_PAGES_MAX, Flush
from ramsterd.frontends.tmem.gets import Get, Gets
from ramsterd.frontends.tmem.handed import Handed
from ramsterd.frontends.tmem.messages import (
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
    TmemType,
    Welcome,
    parse_hello,
    parse_place,
    parse_put,
    parse_range,
    parse_run,
)
from ramsterd.frontends.tmem.open_pools import POOL_GONE, OpenPools
from ramsterd.frontends.tmem.pool_records import Refused, TmemPool
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.puts import Puts
from ramsterd.frontends.tmem.replies import Replies

# In pages; about 5 ms of puts.
PASS_WORK_MAX: Final = 1024
# What a request costs apart from its pages.
_REQUEST_WORK: Final = 4
# Finding the leaves of a long range may walk all leaves of its object.
_LONG_RANGE_WORK: Final = PASS_WORK_MAX // 4

_STATE_UNWRITTEN: Final = "the daemon can't write its state file: see its log; nothing was stored"
assert FLUSH_PAGES_MAX <= PASS_WORK_MAX, "a slice of a flush is one pass at most"


class Session:
    """One connection's requests and replies.

    `received` is filled and `replies` is sent by the shell.  After an exception the connection is
    of no further use: `close` it.
    """

    # This protocol has no goodbye: a client that is done closes its connection.
    is_disconnecting: Final = False

    def __init__(
        self,
        pager: PoolClient,
        book: PoolBook,
        user: int,
        counters: Counters,
        on_late_reply: Callable[[], object],
        *,
        pool: BufferPool | None = None,
    ) -> None:
        self.received = FrameDecoder(REQUEST_LIMITS, pool=pool)
        self.replies = Replies(counters.errors)
        self.in_flight = InFlight(
            counters,
            on_late_reply,
            bytes_max=IN_FLIGHT_BYTES_MAX,
            requests_max=REQUESTS_IN_FLIGHT_MAX,
        )
        self.client_name = ""
        self.is_greeted = False
        # See `Requests`.  A get of an ephemeral pool takes its page away.
        self.has_unserved = self.has_only_read = False
        self._pager = pager
        self._book = book
        self._user = user
        self._counters = counters
        self._pools = OpenPools(book)
        latency = counters.latency
        self._puts = Puts(pager, book, self.replies, self.in_flight, latency)
        self._gets = Gets(pager, book, self.replies, self.in_flight, latency)
        self._flush: Flush | None = None
        # A put that is to be served before anything else, and whether it still waits for the state
        # file.
        self._held: Frame | None = None
        self._is_waiting = False
        # The state file couldn't be written, which the held put is told.
        self._is_unmarked = False
        # Of the last pass, in pages; those that came over the socket are in it, and known apart.
        self._work = 0
        self._received_pages = 0

    @property
    def is_full(self) -> bool:
        """Whether to serve and receive nothing until replies have left or waits have ended."""
        return (
            self._is_waiting
            or self.replies.queued_bytes >= REPLY_BYTES_MAX
            or self.in_flight.is_full
        )

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits, for the pager, the state file, or a destroyed pool to be swept."""
        return self._is_waiting or bool(self.in_flight.count)

    @property
    def lacks_bytes(self) -> bool:
        """Whether all that is received is the beginning of one request: there is nothing to serve yet."""
        return self.received.lacks_bytes

    @property
    def pages_of_pass(self) -> int:
        """How much work the last pass was, in pages, apart from those that came over the socket."""
        return self._work - self._received_pages

    def close(self) -> None:
        """The connection is over: what it waits for has no effect any more, its private pools go, replies are forgotten.

        May be called twice.
        """
        self._pager.close()
        self.in_flight.close()
        self.received.close()
        self._puts.close()
        self.replies.clear()
        self._flush = self._held = None
        self._is_waiting = False
        self._pools.close()

    def serve(self) -> None:
        """Serve what was received, until a bound is reached.

        Raises:
            RemoteProtocolError: The client broke the protocol.  Requests before that were served.
        """
        self._work = self._received_pages = 0
        self.has_unserved = False
        if self._flush is not None or self._held is not None:
            self.go_on()
            if self.has_begun:
                self.has_unserved = True
                return
        if self.is_full:
            # What came behind that may be all that comes.
            self.has_unserved = True
            return
        self.in_flight.is_in_pass = True
        try:
            self._serve_frames()
        finally:
            self.in_flight.is_in_pass = False

    def go_on(self) -> None:
        """Do a slice of what is begun, and begin nothing."""
        self.in_flight.is_in_pass = True
        try:
            if self._flush is not None:
                self._go_on_flushing(self._flush)
            if self._held is not None and not self.is_full:
                frame, self._held = self._held, None
                self._handle(frame)
                self._is_unmarked = False
        finally:
            self.in_flight.is_in_pass = False

    # From one process to the next.

    @property
    def has_begun(self) -> bool:
        """Whether a request is begun that `go_on` goes on with."""
        return self._flush is not None or self._held is not None

    @property
    def is_at_edge(self) -> bool:
        """Whether all that was begun is answered."""
        return not self.has_begun and not self.is_waiting

    def leave(self) -> Handed:
        """Return where the next process goes on, at an edge.

        The pools of this connection are its own from now on.
        """
        assert self.is_at_edge
        return Handed(
            client_name=self.client_name,
            is_greeted=self.is_greeted,
            pools=self._pools.leave(),
            unread=self.received.unread(),
            unsent=self.replies.take(),
        )

    def take_up(self, handed: Handed) -> None:
        """Go on where an earlier process stood; before anything is received.

        Raises:
            Refused: A pool is not to be had any more; `close` the session.
        """
        self.client_name, self.is_greeted = handed.client_name, handed.is_greeted
        self._pools.take_up(handed.pools, user=self._user)
        self.received.feed(handed.unread)
        if handed.unsent:
            self.replies.append(handed.unsent)

    def _serve_frames(self) -> None:
        known, requests = self._HANDLERS, self._counters.requests
        for frame in self.received.frames():
            if frame.type not in known or frame.is_reply or not frame.request_id:
                raise RemoteProtocolError(
                    f"a frame of type {frame.type} with id {frame.request_id}, which is no request"
                )
            if not self.is_greeted and frame.type != TmemType.HELLO:
                raise RemoteProtocolError(f"a request of type {frame.type} before HELLO")
            requests[frame.type] += 1
            self._handle(frame)
            if self._flush is not None or self._work >= PASS_WORK_MAX or self.is_full:
                self.has_unserved = True
                return

    def _handle(self, frame: Frame) -> None:
        try:
            self._HANDLERS[frame.type](self, frame)
        except BadRequest as error:
            self.replies.refuse(frame.request_id, ErrorCode.BAD_REQUEST, str(error))
        except Refused as error:
            self.replies.refuse(frame.request_id, error.code, str(error))
        self._work += _REQUEST_WORK + frame.count
        self._received_pages += len(frame.body) // PAGE_BYTES

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
        self.replies.answer(TmemType.HELLO, frame.request_id, welcome.encode())

    def _on_new_pool(self, frame: Frame) -> None:
        wanted = NewPool.parse(frame.table)
        self._pools.check_room()
        pool = self._book.open(self._user, wanted.kind, wanted.name, PoolCodec(wanted.codec))
        number = self._pools.number_of(pool, is_exclusive=wanted.is_exclusive)
        fields = pack_fields([number, pool.pages])
        self.replies.answer(TmemType.NEW_POOL, frame.request_id, fields)

    def _on_destroy_pool(self, frame: Frame) -> None:
        number, _, _ = parse_place(frame)
        pool = self._pools.take_out(number)
        self.in_flight.begin(0)
        self._book.destroy(pool, partial(self._on_destroyed, frame.request_id))

    def _on_destroyed(self, request_id: int, dropped: int) -> None:
        if self.in_flight.is_closed:
            return
        self.in_flight.end(0)
        self.replies.answer(TmemType.DESTROY_POOL, request_id, COUNT.pack(dropped))
        self.in_flight.on_answered()

    def _on_status(self, frame: Frame) -> None:
        pools = list(self._pools)
        status = {
            "user": self._user,
            "pools": len(pools),
            "pages": sum(pool.pages for pool in pools if not pool.is_gone),
            "in_flight": self.in_flight.count,
        }
        # A list of one map, for messages are lists.
        self.replies.answer(TmemType.STATUS, frame.request_id, pack_fields([status]))

    # Put.

    def _on_put(self, frame: Frame) -> None:
        number, object_id, index = parse_put(frame)
        pool, count, request_id = self._pools.find(number).pool, frame.count, frame.request_id
        if not pool.mark.is_set and not self._is_marked(pool, frame):
            return
        self._puts.serve(request_id, pool, object_id, index, count, frame.body)

    def _is_marked(self, pool: TmemPool, frame: Frame) -> bool:
        """Return whether pages may be put now; else the frame is held until `_on_marked`.

        Raises:
            Refused: The pages of the pool are lost, or the state file can't be written.
        """
        _check_not_lost(pool)
        is_set: bool | None = False
        if not self._is_unmarked:
            is_set = pool.mark.wait_set(self._on_marked)
        if is_set is None:
            # Its views are of a buffer that others may use meanwhile.
            body = memoryview(bytes(frame.body))
            self._held = replace(frame, table=memoryview(bytes(frame.table)), body=body)
            self._is_waiting = True
        elif not is_set:
            raise Refused(ErrorCode.STATE_UNWRITTEN, _STATE_UNWRITTEN)
        return is_set is True

    def _on_marked(self, is_set: bool) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._is_unmarked = not is_set
            self.in_flight.on_answered()

    # Get.

    def _on_get(self, frame: Frame) -> None:
        number, object_id, index = parse_run(frame)
        opened = self._pools.find(number)
        began_at = self._counters.latency.began_at
        self._gets.serve(Get(frame.request_id, opened, object_id, index, frame.count, began_at))

    # Flush.

    def _on_flush_pages(self, frame: Frame) -> None:
        number, object_id, index, count = parse_range(frame)
        self._begin_flush(frame, self._pools.find(number).pool, object_id, index, index + count)

    def _on_flush_object(self, frame: Frame) -> None:
        number, object_id, _ = parse_place(frame)
        self._begin_flush(frame, self._pools.find(number).pool, object_id, 0, INDEX_MAX + 1)

    def _begin_flush(
        self, frame: Frame, pool: TmemPool, object_id: bytes, start: int, end: int
    ) -> None:
        _check_not_lost(pool)
        if end - start > PASS_WORK_MAX:
            self._work += _LONG_RANGE_WORK
        self._flush = Flush(self._pager, self._book, frame, pool, object_id, range(start, end))
        self._go_on_flushing(self._flush)

    def _go_on_flushing(self, flush: Flush) -> None:
        """Flush a slice; at the end answer and let the next requests come."""
        if flush.pool.is_gone:
            self._flush = None
            self.replies.refuse(flush.request_id, ErrorCode.NO_SUCH_POOL, POOL_GONE)
            return
        self._work += flush.go_on()
        if flush.is_done:
            self._flush = None
            self.replies.answer(flush.frame_type, flush.request_id, COUNT.pack(flush.dropped))

    # Of the class: a table of its own methods in each session would be a cycle, which only the
    # collector frees.
    _HANDLERS: ClassVar[dict[int, Callable[["Session", Frame], None]]] = {
        TmemType.HELLO: _on_hello,
        TmemType.NEW_POOL: _on_new_pool,
        TmemType.DESTROY_POOL: _on_destroy_pool,
        TmemType.PUT: _on_put,
        TmemType.GET: _on_get,
        TmemType.FLUSH_PAGES: _on_flush_pages,
        TmemType.FLUSH_OBJECT: _on_flush_object,
        TmemType.STATUS: _on_status,
    }
    assert set(_HANDLERS) == set(REQUEST_LIMITS)


def _check_not_lost(pool: TmemPool) -> None:
    if pool.mark.is_lost:
        text = f"the pages of pool {pool.name!r} ended with the last run of ramsterd; destroy it and make it again"
        raise Refused(ErrorCode.POOL_LOST, text)
