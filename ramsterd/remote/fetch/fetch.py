"""Fetch: pages that a get waits for are requested from a holder, checked, and served.

A page is requested once, however many gets wait for it (`pending`), from a holder (`asking`).
The answer is compared with the serial that the row has now (`core.install`): a page that was put
again or flushed meanwhile is never served or localified, and the get looks it up again.

Another holder is asked at once when the link is lost, the request fails, or the page is missing or
damaged; and when the answer is late (a hedge).
The first good answer serves all that wait; later answers are ignored.

After a failed request the pages stay wanted, and are requested again when a holder is linked again.
A get ends at its own deadline, or at once when all its holders are down; it leaves nothing behind.
One that outwaits unreachable holders does neither as long as one of them may come back
(`may_come_back`), within its own bound.

Nothing waits for an ephemeral page.
It is a miss when its holder has evicted it, has no link, is not up, or did not answer.
In the last three cases the row stays: the holder may still have the page.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from net.frame import Frame
from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.family import Family
from ramsterd.core.install import come_home
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.store import RunOfPages, Store
from ramsterd.remote.fetch.arrival import serial_elsewhere
from ramsterd.remote.fetch.asking import Asking, FetchRequest
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet, PendingGets, Waiter
from ramsterd.remote.fetch.read_ahead import ReadAhead
from ramsterd.remote.fetch.statistics import FetchStatistics
from ramsterd.remote.fetch.unreachable import UnreachableReads, unreachable_reads
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.trust import BadCopy
from ramsterd.remote.wire import parse_get_reply

# What a page becomes that came and is kept, of a pool that is ephemeral or not.
_FAMILIES: Final = {False: Family.OWN_CLEAN, True: Family.OWN_EPHEMERAL}


class Fetches:
    """Wanted pages, and what is done about them."""

    def __init__(
        self,
        store: Store,
        holders: Holders,
        *,
        in_flight_max: int,
        read_ahead: ReadAhead,
        is_reachable: Callable[[Holder], bool],
        may_come_back: Callable[[Holder], bool],
        on_thinned: Callable[[int], None],
        on_bad_holder: Callable[[int, BadCopy, float], None],
    ) -> None:
        """Begin with nothing wanted; `Asking` says what the arguments are.

        `may_come_back` tells whether a holder that can't be asked may be back with what it has;
        `on_thinned` is called with a row that has lost one of its copies, and has others;
        `on_bad_holder` with the id of a holder whose copy of a page is bad, and the time.
        """
        self._store = store
        self._holders = holders
        self._may_come_back = may_come_back
        self._on_thinned = on_thinned
        self._on_bad_holder = on_bad_holder
        self._read_ahead = read_ahead
        self._gets = PendingGets()
        self._asking = Asking(
            store.versions,
            holders,
            in_flight_max=in_flight_max,
            is_reachable=is_reachable,
            wanted=self._gets.wanted,
        )
        # When the first waiting get gives up, and when the first request is to be hedged.
        self.deadlines = self._gets.next_deadline, self._asking.next_deadline
        # Asked in each pass.
        self.has_done, self.take_done = self._gets.has_done, self._gets.take_done
        self.has_queued = self._asking.has_queued
        self._fetched = 0
        self._fetched_bytes = 0
        self._installed = 0
        self._overtaken = 0
        self._corrupt = 0
        self._missing = 0
        self._requests_failed = 0
        self._hedged = 0

    # What is wanted.

    def wait(self, pending: PendingGet, run: RunOfPages) -> None:
        """Let a get wait for the pages of its run that are elsewhere.

        They are queued to be asked for.
        """
        pending.is_ephemeral = self._store.pools[pending.pool].kind is PoolKind.EPHEMERAL
        self._gets.begin(pending)
        if self._read_ahead.by_serial:
            self._want(pending, self._read_ahead.serve(run.elsewhere, pending, self._gets.have))
        else:
            self._want(pending, run.elsewhere)
        self._gets.count_down(pending)

    def cancel(self, pendings: Iterable[PendingGet]) -> None:
        """Nobody waits for these gets any more.

        What they alone wanted is not asked for, if it was not yet.
        """
        self._gets.cancel(pendings)
        self._asking.forget_what_nobody_wants()

    def is_wanted(self, serial: int) -> bool:
        """Whether somebody waits for a page already."""
        return serial in self._gets.wanted

    def _want(self, pending: PendingGet, elsewhere: list[tuple[int, int]]) -> None:
        """Let a get wait for pages, each at its position in the run."""
        places_at, lost = self._asking.choose_each(elsewhere)
        for position, row in lost:
            self._lose(pending, position, row)
        for holder, places in places_at.items():
            if first := self._gets.want(pending, places):
                self._asking.queue_all(holder, first)

    def _lose(self, pending: PendingGet, position: int, row: int) -> None:
        """No holder of a page is left, so nobody waits for it any more."""
        pending.missing += 1
        self._lose_for([(pending, position)], row)

    def _look_up_again(self, waiters: list[Waiter]) -> None:
        """A page was put again or flushed while it was on its way: what do its gets find now?"""
        for pending, position in waiters:
            if not pending.is_over:
                self._look_up(pending, position)

    def _look_up(self, pending: PendingGet, position: int) -> None:
        if pending.pool not in self._store.pools:
            self._gets.deliver(pending, position, None)
            return
        run = self._store.get(pending.pool, pending.object_id, pending.indexes[position], 1)
        if run.lost_count:
            self._gets.fail(pending, position, GetOutcome.LOST)
        elif run.elsewhere:
            self._want(pending, [(position, run.elsewhere[0][1])])
            self._gets.count_down(pending)
        else:
            self._gets.deliver(pending, position, run.pages[0])

    # What is asked for.

    def queued_holders(self) -> list[int]:
        """Return the holders that have something to be asked for."""
        return self._asking.queued_holders()

    def take_requests(self, holder: int) -> list[FetchRequest]:
        """Return what to ask a linked holder for now, as far as the window goes."""
        return self._asking.take_requests(holder)

    def take_ahead(self, now: float) -> list[FetchRequest]:
        """Return what to ask linked holders for now although nobody waits for it; `begin` follows for each."""
        return self._read_ahead.choose(self._asking, self._gets.wanted.keys(), now)

    def begin(self, request_id: int, request: FetchRequest, now: float) -> None:
        """The request is on its way."""
        self._asking.begin(request_id, request, now)

    def redirect(self, holder: int) -> None:
        """A holder can't be asked now: ask others for what is queued for it, as far as there are any."""
        queued = self._asking.take_queued(holder)
        if queued is not None:
            self._ask_elsewhere_or_again(queued)

    def _ask_elsewhere_or_again(self, request: FetchRequest) -> None:
        for serial, row in self._asking.still_wanted(request):
            if not self._asking.asked_count(serial):  # else a hedge is under way
                self._ask_elsewhere_or_at(request.holder, serial, row)

    def _ask_elsewhere_or_at(self, holder: int, serial: int, row: int) -> None:
        """Have a page asked for at another holder that can be asked now, or else at this one, unless its incarnation is over."""
        if self._ask_elsewhere(holder, serial, row):
            return
        if self._asking.is_living(holder):
            self._asking.queue(holder, serial, row)
        else:
            self._look_up_again(self._gets.take(serial))

    def _ask_elsewhere(self, holder: int, serial: int, row: int) -> bool:
        """Have what one holder does not give looked up anew, or asked for at another that is linked, if it can be."""
        if serial_elsewhere(self._store.rows, row) != serial:
            self._look_up_again(self._gets.take(serial))
            return True
        return self._asking.queue_elsewhere(holder, serial, row)

    # What comes.

    def asked_at(self, request_id: int) -> float:
        """Return when a request under way left."""
        return self._asking[request_id].asked_at

    def on_reply(self, request_id: int, frame: Frame, now: float) -> None:
        """Judge each page of an answer, and serve who waits for it.

        Raises:
            RemoteProtocolError: The answer does not fit the request.
        """
        packed = parse_get_reply(frame, len(self._asking[request_id].serials))
        request = self._asking.end(request_id, answered_at=now)
        rows, serials = request.rows, request.serials
        all_waiters = self._gets.take_all(serials)
        families = [
            _FAMILIES[waiters[0][0].is_ephemeral] if waiters else None for waiters in all_waiters
        ]
        pages, installed = come_home(self._store.room, rows, serials, packed, frame.body, families)
        self._installed += installed
        if request.ahead is not None:
            self._read_ahead.on_answer(request, packed, frame.body, all_waiters, now)
        good = [(waiters, page) for waiters, page in zip(all_waiters, pages, strict=True) if page]
        self._fetched += len(good)
        self._gets.deliver_all(good)
        if len(good) == len(pages):
            self._fetched_bytes += len(frame.body)
            return
        table = self._store.rows
        each = zip(rows, serials, packed, pages, all_waiters, strict=True)
        for row, serial, code, page, waiters in each:
            if page:
                self._fetched_bytes += code & ZPAGE_BYTES_MASK
            elif page is not None or (waiters and serial_elsewhere(table, row) != serial):
                # What came before in the same answer may have ended it, too.
                self._overtaken += 1
                self._look_up_again(waiters)
            elif waiters:
                kind = BadCopy.DAMAGED if code else BadCopy.MISSING
                self.on_bad_copy(request.holder, row, kind, now, waiters)

    def on_bad_copy(
        self, holder: int, row: int, kind: BadCopy, now: float, waiters: Sequence[Waiter] = ()
    ) -> None:
        """The holder does not have the page, or not intact.  Another may.

        Else it is lost, or a miss if ephemeral.
        """
        store, rows, serial = self._store, self._store.rows, self._store.rows.serial(row)
        is_persistent = store.versions.kind_of(row) is PoolKind.PERSISTENT
        self._corrupt += kind is BadCopy.DAMAGED
        if is_persistent or kind is BadCopy.DAMAGED:  # an ephemeral page may be dropped
            self._on_bad_holder(holder, kind, now)
        if block := store.versions.block_of(row):
            # It is here too: that copy is the one that counts from now on.
            store.room.adopt_block(block)
            self._look_up_again(list(waiters))
            return
        others = [each for each in rows.holders(row) if each != holder]
        if others:
            if len(others) < len(rows.holders(row)):
                store.versions.give_up_copy(row, holder)
                self._on_thinned(row)
            if not waiters:
                return
            if other := self._asking.choose(row):
                self._gets.put_back(serial, list(waiters))
                self._asking.queue(other, serial, row)
                return
        self._missing += kind is BadCopy.MISSING and is_persistent
        self._lose_for(waiters, row)

    def _lose_for(self, waiters: Sequence[Waiter], row: int) -> None:
        """The last copy of a page is gone: a loss, or a miss if it is ephemeral."""
        is_persistent = self._store.versions.lose(row)
        self._gets.missed += not is_persistent
        for pending, position in waiters:
            if is_persistent:
                self._gets.fail(pending, position, GetOutcome.LOST)
            else:
                self._gets.deliver(pending, position, None)

    # What goes wrong.

    def on_request_failed(self, request_id: int) -> None:
        """No answer: persistent pages stay wanted, from another holder if there is one.

        Ephemeral ones are a miss.
        """
        request = self._asking.end(request_id, answered_at=None)
        self._requests_failed += 1
        self._read_ahead.on_failed(request)
        self._gets.miss(request.serials)
        self._ask_elsewhere_or_again(request)

    def miss_queued(self, holder: int) -> None:
        """The holder can't be asked now: what is ephemeral is not waited for."""
        queued = self._asking.take_queued(holder)
        if queued is not None:
            self._gets.miss(queued.serials)
            self._asking.requeue(queued)

    def on_holder_suspect(self, holder: int) -> None:
        """The holder has been silent: gets of ephemeral pages that it was asked for end now."""
        for request in self._asking.under_way(holder):
            self._gets.miss(request.serials)

    def on_holder_unreachable(self, holder: int) -> None:
        """A holder was declared down: gets that only it can serve fail now, or outwait that.

        Their pages are not lost.
        """
        for request in self._requests_of(holder):
            self._gets.miss(request.serials)
            for serial, row in self._asking.still_wanted(request):
                if not self._ask_elsewhere(holder, serial, row):
                    self._give_up(holder, serial, row)

    def _give_up(self, holder: int, serial: int, row: int) -> None:
        """No holder of a page can be asked: who outwaits that waits on, if one of them may come back."""
        awaited = [
            each
            for each in (holder, *self._store.rows.holders(row))
            if self._asking.is_living(each) and self._may_come_back(self._holders[each])
        ]
        waiting = []
        for waiter in self._gets.take(serial):
            if awaited and waiter[0].outwaits:
                waiting.append(waiter)
            else:
                self._gets.give_up(*waiter)
        if waiting:
            self._gets.put_back(serial, waiting)
            self._asking.queue(awaited[0], serial, row)

    def park(self, holder: int) -> None:
        """A holder has no link: leave what is queued for it alone until `unpark`."""
        if holder in self._asking.queued_holders():
            self._asking.park(holder)

    def unpark(self) -> None:
        """A holder may be reachable now, or a page may be needed no more: look at all that is parked."""
        self._asking.unpark()

    def on_holder_dead(self, holder: int) -> None:
        """A holder started again and has nothing any more: gets that wait for it look their pages up anew."""
        for request in self._requests_of(holder):
            for serial in request.serials:
                self._look_up_again(self._gets.take(serial))

    def _requests_of(self, holder: int) -> list[FetchRequest]:
        """Return what a holder was asked for, and what it was about to be, which is not queued any more."""
        requests, queued = self._asking.under_way(holder), self._asking.take_queued(holder)
        return requests if queued is None else [*requests, queued]

    # Time.

    def on_deadline(self, now: float) -> None:
        """Give up gets that have waited long enough, and ask others for what takes long."""
        if self._gets.expire(now):
            self._asking.forget_what_nobody_wants()
        while (late := self._asking.take_late(now)) is not None:
            for serial, row in self._asking.still_wanted(late):
                if self._asking.asked_count(serial) == 1:  # a hedge is not hedged
                    self._hedged += self._ask_elsewhere(late.holder, serial, row)

    def set_outwait_seconds(self, seconds: float) -> None:
        """How long gets that outwait unreachable holders go on behind their deadlines, those under way too."""
        self._gets.outwait_seconds = seconds

    # What is true.

    def unreachable_reads(self) -> dict[PoolId, UnreachableReads]:
        """Return which clients' gets wait for holders that can't be asked, by pool."""
        return unreachable_reads(self._asking, self._gets, self._holders)

    def statistics(self) -> FetchStatistics:
        """Return a snapshot."""
        return FetchStatistics(
            wanted_pages=len(self._gets.wanted),
            requests_in_flight=self._asking.in_flight,
            fetched_pages_total=self._fetched + self._read_ahead.served,
            fetched_zpage_bytes_total=self._fetched_bytes + self._read_ahead.served_zpage_bytes,
            localified_pages_total=self._installed + self._read_ahead.localified,
            overtaken_pages_total=self._overtaken,
            corrupt_pages_total=self._corrupt,
            missing_pages_total=self._missing,
            ephemeral_miss_pages_total=self._gets.missed,
            requests_failed_total=self._requests_failed,
            unreachable_pages_total=self._gets.unreachable,
            hedged_pages_total=self._hedged,
            hedge_delay_seconds=self._asking.hedge_seconds,
            outwaited_gets_total=self._gets.outwaited,
        )

    def check_invariants(self) -> None:
        """Assert that each wanted page is queued or under way, and each waiter still waits."""
        self._gets.check_invariants(self._asking.check_invariants())
