"""Persistent remotify: blocks of our persistent pages that travel to peers which have room.

Several travel in one **shipment**: all zpages of a block together, to as many peers as their pools
want copies, one PUT_PAGES to each.  Until the last answer the pages stay ours and readable.  Then,
block by block:

    stored by all      the rows name the holders, and the block is freed (or kept, as a clean one); those that left for
                       fewer peers than they want (`degrade`) are at risk
    otherwise          the block is the oldest of its family again, and peers that stored it are owed a flush

A peer that says nothing is not waited for as long as an answer may take: pages on their way keep
memory that writes wait for.  After a while (`put_timeout`) its blocks go to others, if there are
enough of them, and the peer gets nothing new until it has answered, or the request has failed; what
it says then counts for nothing.

A peer that refuses is left alone for a while (`refusal_backoff`), and one that takes no more for
now until it does (`put_rate`).  One whose answer is unknown is owed a flush of all the serials:
there may be copies nobody will ask for.  A later PUT of the same serials to the same peer must not
be undone by an owed flush, so what a peer is owed is sent before each PUT (the caller does this:
`Send` order on one link is kept).
"""

import math
import random
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain

from nodemanager.ids import NodeId
from ramsterd.core.family import Family
from ramsterd.core.leaving import (
    Leaving,
    begin_leaving,
    end_leaving,
    keep_leaving,
    return_leaving,
    zpages_in,
)
from ramsterd.core.page import PoolKind
from ramsterd.core.store import Store
from ramsterd.remote.fetch.spot_checks import SpotChecks
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.limits.alarm import earlier
from ramsterd.remote.limits.put_timeout import PutTimeout
from ramsterd.remote.send.candidates import Candidates
from ramsterd.remote.send.degrade import Degrade
from ramsterd.remote.send.placing import Choice, Placing
from ramsterd.remote.send.puts_in_flight import PutsInFlight
from ramsterd.remote.send.reclaim import Reclaim
from ramsterd.remote.send.shipment import Put, Shipment
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX, PutResult


