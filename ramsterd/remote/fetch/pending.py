"""Gets that wait for pages which only a peer has: who waits for which page, and until when.

A page is a serial here; where it is, others know.  A get is over once: when the last of its pages
is there, when one is lost, or at its deadline.  What it did not wait for any more finds nobody.

A get of a pool that outwaits unreachable peers goes on behind its deadline, for `outwait_seconds`
more.

Most gets are of a run, whose pages are all there or none.  A client that asks for much at a time
asks for pages anywhere, each for itself: that is one get too, of which each page is told as it comes,
or why it does not.

An ephemeral page is worth no wait, so such a get never fails: what can't be had is a miss.
"""

import enum
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ramsterd.core.page import PoolId
from ramsterd.remote.limits.alarm import earlier

# One bytes of 4096 for each page of a run; None is a hole (persistent) or a miss (ephemeral).
Pages: TypeAlias = list[bytes | None]


class GetOutcome(enum.Enum):
    """Why a get gives no pages."""

    LOST = "the last copy of a page is gone"
    UNREACHABLE = "the holder did not answer in time"


@dataclass(slots=True, eq=False)
class PendingGet:
    """A get that waits; `pages` fills up until `missing` is 0 or there is an `outcome`."""

    pool: PoolId
    object_id: bytes
    # Of each page: a range if it is a run.
    indexes: Sequence[int]
    pages: Pages
    deadline: float
    # Whether it outwaits peers that can't be reached.
    outwaits: bool = False
    # When a client asked for it; None: nobody waits for it.
    asked_at: float | None = None
    missing: int = 0
    outcome: GetOutcome | None = None
    # Of an ephemeral pool: it misses where another would wait or fail.
    is_ephemeral: bool = False
    is_over: bool = False
    # Of pages that are each for itself (None: a run): the positions that wait, those that do no more
    # and were not told of yet, and why those failed that did.
    waits: set[int] | None = None
    came: list[int] = field(default_factory=list)
    failed: dict[int, GetOutcome] = field(default_factory=dict)

    @property
    def reads(self) -> int:
        """How many reads of clients it is that wait."""
        return 1 if self.waits is None else len(self.waits)

    def take_came(self) -> list[int]:
        """Return the positions that wait no more, each once."""
        came, self.came = self.came, []
        return came


# A get, and the position of a page in it.
Waiter: TypeAlias = tuple[PendingGet, int]
# The position of a page in a get, its serial, and its row.
Place: TypeAlias = tuple[int, int, int]


