"""Which holder is asked for which pages: what is queued for it, under way, and late.

A page with several holders is asked for at one of them: linked before others, and not at one that
owes late answers.  It is queued or under way at each of them once at most.

What is queued for a holder that has no link is *parked*: it is not looked at in each pass, for there
may be much of it, for minutes.

A request that takes longer than answers took lately is late: its pages may be asked for at another
holder as well (a hedge), and it does not count against the window of its own holder any more.  Of
those a holder has no more than `LATE_REQUESTS_MAX`: one that answers nothing, while all others of
its pages do the same, is asked for no more.
"""

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from config.limits import IN_FLIGHT_MAX
from ramsterd.core.rows import NO_HOLDER
from ramsterd.core.versions import Versions
from ramsterd.remote.fetch.pending import Place
from ramsterd.remote.fetch.trend import Ahead
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.limits.hedge_delay import HedgeDelay
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX

# Of two holders, every 64 serials the other one is asked first.
_SPREAD_SHIFT: Final = 6
# Requests that one holder owes late answers to.  A link carries so many requests, and no more
# (net.connection).
LATE_REQUESTS_MAX: Final = IN_FLIGHT_MAX

# A serial, and the row that had it when it was asked for.
Asked: TypeAlias = tuple[int, int]


@dataclass(slots=True)
class FetchRequest:
    """One GET_PAGES, under way or about to be: parallel lists."""

    holder: int
    serials: list[int]
    rows: list[int]
    asked_at: float = 0.0
    # Whether its pages were asked for elsewhere, for want of an answer.
    is_hedged: bool = False
    # If nobody waited for its pages as it was made.
    ahead: Ahead | None = None


