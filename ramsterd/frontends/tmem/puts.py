"""PUT: pages that are stored now, or once there is room, and what they are charged meanwhile.  Pure."""

from collections import Counter
from functools import partial

from ramsterd.core.page import PoolKind
from ramsterd.frontends.clients.in_flight import InFlight
from ramsterd.frontends.clients.latency import RequestLatency
from ramsterd.frontends.pager import PutOutcome
from ramsterd.frontends.pager.interface import PoolClient
from ramsterd.frontends.tmem.messages import PAGE_BYTES, ErrorCode, TmemType
from ramsterd.frontends.tmem.open_pools import POOL_GONE
from ramsterd.frontends.tmem.pool_records import TmemPool
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.replies import Replies


class Puts:
    """The puts of one connection."""

    def __init__(
        self,
        pager: PoolClient,
        book: PoolBook,
        replies: Replies,
        in_flight: InFlight,
        latency: RequestLatency,
    ) -> None:
        self._pager = pager
        self._book = book
        self._replies = replies
        self._in_flight = in_flight
        self._latency = latency
        # Pages of puts that wait for room, by pool: they wait no more when the connection ends.
        self._waiting_pages: Counter[TmemPool] = Counter()

    def close(self) -> None:
        """The connection is over: nothing waits any more."""
        for pool, count in self._waiting_pages.items():
            pool.waiting_pages -= count
        self._waiting_pages.clear()

    def serve(
        self,
        request_id: int,
        pool: TmemPool,
        object_id: bytes,
        index: int,
        count: int,
        pages: memoryview,
    ) -> None:
        """Answer now, or once there is room.

        Raises:
            Refused: The user has too many pages.
        """
        book = self._book
        before, charged = book.charge(pool, object_id, index, count)
        if pool.kind is PoolKind.EPHEMERAL:
            stored = self._pager.put_now(pool.pool, object_id, index, pages)
            if stored < count:
                book.correct(pool, object_id, index, count, before=before, charged=charged)
            self._latency.writes += 1
            self._replies.answer(TmemType.PUT, request_id, count=stored)
            return
        done = partial(self._on_late, self._latency.began_at, request_id, pool, count)
        outcome = self._pager.put(pool.pool, object_id, index, pages, done)
        if outcome is None:
            self._count_waiting(pool, count)
            self._in_flight.begin(count * PAGE_BYTES)
            return
        if outcome is PutOutcome.REFUSED:
            book.correct(pool, object_id, index, count, before=before, charged=charged)
        self._latency.writes += 1
        self._answer(request_id, count, outcome)

    def _on_late(
        self, began_at: float, request_id: int, pool: TmemPool, count: int, outcome: PutOutcome
    ) -> None:
        # What was refused stays charged until the pool is counted anew: other requests came in
        # between.
        self._count_waiting(pool, -count)
        self._in_flight.end(count * PAGE_BYTES)
        self._latency.on_write(began_at, is_in_pass=self._in_flight.is_in_pass)
        if pool.is_gone:
            self._replies.refuse(request_id, ErrorCode.NO_SUCH_POOL, POOL_GONE)
        else:
            self._answer(request_id, count, outcome)
        self._in_flight.on_answered()

    def _count_waiting(self, pool: TmemPool, count: int) -> None:
        pool.waiting_pages += count
        self._waiting_pages[pool] += count

    def _answer(self, request_id: int, count: int, outcome: PutOutcome) -> None:
        if outcome is PutOutcome.STORED:
            self._replies.answer(TmemType.PUT, request_id, count=count)
        else:
            self._replies.refuse(request_id, ErrorCode.NO_ROOM, outcome.value)