class PendingGets:
    """The table of wanted pages."""

    def __init__(self) -> None:
        # Who waits for a serial.  Others may look, and it stays the same dict; only what is below
        # changes it.
        self.wanted: dict[int, list[Waiter]] = {}
        # Gets that are not over, the one whose deadline comes first in front; and those of them whose
        # deadline has passed, in the same order.
        self._waiting: OrderedDict[PendingGet, None] = OrderedDict()
        self._outwaiting: OrderedDict[PendingGet, None] = OrderedDict()
        # How long those may wait.
        self.outwait_seconds = 0.0
        self._done: list[PendingGet] = []
        # Whether gets have ended since `take_done`.  Each pass asks: the list is the same for ever.
        self.has_done: Callable[[], int] = self._done.__len__
        # Ephemeral pages that were not worth a wait, and gets that gave up.
        self.missed = 0
        self.unreachable = 0
        # Gets that have waited beyond their deadline.
        self.outwaited = 0

    # Wanting.

    def begin(self, pending: PendingGet) -> None:
        """A get waits.  It is not over before its pages are known: then it is to be counted down, once."""
        pending.missing += 1
        self._waiting[pending] = None

    def want(self, pending: PendingGet, places: Sequence[Place]) -> list[Place]:
        """Let a get wait for pages; return those that it is the first to want."""
        wanted, first = self.wanted, []
        for place in places:
            position, serial, _ = place
            waiters = wanted.get(serial)
            if waiters is not None:
                waiters.append((pending, position))
                continue
            wanted[serial] = [(pending, position)]
            first.append(place)
        pending.missing += len(places)
        return first

    def take(self, serial: int) -> list[Waiter]:
        """Return who waits for a page: it is the caller's now to tell them."""
        return self.wanted.pop(serial, [])

    def take_all(self, serials: Iterable[int]) -> list[list[Waiter]]:
        """Return who waits for each of these pages, likewise."""
        pop = self.wanted.pop
        return [pop(serial, []) for serial in serials]

    def put_back(self, serial: int, waiters: list[Waiter]) -> None:
        """They wait on, with those who have come meanwhile."""
        self.wanted[serial] = [*waiters, *self.wanted.get(serial, ())]

    # Being over.

    def deliver(self, pending: PendingGet, position: int, page: bytes | None) -> None:
        """A page is there; None if it is a hole or a miss."""
        self.deliver_all([([(pending, position)], page)])

    def have(self, pending: PendingGet, pages: list[tuple[int, bytes]]) -> None:
        """Pages are there, by their positions, before the get has begun to wait for them."""
        if pending.waits is None:
            for position, page in pages:
                pending.pages[position] = page
            return
        pending.missing += len(pages)
        self.deliver_all(([(pending, position)], page) for position, page in pages)

    def deliver_all(self, pages: Iterable[tuple[Sequence[Waiter], bytes | None]]) -> None:
        """Pages are there, each for all who wait for it."""
        for waiters, page in pages:
            for pending, position in waiters:
                pending.pages[position] = page
                if pending.waits is not None:
                    self._note(pending, position)
                pending.missing -= 1
                if not pending.missing:
                    self.finish(pending, None)

    def fail(self, pending: PendingGet, position: int, outcome: GetOutcome) -> None:
        """A page is not to be had: neither is a run that it is in."""
        if pending.waits is None:
            self.finish(pending, outcome)
        else:
            pending.failed[position] = outcome
            self._note(pending, position)
            self.count_down(pending)

    def _note(self, pending: PendingGet, position: int) -> None:
        """A page that is for itself waits no more."""
        assert pending.waits is not None
        pending.waits.remove(position)
        if not pending.came:
            self._done.append(pending)
        pending.came.append(position)

    def count_down(self, pending: PendingGet) -> None:
        """A get waits for one page less."""
        pending.missing -= 1
        if not pending.missing:
            self.finish(pending, None)

    def finish(self, pending: PendingGet, outcome: GetOutcome | None) -> None:
        """A get is over, if it was not before."""
        if not pending.is_over:
            self._stop_waiting(pending)
            pending.outcome = outcome
            if pending.waits is None:
                self._done.append(pending)

    def _stop_waiting(self, pending: PendingGet) -> None:
        pending.is_over = True
        self._waiting.pop(pending, None)
        self._outwaiting.pop(pending, None)

    def miss(self, serials: Iterable[int]) -> None:
        """Those of these pages that are ephemeral are not waited for any more."""
        for serial in serials:
            waiters = self.wanted.get(serial)
            if waiters and waiters[0][0].is_ephemeral:  # all of one page, so all of one pool
                del self.wanted[serial]
                self.missed += 1
                for pending, position in waiters:
                    self.deliver(pending, position, None)

    def give_up(self, pending: PendingGet, position: int) -> None:
        """A page was waited for in vain."""
        if pending.is_over:
            return
        if not pending.is_ephemeral:
            self.unreachable += 1
            self.fail(pending, position, GetOutcome.UNREACHABLE)
        elif pending.waits is None:
            self.missed += pending.missing
            self.finish(pending, None)
        else:
            self.missed += 1
            self.deliver(pending, position, None)

    def _give_up_all(self, pending: PendingGet) -> None:
        """A get has waited for long enough."""
        for position in (0,) if pending.waits is None else sorted(pending.waits):
            self.give_up(pending, position)

    def cancel(self, pendings: Iterable[PendingGet]) -> None:
        """Forget gets whose client is gone: they are over, and nobody is told."""
        for pending in pendings:
            if not pending.is_over:
                self._stop_waiting(pending)
        self._forget_who_is_over()

    def take_done(self) -> list[PendingGet]:
        """Return the gets that ended since the last call, or of which pages came that are for themselves."""
        done = self._done.copy()
        self._done.clear()
        return done

    # Deadlines.

    def next_deadline(self) -> float | None:
        """Return when the first get gives up, or begins to outwait."""
        first = next(iter(self._waiting)).deadline if self._waiting else None
        return earlier(first, self._last_deadline()) if self._outwaiting else first

    def expire(self, now: float) -> bool:
        """Give up gets that have waited long enough; return whether there were any."""
        before = self.unreachable + self.missed
        while (first := next(iter(self._waiting), None)) is not None and first.deadline <= now:
            if first.outwaits:
                del self._waiting[first]
                self._outwaiting[first] = None
                self.outwaited += first.reads
            else:
                self._give_up_all(first)
        while self._last_deadline() <= now:
            self._give_up_all(next(iter(self._outwaiting)))
        is_expired = self.unreachable + self.missed != before
        if is_expired:
            self._forget_who_is_over()
        return is_expired

    def _last_deadline(self) -> float:
        """Return when the first of those that outwait gives up.

        Asked and judged by the same sum: no rounding error wakes anybody too early.
        """
        first = next(iter(self._outwaiting), None)
        return math.inf if first is None else first.deadline + self.outwait_seconds

    def _forget_who_is_over(self) -> None:
        for serial, waiters in list(self.wanted.items()):
            waiting = [waiter for waiter in waiters if not waiter[0].is_over]
            if waiting:
                self.wanted[serial] = waiting
            else:
                del self.wanted[serial]

    def check_invariants(self, asked: set[int]) -> None:
        """Assert that each wanted page is asked for, or about to be, and each waiter still waits."""
        assert not any(pending.is_over for pending in (*self._waiting, *self._outwaiting))
        assert not self._waiting.keys() & self._outwaiting.keys()
        assert all(pending.outwaits for pending in self._outwaiting)
        for serial, waiters in self.wanted.items():
            assert waiters, "wanted by nobody"
            assert serial in asked, "wanted, but nobody will ask"
            assert all(pending.missing > 0 or pending.is_over for pending, _ in waiters)
            assert all(
                pending.waits is None or position in pending.waits or pending.is_over
                for pending, position in waiters
            )
