"""Settling: the end of each pass, in phases.

What events since the last pass ask for is done, or handed outside.

The order of the phases matters, and each says why it stands where it does, or that it may change
places with the one before it; `tests/unit/pagepath/test_phases.py` holds the order.  A pass ends
for every batch of requests, and mostly one or two phases have something to do: each is asked first,
which costs next to nothing.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from ramsterd.pagepath.effects import Effect, GetDone, Replicated
from ramsterd.pagepath.machines import Machines
from ramsterd.pagepath.outbox import shipment_table
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.holders.trust import BadCopy
from ramsterd.remote.send.shipment import Put

# A pause after each slice of dropped blocks, for everybody else.
DROP_SECONDS: Final = 0.001


class Settling:
    """See the module's text."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._room, self._versions = machines.store.room, machines.store.versions
        self._slices = machines.slices
        self._outbox = machines.outbox
        self._holders = machines.holders
        self._reach = machines.reach
        self._trust = machines.trust
        self._fetches = machines.fetches
        self._remotifier = machines.remotifier
        self._replicator = machines.replicator
        self._drop_at: float | None = None
        # When the last pass ended: now, to half a second, for what is told without a clock.
        self.settled_at = 0.0
        # Whether there is anything to do, and the phase that does it.
        self._phases: Final[tuple[tuple[Callable[[], object], Callable[[float], None]], ...]] = (
            # First, for what it drops is room for all that follows.
            (self._has_long_work, self._go_on_with_long_work),
            # What was repatriated is adopted before anything clean is dropped.  Long work may as
            # well come behind it.
            (self._fetches.has_done, self._end_gets),
            # What may vanish makes room before anything travels for it.
            (self._remotifier.may_drop, self._drop_what_may_vanish),
            # What drops, puts and answers have made obsolete is owed by now, and leaves before any
            # new PUT: a page that was adopted as it would be dropped may leave in this pass, and
            # its flush must not come behind it.
            (self._versions.has_owed, machines.flushes.collect),
            # Room for writes comes before copies for a client that waits for them.
            (self._remotifier.must_send, self._send_what_must_leave),
            # What was adopted is added to the others.  No PUT that was just sent is answered yet:
            # it may as well stand before the above.
            (self._replicator.has_work, self._replicate),
            # A peer that is sent pages is not checked meanwhile, so all PUTs of this pass have
            # begun.
            (self._trust.has_to_check, self._check_holders),
            # A check is a request of its own: it may as well come behind this.
            (self._fetches.has_queued, self._ask_holders),
            # Behind what is asked for that somebody waits for.
            (machines.read_ahead.has_due, self._send_read_ahead),
            # Behind what somebody waits for.  PUTs have taken theirs along.
            (machines.flushes.has_owed, machines.flushes.send_due),
            # Behind the flushes that are owed: a list should not name what is to go anyway.
            (machines.reconciler.has_work, self._ask_for_lists),
            # Behind all that finds copies missing; the sweep's own findings come with its slice.
            # These four find nothing for each other, and may stand in any order.
            (self._versions.has_thinned, self._note_pages_at_risk),
            (machines.sweeps.has_work, machines.sweeps.settle),
            # Gets that were given up above: nobody waits for another pass.
            (self._fetches.has_done, self._end_gets),
            # Every bad copy of this pass is known: lists and answers came before.
            (self._trust.has_news, self._tell_of_trust),
        )

    def settle(self, now: float) -> list[Effect]:
        """Return what all events since the last call ask for, in the order in which it must be done."""
        self.settled_at = now
        for has_work, phase in self._phases:
            if has_work():
                phase(now)
        return self._outbox.take()

    def next_deadline(self) -> float:
        """Return when more is to be dropped; infinite: nothing is."""
        return inf if self._drop_at is None else self._drop_at

    # Room.

    def _has_long_work(self) -> bool:
        return bool(self._slices) or self._room.wants_tables is not None

    def _go_on_with_long_work(self, now: float) -> None:
        """Do a slice of what takes long, and make room in the tables for puts that wait."""
        self._slices.on_deadline(now)
        self._room.evict_for_tables()

    def _drop_what_may_vanish(self, now: float) -> None:
        if self._drop_at is None or self._drop_at <= now:
            self._remotifier.drop_first(now)
            self._drop_at = now + DROP_SECONDS if self._remotifier.has_more_to_drop else None

    # PUTs.

    def _send_what_must_leave(self, now: float) -> None:
        while not self._machines.is_leaving and (puts := self._remotifier.next_puts(now)):
            self._send_puts(puts, now)

    def _replicate(self, now: float) -> None:
        """Requests that are fulfilled by now need nothing more sent."""
        self._outbox.add(*map(Replicated, self._replicator.take_done()))
        while not self._machines.is_leaving and (blocks := self._replicator.blocks_to_send()):
            if not (puts := self._remotifier.puts_of_kept(blocks, now)):
                return
            self._send_puts(puts, now)

    def _send_puts(self, puts: list[Put], now: float) -> None:
        """Send a shipment to each of its peers."""
        table = shipment_table(puts[0].shipment)
        for put in puts:
            self._machines.flushes.send_all(put.holder)
            request_id = self._outbox.next_request_id()
            self._remotifier.begin(request_id, put, now)
            self._outbox.put(put, request_id, table)

    # GETs.

    def _check_holders(self, _: float) -> None:
        """Ask peers for a page of what they lately said they stored."""
        machines = self._machines
        for node in sorted(self._trust.to_check):
            holder = self._holders.living(node)
            if holder is None or not self._reach.is_reachable(holder):
                continue
            is_sending = self._remotifier.is_sending_to(node)
            request = machines.spot_checks.next_check(holder, is_sending=is_sending)
            if request is not None:
                request_id = self._outbox.next_request_id()
                machines.spot_checks.begin(request_id, holder, request)
                self._outbox.get(node, request, request_id)

    def _ask_holders(self, now: float) -> None:
        """Whatever is queued for a holder that can't be asked goes to another in this pass."""
        for holder in self._fetches.queued_holders():
            if not self._reach.is_reachable(self._holders[holder]):
                self._fetches.redirect(holder)
        for holder in self._fetches.queued_holders():
            self._send_gets_to(self._holders[holder], now)

    def _send_gets_to(self, holder: Holder, now: float) -> None:
        if holder.is_dead:
            self._fetches.on_holder_dead(holder.id)
            return
        if not self._reach.is_reachable(holder):
            self._fetches.miss_queued(holder.id)
        if self._machines.nodes.is_linked(holder.node):
            for request in self._fetches.take_requests(holder.id):
                request_id = self._outbox.next_request_id()
                self._fetches.begin(request_id, request, now)
                self._outbox.get(holder.node, request, request_id)
            return
        if self._reach.is_given_up(holder):
            self._fetches.on_holder_unreachable(holder.id)
        self._fetches.park(holder.id)

    def _send_read_ahead(self, now: float) -> None:
        """Ask for what nobody waits for yet."""
        for request in self._fetches.take_ahead(now):
            request_id = self._outbox.next_request_id()
            self._fetches.begin(request_id, request, now)
            self._outbox.get(self._holders[request.holder].node, request, request_id)

    def _end_gets(self, _: float) -> None:
        """Hand over what gets have become.

        Those that nobody asked for are for who brings pages home.
        """
        for pending in self._fetches.take_done():
            is_background = pending.asked_at is None
            if not (is_background and self._machines.background_fetch.on_done(pending)):
                self._outbox.add(GetDone(pending))

    # Lists.

    def _ask_for_lists(self, now: float) -> None:
        """Go on with the comparison of what holders keep, and blame those that lack what they should have."""
        if self._machines.is_leaving:
            return  # they forget us, as we asked
        reconciler = self._machines.reconciler
        for comparison in reconciler.due(now):
            request_id = self._outbox.next_request_id()
            reconciler.begin(request_id, comparison)
            self._outbox.list_pages(comparison.holder.node, comparison.first, request_id)
        for ended in reconciler.take_ended():
            self._outbox.add(ended)
            if ended.lacking:
                self._trust.on_bad(ended.node, BadCopy.MISSING, ended.lacking, now)

    # What is found out.

    def _note_pages_at_risk(self, _: float) -> None:
        for row in self._versions.take_thinned():
            self._machines.on_thinned(row)

    def _tell_of_trust(self, _: float) -> None:
        self._outbox.add(*self._trust.take_news())