class Asking:
    """What holders are asked for."""

    def __init__(
        self,
        versions: Versions,
        holders: Holders,
        *,
        in_flight_max: int,
        is_reachable: Callable[[Holder], bool],
        wanted: Container[int],
    ) -> None:
        """Begin with nothing asked for.

        Args:
            versions: Say who holds what.
            holders: The incarnations behind holder ids.
            in_flight_max: GET frames under way to one peer.
            is_reachable: Whether a holder can be asked now.
            wanted: The serials that somebody waits for, as they come and go.
        """
        self._rows, self._loops = versions.rows, versions.loops
        self._holders = holders
        self._in_flight_max = in_flight_max
        self._is_reachable = is_reachable
        self._wanted = wanted
        self._latency = HedgeDelay()
        # At which holders a wanted serial is queued or under way: never twice at one.
        self._asked: dict[int, tuple[int, ...]] = {}
        self._queued: dict[int, FetchRequest] = {}
        # Whether some holder has something to be asked for, and is not parked.  Each pass asks: the
        # dict is the same for ever.
        self.has_queued: Callable[[], int] = self._queued.__len__
        self._parked: dict[int, FetchRequest] = {}
        self._in_flight: dict[int, FetchRequest] = {}
        # Requests under way that may be hedged, the oldest in front.
        self._hedgeable: OrderedDict[int, None] = OrderedDict()
        # How many hedged requests holders have not answered.
        self._overdue: dict[int, int] = {}

    # Choosing a holder.

    def is_living(self, holder: int) -> bool:
        """Whether a holder's incarnation is not over: a request may outlast it, and its id too."""
        found = self._holders.get(holder)
        return found is not None and not found.is_dead

    def choose(self, row: int, *, besides: int = NO_HOLDER) -> int:
        """Return a living holder of a row, one that can be asked now if there is one, or `NO_HOLDER`.

        Neighbours come from the same holder, so that they share a frame.
        """
        rows = self._rows
        if not rows.has_several_holders(row):
            first = rows.first_holder(row)
            return NO_HOLDER if first == besides or self._holders[first].is_dead else first
        living = [
            holder
            for holder in rows.holders(row)
            if holder != besides and not self._holders[holder].is_dead
        ]
        linked = [holder for holder in living if self._is_reachable(self._holders[holder])]
        among = [holder for holder in linked if holder not in self._overdue] or linked or living
        return among[(rows.serial(row) >> _SPREAD_SHIFT) % len(among)] if among else NO_HOLDER

    def choose_each(
        self, elsewhere: list[tuple[int, int]]
    ) -> tuple[dict[int, list[Place]], list[tuple[int, int]]]:
        """Return which holder to ask for each page of a get (position and row), and those that no holder has any more."""
        compiled = None if self._loops is None else self._loops.places(elsewhere)
        if compiled is not None and not self._holders[compiled[0]].is_dead:
            return {compiled[0]: compiled[1]}, []
        found = self._rows.whereabouts([row for _, row in elsewhere])
        places_at: dict[int, list[Place]] = {}
        lost: list[tuple[int, int]] = []
        # What `choose` asks of a row, and found for another one with the same.
        chosen: dict[tuple[tuple[int, ...], int], int] = {}
        for (position, row), (serial, holders) in zip(elsewhere, found, strict=True):
            alike = holders, serial >> _SPREAD_SHIFT
            holder = chosen.get(alike)
            if holder is None:
                holder = chosen[alike] = self.choose(row)
            if holder:
                places_at.setdefault(holder, []).append((position, serial, row))
            else:
                lost.append((position, row))
        return places_at, lost

    def queue_elsewhere(self, holder: int, serial: int, row: int) -> bool:
        """Have what one holder does not give asked for at another that can be asked now.

        Return whether there is one.
        """
        other = self.choose(row, besides=holder)
        if other and self._is_reachable(self._holders[other]):
            self.queue(other, serial, row)
            return True
        return False

    # What is queued.

    def queue(self, holder: int, serial: int, row: int) -> None:
        """Have a page asked for at a holder, unless it is already."""
        asked = self._asked.get(serial, ())
        if holder in asked:
            return
        self._asked[serial] = (*asked, holder)
        queued = self._queue_of(holder)
        queued.serials.append(serial)
        queued.rows.append(row)

    def _queue_of(self, holder: int) -> FetchRequest:
        queued = self._queued.get(holder)
        if queued is None:
            queued = self._queued[holder] = FetchRequest(holder, [], [])
        return queued

    def queue_all(self, holder: int, places: Iterable[Place]) -> None:
        """The same for many pages, few of which are asked for already."""
        mine, setdefault = (holder,), self._asked.setdefault
        others: list[Place] = []
        new: list[Place] = []
        for place in places:
            (new if setdefault(place[1], mine) is mine else others).append(place)
        if new:
            queued = self._queue_of(holder)
            queued.serials += [serial for _, serial, _ in new]
            queued.rows += [row for _, _, row in new]
        for _, serial, row in others:
            self.queue(holder, serial, row)

    def queued_holders(self) -> list[int]:
        """Return the holders that have something to be asked for, and are not parked."""
        return list(self._queued)

    def take_queued(self, holder: int) -> FetchRequest | None:
        """Return what a holder was about to be asked for; it is not any more."""
        self._unpark(holder)
        queued = self._queued.pop(holder, None)
        if queued is not None:
            self._unask(queued)
        return queued

    def park(self, holder: int) -> None:
        """Nobody can ask a holder for now: leave what is queued for it alone, until `unpark`."""
        queued = self._queued.pop(holder)
        parked = self._parked.setdefault(holder, queued)
        if parked is not queued:
            parked.serials += queued.serials
            parked.rows += queued.rows

    def unpark(self) -> None:
        """Something may have changed: all that is parked is queued again."""
        for holder in list(self._parked):
            self._unpark(holder)

    def _unpark(self, holder: int) -> None:
        if (parked := self._parked.pop(holder, None)) is not None:
            if (queued := self._queued.get(holder)) is not None:
                parked.serials += queued.serials
                parked.rows += queued.rows
            self._queued[holder] = parked

    def requeue(self, request: FetchRequest) -> None:
        """Have what is still wanted of a request asked for at its holder, again."""
        for serial, row in self.still_wanted(request):
            self.queue(request.holder, serial, row)

    def forget_what_nobody_wants(self) -> None:
        """What is wanted no more is not asked for either: a holder may be away for long."""
        self.unpark()
        for holder in self.queued_holders():
            queued = self.take_queued(holder)
            assert queued is not None
            self.requeue(queued)

    def out_of_reach(self) -> Iterator[tuple[int, int]]:
        """Yield serial and holder of what is wanted, and asked for only where nobody can be asked now."""
        for serial, asked in self._asked.items():
            if serial in self._wanted and not any(self._can_be_asked(each) for each in asked):
                yield from ((serial, holder) for holder in asked)

    def _can_be_asked(self, holder: int) -> bool:
        found = self._holders.get(holder)
        return found is not None and self._is_reachable(found)

    def still_wanted(self, request: FetchRequest) -> list[Asked]:
        """Return the pages of a request that somebody waits for."""
        return [
            (serial, row)
            for serial, row in zip(request.serials, request.rows, strict=True)
            if serial in self._wanted
        ]

    def asked_count(self, serial: int) -> int:
        """Return at how many holders a page is queued or under way."""
        return len(self._asked.get(serial, ()))

    def ask_ahead(self, request: FetchRequest) -> None:
        """Pages that nobody asks for are about to be: who wants one from now on waits for that; `begin` follows."""
        self._asked.update(dict.fromkeys(request.serials, (request.holder,)))

    def is_none_asked(self, serials: Iterable[int]) -> bool:
        """Whether none of these pages is queued or under way."""
        return self._asked.keys().isdisjoint(serials)

    def is_asked(self, serial: int) -> bool:
        """Whether a page is queued or under way."""
        return serial in self._asked

    def choose_linked(self, row: int, first: int, second: int) -> int:
        """Return a holder of a row that can be asked now, or `NO_HOLDER`; its first two are known."""
        holder = self.choose(row) if second or not first else first
        return holder if holder and self._is_reachable(self._holders[holder]) else NO_HOLDER

    def _unask(self, request: FetchRequest) -> None:
        """A request is over, or was never sent: its serials are not asked for at its holder."""
        holder, all_asked = request.holder, self._asked
        for serial in request.serials:
            asked = all_asked.pop(serial, ())
            if asked and asked != (holder,):  # others are asked, too
                all_asked[serial] = tuple(each for each in asked if each != holder)

    # What is under way.

    def take_requests(self, holder: int) -> list[FetchRequest]:
        """Return what to ask a linked holder for now, as far as the window goes; `begin` follows for each.

        Until then nobody else may look: its pages are queued no more, and not under way yet.
        """
        self._unpark(holder)
        queued = self._queued.pop(holder, None)
        if queued is None:
            return []
        if not all(map(self._wanted.__contains__, queued.serials)):
            self._unask(queued)
            self.requeue(queued)
            queued = self._queued.pop(holder, None)
            if queued is None:
                return []
        under_way = sum(
            not (request.is_hedged or request.ahead) for request in self.under_way(holder)
        )
        if self._overdue.get(holder, 0) > LATE_REQUESTS_MAX - self._in_flight_max:
            under_way = self._in_flight_max  # each that is sent may be late too
        serials, rows, requests, start = queued.serials, queued.rows, [], 0
        while start < len(serials) and under_way < self._in_flight_max:
            stop = start + PAGES_PER_FRAME_MAX
            requests.append(FetchRequest(holder, serials[start:stop], rows[start:stop]))
            start = stop
            under_way += 1
        if start < len(serials):
            self._queued[holder] = FetchRequest(holder, serials[start:], rows[start:])
        return requests

    def begin(self, request_id: int, request: FetchRequest, now: float) -> None:
        """The request is on its way."""
        request.asked_at = now
        self._in_flight[request_id] = request
        # All pages of a block have the same holders, so the first speaks for nearly all.
        if self._rows.has_several_holders(request.rows[0]):
            self._hedgeable[request_id] = None

    def __getitem__(self, request_id: int) -> FetchRequest:
        return self._in_flight[request_id]

    def under_way(self, holder: int) -> list[FetchRequest]:
        """Return the requests that a holder has not answered."""
        return [request for request in self._in_flight.values() if request.holder == holder]

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return len(self._in_flight)

    def end(self, request_id: int, *, answered_at: float | None) -> FetchRequest:
        """The request was answered, or failed (None)."""
        request = self._in_flight.pop(request_id)
        self._hedgeable.pop(request_id, None)
        self._unask(request)
        if request.is_hedged:
            left = self._overdue[request.holder] - 1
            if left:
                self._overdue[request.holder] = left
            else:
                del self._overdue[request.holder]
        # Behind pages that nobody waited for an answer comes later than others do.
        if answered_at is not None and request.ahead is None:
            self._latency.on_answer(answered_at - request.asked_at)
        return request

    # What is late.

    @property
    def hedge_seconds(self) -> float:
        """After how long an answer is late."""
        return self._latency.hedge_seconds

    def next_deadline(self) -> float | None:
        """Return when the first request that may be hedged is late."""
        first = next(iter(self._hedgeable), None)
        return None if first is None else self._in_flight[first].asked_at + self.hedge_seconds

    def take_late(self, now: float) -> FetchRequest | None:
        """Return a request that is late, once; it counts as hedged from now on."""
        late_at = self.next_deadline()
        if late_at is None or late_at > now:
            return None
        request_id, _ = self._hedgeable.popitem(last=False)
        request = self._in_flight[request_id]
        request.is_hedged = True
        self._overdue[request.holder] = self._overdue.get(request.holder, 0) + 1
        return request

    def check_invariants(self) -> set[int]:
        """Assert that no request names a page twice; return the serials of all."""
        requests = [*self._in_flight.values(), *self._queued.values(), *self._parked.values()]
        for request in requests:
            assert len(set(request.serials)) == len(request.serials), "asked for twice in one frame"
        return {serial for request in requests for serial in request.serials}