class PersistentRemotifier:
    """Decides which persistent blocks leave, and to whom."""

    def __init__(
        self,
        store: Store,
        candidates: Candidates,
        reclaim: Reclaim,
        *,
        spot_checks: SpotChecks,
        in_flight_max: int,
        put_timeout: PutTimeout,
        degrade: Degrade,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._candidates = candidates
        self._reclaim = reclaim
        self._spot_checks = spot_checks
        self._put_timeout = put_timeout
        self.puts = PutsInFlight()
        # When it was looked last who is overdue: those that can't be given up are looked at again
        # whenever time is looked at, and ask for no time of their own.
        self._overdue_seen = -math.inf
        self.placing = Placing(
            store, candidates, self.puts, degrade, in_flight_max=in_flight_max, rng=rng
        )
        # Pages that have left, or are clean now: what repatriation waits to end.
        self.left_total = 0
        self.stored_total = 0
        self.stored_zpage_bytes_total = 0
        self.refused_total = 0
        self.unknown_total = 0
        self.overtaken_total = 0
        self.stored_by_node: dict[NodeId, int] = {}

    # What leaves.

    def next_puts(self, now: float) -> list[Put]:
        """Choose the oldest blocks and their holders; empty: nobody can take them."""
        if self.placing.are_all_busy():
            return []
        self.placing.pass_over(now)
        return self.ship(self._oldest_blocks(), now, is_kept=False)

    def _oldest_blocks(self) -> Iterator[int]:
        """Yield the oldest persistent block, as long as more must leave.

        A caller that asks on has taken it.
        """
        oldest = partial(self._store.zbud.oldest, Family.OWN_PERSISTENT)
        while self._reclaim.must_shrink() and (block := oldest()) is not None:
            yield block

    def ship(self, blocks: Iterator[int], now: float, *, is_kept: bool) -> list[Put]:
        """Choose holders for the first block, and send with it what fits and wants as many copies."""
        first = next(blocks, None)
        if first is None:
            return []
        choice = self.placing.choose(first, now, is_kept=is_kept)
        if not choice.nodes:
            return []
        shipment = Shipment(
            PoolKind.PERSISTENT,
            self._take(chain([first], blocks), choice, is_kept=is_kept),
            tuple(self._candidates.holder(node) for node in choice.nodes),
            copies=choice.copies,
            fewest_copies=choice.fewest_copies,
            is_kept=is_kept,
        )
        puts = [Put(shipment, holder) for holder in shipment.holders]
        for put in puts:
            self._candidates.on_sent(put, now)
        return puts

    def _take(self, blocks: Iterable[int], choice: Choice, *, is_kept: bool) -> list[Leaving]:
        """Take the blocks that fit one frame and the room that was found; at least the first."""
        store, pages, block_bytes = self._store, 0, 0
        taken: list[Leaving] = []
        for block in blocks:
            pages += zpages_in(store.zbud, block)
            block_bytes += store.zbud.block_bytes(block)
            is_too_much = pages > PAGES_PER_FRAME_MAX or block_bytes > choice.room_bytes
            if taken and (is_too_much or not self._is_alike(block, choice, is_kept=is_kept)):
                break
            if not is_kept:
                self._reclaim.leaving_bytes += store.zbud.block_bytes(block)
            taken.append(begin_leaving(store.versions, block))
        return taken

    def _is_alike(self, block: int, choice: Choice, *, is_kept: bool) -> bool:
        """Whether a block wants as many copies, and is content with as few."""
        if self._store.copies.wanted_by(block) != choice.copies:
            return False
        return is_kept or self._store.copies.fewest_wanted_by(block) == choice.fewest_copies

    # How it ends.

    def give_up_overdue(self, now: float) -> None:
        """Wait no more for peers that say nothing, as far as enough others would take their blocks."""
        self._overdue_seen = now
        overdue = self.puts.overdue(self._put_timeout.seconds, now)
        if not overdue:
            return
        silent = {put.holder.node for put in overdue.values()}
        answering = self.placing.answering(besides=silent)
        able = sum(each.has_room(1, now=now) for each in answering)
        silent_since = math.inf
        for request_id, put in overdue.items():
            if able >= min(len(put.shipment.holders), put.shipment.fewest_copies):
                silent_since = min(silent_since, self.puts.sent_at(request_id))
                self._on_unknown(self.puts.give_up(request_id), now)
        if silent_since < now:
            self.placing.look(now, since=silent_since)

    def next_deadline(self) -> float | None:
        """Return when a block that waits may be tried again, or a peer has said nothing for too long."""
        overdue_at = self.puts.next_overdue(self._put_timeout.seconds, after=self._overdue_seen)
        return earlier(self.placing.next_deadline(), overdue_at)

    def on_deadline(self, now: float) -> None:
        """Time has passed."""
        self.give_up_overdue(now)
        self.placing.on_deadline(now)

    def on_results(self, request_id: int, results: bytes, now: float) -> None:
        """A peer stored or refused each page; a block with one refused page counts as refused."""
        self._put_timeout.on_answer(now - self.puts.sent_at(request_id))
        put = self.puts.end(request_id)
        if put is None:
            return  # given up: it is owed a flush of all this already
        shipment, holder = put.shipment, put.holder
        start, is_refused = 0, False
        for leaving, stored_by in zip(shipment.blocks, shipment.stored_by, strict=True):
            end = start + len(leaving.serials)
            outcomes = results[start:end]
            start = end
            if outcomes.count(PutResult.STORED) == len(outcomes):
                self._on_stored(holder, leaving)
                stored_by.append(holder)
                continue
            is_refused = True
            self.refused_total += len(outcomes)
            for serial, outcome in zip(leaving.serials, outcomes, strict=True):
                if outcome == PutResult.STORED:
                    self._owe(holder, [serial])
        if is_refused:
            self._candidates.on_refused(PoolKind.PERSISTENT, holder.node, now)
        self._on_answer(shipment)

    def _on_stored(self, holder: Holder, leaving: Leaving) -> None:
        count = len(leaving.serials)
        self.stored_total += count
        self.stored_zpage_bytes_total += len(leaving.body)
        self.stored_by_node[holder.node] = self.stored_by_node.get(holder.node, 0) + count
        self._candidates.on_stored(PoolKind.PERSISTENT, holder.node)

    def on_unknown(self, request_id: int, now: float) -> None:
        """Nobody knows whether a peer has these pages: it is owed a flush."""
        put = self.puts.end(request_id)
        if put is not None:
            self._on_unknown(put, now)

    def _on_unknown(self, put: Put, now: float) -> None:
        self.unknown_total += len(put.shipment.serials)
        self._candidates.on_unanswered(PoolKind.PERSISTENT, put.holder.node, now)
        self._owe(put.holder, put.shipment.serials)
        self._on_answer(put.shipment)

    def _on_answer(self, shipment: Shipment) -> None:
        shipment.answers_missing -= 1
        if shipment.answers_missing:
            return
        # The oldest block goes back last, and is the oldest again.
        for leaving, stored_by in zip(
            reversed(shipment.blocks), reversed(shipment.stored_by), strict=True
        ):
            if not shipment.is_kept:
                self._reclaim.leaving_bytes -= self._store.zbud.block_bytes(leaving.block)
            if self._is_enough(shipment, leaving, stored_by):
                self._end(leaving, stored_by, is_kept=shipment.is_kept)
                if shipment.is_degraded:
                    self._store.versions.note_thinned(leaving.rows)
            else:
                return_leaving(self._store.versions, leaving)
                for holder in stored_by:
                    self._owe(holder, leaving.serials)

    def _is_enough(self, shipment: Shipment, leaving: Leaving, stored_by: list[Holder]) -> bool:
        """Whether a block is at as many peers as it should be by now, or at all of the fewer that it was sent to.

        One that stored it may have lost its incarnation or its link since, and the sweep that looks
        for pages at risk has been here already; and a pool may want more copies than when it left.
        """
        store = self._store
        if any(each.is_dead or each.id in store.copies.unreachable_holders for each in stored_by):
            return False
        if len(stored_by) >= store.copies.wanted_by(leaving.block):
            return True
        return shipment.is_degraded and len(stored_by) == len(shipment.holders)

    def _end(self, leaving: Leaving, holders: list[Holder], *, is_kept: bool) -> None:
        end = keep_leaving if is_kept else end_leaving
        overtaken = end(self._store.versions, leaving, *(holder.id for holder in holders))
        self.left_total += len(leaving.serials)
        self.overtaken_total += len(overtaken)
        for holder in holders:
            holder.on_pages_kept(len(leaving.serials) - len(overtaken))
            self._owe(holder, overtaken)
            self._spot_checks.on_stored(holder, leaving.rows, leaving.serials)

    def _owe(self, holder: Holder, serials: Iterable[int]) -> None:
        """Have a peer flush what it may keep for nobody."""
        if holder.is_dead:
            return
        for serial in serials:
            holder.on_pages_kept(1)  # counted down again as the owed flush is sent
            self._store.versions.owe(holder.id, serial)

    def check_invariants(self) -> None:
        """Assert that the blocks under way are what they should be."""
        self.puts.check_invariants()
        shipments: list[Shipment] = []
        for put in self.puts.waited:
            if not any(put.shipment is each for each in shipments):
                shipments.append(put.shipment)
        leaving = [each.block for shipment in shipments for each in shipment.blocks]
        assert len(leaving) == len(set(leaving)), "a block chosen twice"
        for shipment in shipments:
            under_way = [put for put in self.puts.waited if put.shipment is shipment]
            assert len(under_way) == shipment.answers_missing
        assert self._reclaim.leaving_bytes == sum(
            self._store.zbud.block_bytes(each.block)
            for shipment in shipments
            if not shipment.is_kept
            for each in shipment.blocks
        )
