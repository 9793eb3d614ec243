"""Fetching: gets that wait for pages which only a peer has.

A page that is wanted is asked for once, however many gets wait for it.  An answer is applied by comparing the
serial that was asked for with the one that the row has now, so that a page that was put again or flushed on the
way is never served or installed: the get looks the page up anew.

A page with several holders is asked for at one of them, and at another at once when the link is lost, the request
fails, or what comes is missing or damaged; and after a delay derived from recent answers, when nothing comes
(a hedge).  The first good answer serves; a later one finds nobody waiting.

A request that fails leaves its pages wanted; with no other holder they are asked for again as soon as theirs is linked.
A get gives up at its own deadline, or at once when all its holders are declared down.  Either way nothing of it
stays behind.

An ephemeral page is worth no wait: one that its holder has no more is a miss, and so is one whose holder is not
linked, not up, or did not answer.  In the latter cases the row stays: the page may be found when the holder is back.

Nothing a peer says is trusted: length and checksum are those of our own row.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from net.frame import Frame
from ramsterd.core import traffic
from ramsterd.core.codec import ZPAGE_BYTES_MASK, decode_page
from ramsterd.core.page import CorruptPage, PoolId, PoolKind
from ramsterd.core.rows import HOLDERS, NO_HOLDER, QUARTERS_PER_ROW, SERIAL, WORDS_PER_ROW
from ramsterd.core.store import RunOfPages, Store
from ramsterd.remote.holders import Holder, Holders
from ramsterd.remote.latency import Latency
from ramsterd.remote.messages import PAGES_PER_FRAME_MAX, parse_get_reply

# One bytes of 4096 for each page of a run; None is a hole (persistent) or a miss (ephemeral).
Pages: TypeAlias = list[bytes | None]
# Of two holders, every 64 serials the other one is asked first.
_SPREAD_SHIFT: Final = 6


class GetOutcome(enum.Enum):
    """Why a get gives no pages."""

    LOST = "the last copy of a page is gone"
    UNREACHABLE = "the holder did not answer in time"


class Arrival(enum.Enum):
    """What to do with a zpage that came home."""

    INSTALL = "install"
    FLUSHED_MEANWHILE = "flushed meanwhile"
    PUT_MEANWHILE = "put meanwhile"


def judge_arrival(serial_now: int, serial_asked: int) -> Arrival:
    """Judge by the serial that the row has now (0: the row is free)."""
    if serial_now == serial_asked:
        return Arrival.INSTALL
    return Arrival.PUT_MEANWHILE if serial_now else Arrival.FLUSHED_MEANWHILE


@dataclass(slots=True, eq=False)
class PendingGet:
    """A get of a run that waits; `pages` fills up until `missing` is 0 or there is an `outcome`."""

    pool: PoolId
    object_id: bytes
    index: int
    pages: Pages
    deadline: float
    missing: int = 0
    outcome: GetOutcome | None = None
    # Of an ephemeral pool: it misses where another would wait or fail.
    is_ephemeral: bool = False
    is_over: bool = False


@dataclass(slots=True)
class FetchRequest:
    """One GET_PAGES, under way or about to be: parallel lists."""

    holder: int
    serials: list[int]
    rows: list[int]
    asked_at: float = 0.0
    # Whether its pages were asked for elsewhere, for want of an answer.
    is_hedged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStatistics:
    """Counts of pages, and of requests where the name says so."""

    wanted: int
    requests_in_flight: int
    fetched_total: int
    fetched_zpage_bytes_total: int
    installed_total: int
    overtaken_total: int
    corrupt_total: int
    missing_total: int
    # Ephemeral pages that a peer had no more, or could not be asked for; `missing` are persistent ones.
    missed_total: int
    requests_failed_total: int
    unreachable_total: int
    hedged_total: int
    hedge_seconds: float


class Fetches:
    """The table of wanted pages."""

    def __init__(
        self,
        store: Store,
        holders: Holders,
        *,
        in_flight_max: int,
        is_linked: Callable[[Holder], bool],
        on_thinned: Callable[[int], None],
    ) -> None:
        """Begin with nothing wanted.

        Args:
            store: Whose rows say who holds what.
            holders: The lives behind holder ids.
            in_flight_max: GET frames under way to one peer.
            is_linked: Whether a holder can be asked now.
            on_thinned: Called with a row that has lost one of its copies, and has others.
        """
        self._store = store
        self._holders = holders
        self._in_flight_max = in_flight_max
        self._is_linked = is_linked
        self._on_thinned = on_thinned
        self._latency = Latency()
        # Requests under way that may be hedged, the oldest in front.
        self._hedgeable: OrderedDict[int, None] = OrderedDict()
        # Who waits for a serial: (get, position in its run).
        self._wanted: dict[int, list[tuple[PendingGet, int]]] = {}
        # At which holders a wanted serial is queued or under way: never twice at one.
        self._asked: dict[int, list[int]] = {}
        # How many hedged requests holders have not answered.
        self._overdue: dict[int, int] = {}
        self._queued: dict[int, FetchRequest] = {}
        self._in_flight: dict[int, FetchRequest] = {}
        # Gets that are not over, the one that gives up first in front.
        self._waiting: OrderedDict[PendingGet, None] = OrderedDict()
        self._done: list[PendingGet] = []
        self._fetched = 0
        self._fetched_zpage_bytes = 0
        self._installed = 0
        self._overtaken = 0
        self._corrupt = 0
        self._missing = 0
        self._missed = 0
        self._requests_failed = 0
        self._unreachable = 0
        self._hedged = 0

    def wait(self, pending: PendingGet, run: RunOfPages) -> None:
        """Let a get wait for the pages of its run that are elsewhere; they are queued to be asked for."""
        pending.is_ephemeral = self._store.pools[pending.pool].kind is PoolKind.EPHEMERAL
        pending.missing += 1  # it can't be over before all its pages are known
        self._waiting[pending] = None
        for position, row in run.elsewhere:
            self._want(pending, position, row)
        self._count_down(pending)

    def _want(self, pending: PendingGet, position: int, row: int) -> None:
        holder = self._choose(row)
        if not holder:
            self._lose(pending, row)
            return
        pending.missing += 1
        serial = self._store.rows.words[row * WORDS_PER_ROW + SERIAL]
        waiters = self._wanted.get(serial)
        if waiters is not None:
            waiters.append((pending, position))
            return
        self._wanted[serial] = [(pending, position)]
        self._queue(holder, serial, row)

    def _queue(self, holder: int, serial: int, row: int) -> None:
        asked = self._asked.setdefault(serial, [])
        if holder in asked:
            return
        asked.append(holder)
        queued = self._queued.get(holder)
        if queued is None:
            queued = self._queued[holder] = FetchRequest(holder, [], [])
        queued.serials.append(serial)
        queued.rows.append(row)

    def _choose(self, row: int, *, besides: int = NO_HOLDER) -> int:
        """Return a living holder of a row, one that is linked if there is one, or `NO_HOLDER`.

        Neighbours come from the same holder, so that they share a frame.
        """
        first = self._store.rows.quarters[row * QUARTERS_PER_ROW + HOLDERS]
        second = self._store.rows.quarters[row * QUARTERS_PER_ROW + HOLDERS + 1]
        if not second:  # one copy
            return NO_HOLDER if first == besides or self._holders[first].is_dead else first
        living = [
            holder
            for holder in self._store.rows.holders(row)
            if holder != besides and not self._holders[holder].is_dead
        ]
        linked = [holder for holder in living if self._is_linked(self._holders[holder])]
        among = [holder for holder in linked if holder not in self._overdue] or linked or living
        serial = self._store.rows.words[row * WORDS_PER_ROW + SERIAL]
        return among[(serial >> _SPREAD_SHIFT) % len(among)] if among else NO_HOLDER

    def redirect(self, holder: int) -> None:
        """A holder has no link: ask others for what is queued for it, as far as there are any."""
        queued = self._queued.pop(holder, None)
        if queued is None:
            return
        self._unask(queued)
        for serial, row in self._still_wanted(queued):
            if not self._ask_elsewhere(holder, serial, row):
                self._queue(holder, serial, row)

    def _unask(self, request: FetchRequest) -> None:
        """A request is over, or was never sent: its serials are not asked for at its holder."""
        for serial in request.serials:
            asked = self._asked.get(serial)
            if asked is not None and request.holder in asked:
                asked.remove(request.holder)
                if not asked:
                    del self._asked[serial]

    def _end_request(self, request_id: int) -> FetchRequest:
        request = self._in_flight.pop(request_id)
        self._hedgeable.pop(request_id, None)
        self._unask(request)
        if request.is_hedged:
            left = self._overdue[request.holder] - 1
            if left:
                self._overdue[request.holder] = left
            else:
                del self._overdue[request.holder]
        return request

    def _ask_elsewhere(self, holder: int, serial: int, row: int) -> bool:
        """Have what one holder does not give looked up anew, or asked for at another that is linked, if it can be."""
        if not self._is_current(row, serial):
            for pending, position in self._wanted.pop(serial, ()):
                self._look_up_again(pending, position)
            return True
        other = self._choose(row, besides=holder)
        if other and self._is_linked(self._holders[other]):
            self._queue(other, serial, row)
            return True
        return False

    def _is_current(self, row: int, serial: int) -> bool:
        """Whether a row still is our page's: one that was freed may serve a foreign page with the same serial."""
        rows = self._store.rows
        return rows.serial(row) == serial and rows.quarters[row * QUARTERS_PER_ROW + HOLDERS] != 0

    def is_wanted(self, serial: int) -> bool:
        """Whether somebody waits for a page already."""
        return serial in self._wanted

    def take_requests(self, holder: int) -> list[FetchRequest]:
        """Return what to ask a linked holder for now, as far as the window goes."""
        queued = self._queued.pop(holder, None)
        if queued is None:
            return []
        under_way = sum(
            request.holder == holder and not request.is_hedged
            for request in self._in_flight.values()
        )
        self._unask(queued)
        pairs = self._still_wanted(queued)
        requests = []
        while pairs and under_way < self._in_flight_max:
            now, pairs = pairs[:PAGES_PER_FRAME_MAX], pairs[PAGES_PER_FRAME_MAX:]
            requests.append(
                FetchRequest(holder, [pair[0] for pair in now], [pair[1] for pair in now])
            )
            under_way += 1
        if pairs:
            self._requeue(holder, pairs)
        return requests

    def queued_holders(self) -> list[int]:
        """Return the holders that have something to be asked for."""
        return list(self._queued)

    def begin(self, request_id: int, request: FetchRequest, now: float) -> None:
        """The request is on its way."""
        request.asked_at = now
        for serial in request.serials:
            self._asked.setdefault(serial, []).append(request.holder)
        self._in_flight[request_id] = request
        # All pages of a block have the same holders, so the first speaks for nearly all.
        if self._store.rows.quarters[request.rows[0] * QUARTERS_PER_ROW + HOLDERS + 1]:
            self._hedgeable[request_id] = None

    def on_reply(self, request_id: int, frame: Frame, now: float) -> None:
        """Judge each page of an answer, and serve who waits for it.

        Raises:
            RemoteProtocolError: The answer does not fit the request.
        """
        request = self._in_flight[request_id]
        packed = parse_get_reply(frame, len(request.serials))
        self._end_request(request_id)
        self._latency.on_answer(now - request.asked_at)
        start = 0
        for serial, row, code in zip(request.serials, request.rows, packed, strict=True):
            end = start + (code & ZPAGE_BYTES_MASK)
            waiters = self._wanted.pop(serial, None)
            if waiters is not None:
                has_holder = self._store.rows.quarters[row * QUARTERS_PER_ROW + HOLDERS]
                serial_now = self._store.rows.serial(row) if has_holder else 0
                arrival = judge_arrival(serial_now, serial)
                self._on_page(arrival, request.holder, row, code, frame.body[start:end], waiters)
            start = end

    def _on_page(
        self,
        arrival: Arrival,
        holder: int,
        row: int,
        code: int,
        zpage: memoryview,
        waiters: list[tuple[PendingGet, int]],
    ) -> None:
        store = self._store
        if arrival is not Arrival.INSTALL:
            self._overtaken += 1
            for pending, position in waiters:
                self._look_up_again(pending, position)
            return
        page = self._verified(row, code, zpage)
        if page is None:
            self._on_bad_copy(holder, row, waiters, is_missing=not code)
            return
        self._fetched += 1
        self._fetched_zpage_bytes += len(zpage)
        if not store.rows.location(row) and traffic.install(store, row, zpage):
            self._installed += 1
        for pending, position in waiters:
            self._deliver(pending, position, page)

    def _verified(self, row: int, code: int, zpage: memoryview) -> bytes | None:
        """Return the page if the zpage is what we once sent away."""
        if code == self._store.packed(row):
            try:
                return decode_page(code, zpage, self._store.checksum(row))
            except CorruptPage:
                pass
        self._corrupt += code != 0
        return None

    def _on_bad_copy(
        self, holder: int, row: int, waiters: list[tuple[PendingGet, int]], *, is_missing: bool
    ) -> None:
        """The holder does not have the page, or not intact.  Another may; else it is lost, or a miss if ephemeral."""
        rows, serial = self._store.rows, self._store.rows.serial(row)
        others = [each for each in rows.holders(row) if each != holder]
        if others:
            if len(others) < len(rows.holders(row)):
                rows.remove_holder(row, holder)
                self._store.owe(holder, serial)
                self._on_thinned(row)
            if other := self._choose(row):
                self._wanted[serial] = waiters
                self._queue(other, serial, row)
                return
        is_persistent = self._store.lose(row)
        self._missing += is_missing and is_persistent
        self._missed += not is_persistent
        for pending, position in waiters:
            if is_persistent:
                self._finish(pending, GetOutcome.LOST)
            else:
                self._deliver(pending, position, None)

    def _lose(self, pending: PendingGet, row: int) -> None:
        if self._store.lose(row):
            self._finish(pending, GetOutcome.LOST)
        else:
            self._missed += 1

    def _look_up_again(self, pending: PendingGet, position: int) -> None:
        """The page was put again or flushed while it was on its way: what does a get find now?"""
        if pending.is_over:
            return
        if pending.pool not in self._store.pools:
            self._deliver(pending, position, None)
            return
        run = self._store.get(pending.pool, pending.object_id, pending.index + position, 1)
        if run.lost_count:
            self._finish(pending, GetOutcome.LOST)
        elif run.elsewhere:
            self._want(pending, position, run.elsewhere[0][1])
            self._count_down(pending)
        else:
            self._deliver(pending, position, run.pages[0])

    def _deliver(self, pending: PendingGet, position: int, page: bytes | None) -> None:
        pending.pages[position] = page
        self._count_down(pending)

    def _count_down(self, pending: PendingGet) -> None:
        pending.missing -= 1
        if not pending.missing:
            self._finish(pending, None)

    def _finish(self, pending: PendingGet, outcome: GetOutcome | None) -> None:
        if not pending.is_over:
            pending.is_over = True
            del self._waiting[pending]
            pending.outcome = outcome
            self._done.append(pending)

    # What goes wrong.

    def on_request_failed(self, request_id: int) -> None:
        """No answer: persistent pages stay wanted, from another holder if there is one; ephemeral ones are a miss."""
        request = self._end_request(request_id)
        self._requests_failed += 1
        self._miss(request)
        for serial, row in self._still_wanted(request):
            if serial in self._asked:
                continue  # a hedge is under way
            if not self._ask_elsewhere(request.holder, serial, row):
                self._queue(request.holder, serial, row)

    def miss_queued(self, holder: int) -> None:
        """The holder can't be asked now: what is ephemeral is not waited for."""
        queued = self._queued.pop(holder, None)
        if queued is not None:
            self._unask(queued)
            self._miss(queued)
            self._requeue(holder, self._still_wanted(queued))

    def on_holder_suspect(self, holder: int) -> None:
        """The holder has been silent: gets of ephemeral pages that it was asked for end now."""
        for request in list(self._in_flight.values()):
            if request.holder == holder:
                self._miss(request)

    def _miss(self, request: FetchRequest) -> None:
        """Answer gets of ephemeral pages with a miss."""
        for serial in request.serials:
            waiters = self._wanted.get(serial)
            if waiters and waiters[0][0].is_ephemeral:  # all of one page, so all of one pool
                del self._wanted[serial]
                self._missed += 1
                for pending, position in waiters:
                    self._deliver(pending, position, None)

    def on_holder_unreachable(self, holder: int) -> None:
        """A holder was declared down: gets that only it can serve fail now, their pages are not lost."""
        for request in self._requests_of(holder):
            self._miss(request)
            for serial, row in self._still_wanted(request):
                if not self._ask_elsewhere(holder, serial, row):
                    for pending, _ in self._wanted.pop(serial, ()):
                        self._give_up(pending)

    def on_holder_dead(self, holder: int) -> None:
        """A holder started again and has nothing any more: gets that wait for it look their pages up anew."""
        for request in self._requests_of(holder):
            for serial in request.serials:
                for pending, position in self._wanted.pop(serial, ()):
                    self._look_up_again(pending, position)

    def _requests_of(self, holder: int) -> list[FetchRequest]:
        """Return what a holder was asked for, and what it was about to be, which is not queued any more."""
        requests = [each for each in self._in_flight.values() if each.holder == holder]
        queued = self._queued.pop(holder, None)
        if queued is not None:
            self._unask(queued)
        return requests if queued is None else [*requests, queued]

    def next_deadline(self) -> float | None:
        """Return when the first waiting get gives up, or the first request is to be hedged."""
        first = next(iter(self._waiting), None)
        times = [] if first is None else [first.deadline]
        if self._hedgeable:
            times.append(self._hedge_at(next(iter(self._hedgeable))))
        return min(times, default=None)

    def on_deadline(self, now: float) -> None:
        """Give up gets that have waited long enough, and ask others for what takes long."""
        is_expired = False
        while (first := next(iter(self._waiting), None)) is not None and first.deadline <= now:
            self._give_up(first)
            is_expired = True
        if is_expired:
            self._drop_waiters_that_are_over()
        while self._hedgeable and self._hedge_at(request_id := next(iter(self._hedgeable))) <= now:
            del self._hedgeable[request_id]
            self._hedge(self._in_flight[request_id])

    def _hedge_at(self, request_id: int) -> float:
        return self._in_flight[request_id].asked_at + self._latency.hedge_seconds

    def _hedge(self, request: FetchRequest) -> None:
        """Ask another holder for what is still wanted of a request."""
        request.is_hedged = True
        self._overdue[request.holder] = self._overdue.get(request.holder, 0) + 1
        for serial, row in self._still_wanted(request):
            if len(self._asked.get(serial, ())) == 1:  # a hedge is not hedged
                self._hedged += self._ask_elsewhere(request.holder, serial, row)

    def take_done(self) -> list[PendingGet]:
        """Return the gets that ended since the last call."""
        done, self._done = self._done, []
        return done

    def statistics(self) -> FetchStatistics:
        """Return a snapshot."""
        return FetchStatistics(
            wanted=len(self._wanted),
            requests_in_flight=len(self._in_flight),
            fetched_total=self._fetched,
            fetched_zpage_bytes_total=self._fetched_zpage_bytes,
            installed_total=self._installed,
            overtaken_total=self._overtaken,
            corrupt_total=self._corrupt,
            missing_total=self._missing,
            missed_total=self._missed,
            requests_failed_total=self._requests_failed,
            unreachable_total=self._unreachable,
            hedged_total=self._hedged,
            hedge_seconds=self._latency.hedge_seconds,
        )

    def check_invariants(self) -> None:
        """Assert that each wanted page is queued or under way, and each waiter still waits."""
        asked = {serial for request in self._in_flight.values() for serial in request.serials}
        asked.update(serial for request in self._queued.values() for serial in request.serials)
        for serial, waiters in self._wanted.items():
            assert waiters, "wanted by nobody"
            assert serial in asked, "wanted, but nobody will ask"
        for request in [*self._in_flight.values(), *self._queued.values()]:
            assert len(set(request.serials)) == len(request.serials), "asked for twice in one frame"
        assert not any(pending.is_over for pending in self._waiting)
        for waiters in self._wanted.values():
            assert all(pending.missing > 0 or pending.is_over for pending, _ in waiters)

    def _give_up(self, pending: PendingGet) -> None:
        if pending.is_ephemeral and not pending.is_over:
            self._missed += pending.missing
            self._finish(pending, None)
        elif not pending.is_over:
            self._unreachable += 1
            self._finish(pending, GetOutcome.UNREACHABLE)

    def _drop_waiters_that_are_over(self) -> None:
        for serial, waiters in list(self._wanted.items()):
            waiting = [waiter for waiter in waiters if not waiter[0].is_over]
            if waiting:
                self._wanted[serial] = waiting
            else:
                del self._wanted[serial]
        # What is wanted no more is not asked for either: a holder may be away for long.
        for holder, queued in list(self._queued.items()):
            del self._queued[holder]
            self._unask(queued)
            self._requeue(holder, self._still_wanted(queued))

    def _still_wanted(self, request: FetchRequest) -> list[tuple[int, int]]:
        return [
            (serial, row)
            for serial, row in zip(request.serials, request.rows, strict=True)
            if serial in self._wanted
        ]

    def _requeue(self, holder: int, pairs: list[tuple[int, int]]) -> None:
        for serial, row in pairs:
            self._queue(holder, serial, row)
