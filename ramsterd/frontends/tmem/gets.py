"""GET: pages that are here, pages that come later, lost ones among others, and gets that take.  Pure."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from ramsterd.frontends.clients.in_flight import InFlight
from ramsterd.frontends.clients.latency import RequestLatency
from ramsterd.frontends.pager import GetOutcome, GetResult, Taken
from ramsterd.frontends.pager.interface import PoolClient
from ramsterd.frontends.tmem.messages import PAGE_BYTES, PageState
from ramsterd.frontends.tmem.open_pools import OpenPool
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.replies import Replies

_ALL_PAGES: Final = bytes([PageState.PAGE])
_STATE_OF: Final = {
    GetOutcome.LOST: PageState.LOST,
    GetOutcome.UNREACHABLE: PageState.UNREACHABLE,
}
assert set(_STATE_OF) == set(GetOutcome)


@dataclass(frozen=True, slots=True, eq=False)
class Get:
    """One GET: which run is wanted, and by which request."""

    request_id: int
    opened: OpenPool
    object_id: bytes
    index: int
    count: int
    # When the pass began that serves it.
    began_at: float


@dataclass(slots=True, eq=False)
class PageByPage:
    """A get of a run with a lost page in it, whose other pages are wanted all the same."""

    get: Get
    states: bytearray
    pages: list[bytes | None]
    missing: int


class Gets:
    """The gets of one connection."""

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

    def serve(self, get: Get) -> None:
        """Answer now, or once the pages are here."""
        if get.opened.pool.mark.is_lost:
            self._answer_states(get, bytes([PageState.LOST]) * get.count, [])
            return
        result = self._take(get) if get.opened.is_exclusive else self._get(get)
        if result is None:
            self._in_flight.begin(get.count * PAGE_BYTES)
        else:
            self._answer(get, result)

    def _get(self, get: Get) -> GetResult | None:
        done = partial(self._on_late, get)
        return self._pager.get(get.opened.pool.pool, get.object_id, get.index, get.count, done)

    def _take(self, get: Get) -> GetResult | None:
        """An exclusive get takes the pages with it, but none that is put while it waits."""
        done = partial(self._on_late_taken, get)
        taken = self._pager.take(get.opened.pool.pool, get.object_id, get.index, get.count, done)
        return None if taken is None else self._note_taken(get, taken)

    def _on_late_taken(self, get: Get, taken: Taken) -> None:
        self._on_late(get, self._note_taken(get, taken))

    def _note_taken(self, get: Get, taken: Taken) -> GetResult:
        if not get.opened.pool.is_gone:
            self._book.on_dropped(get.opened.pool, taken.pages)
        return taken.result

    def _on_late(self, get: Get, result: GetResult) -> None:
        self._in_flight.end(get.count * PAGE_BYTES)
        self._answer(get, result)
        self._in_flight.on_answered()

    def _answer(self, get: Get, result: GetResult) -> None:
        count = get.count
        if result is GetOutcome.LOST and count > 1 and not get.opened.pool.is_gone:
            self._get_page_by_page(get)
        elif isinstance(result, GetOutcome):
            self._answer_states(get, bytes([_STATE_OF[result]]) * count, [])
        else:
            pages = [page for page in result if page is not None]
            is_whole = len(pages) == count
            states = _ALL_PAGES * count if is_whole else bytes(each is not None for each in result)
            self._answer_states(get, states, pages)

    def _answer_states(self, get: Get, states: bytes, pages: list[bytes]) -> None:
        latency, began_at = self._latency, get.began_at
        if self._in_flight.is_in_pass and began_at == latency.began_at:
            latency.reads += 1
        else:
            latency.on_read(began_at, is_in_pass=self._in_flight.is_in_pass)
        self._replies.answer_get(get.request_id, states, pages)

    def _get_page_by_page(self, get: Get) -> None:
        count, pool = get.count, get.opened.pool.pool
        # One more, so that it can't be over before all pages are asked for.
        run = PageByPage(get, bytearray(count), [None] * count, missing=count + 1)
        self._in_flight.begin(count * PAGE_BYTES)
        for position in range(count):
            done = partial(self._on_page, run, position)
            result = self._pager.get(pool, get.object_id, get.index + position, 1, done)
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
        if run.missing:
            return
        self._in_flight.end(len(run.pages) * PAGE_BYTES)
        pages = [page for page in run.pages if page is not None]
        self._answer_states(run.get, bytes(run.states), pages)
        self._in_flight.on_answered()
