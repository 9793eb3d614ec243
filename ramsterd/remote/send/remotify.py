"""Remotify: when the arena fills, its oldest blocks go to peers that have room.

Above the high watermark blocks are taken until what stays is below the low one.  Foreign ephemeral and clean blocks
are dropped first, then our ephemeral ones, unless the config says that these are offered to peers (`overflow`).
Persistent ones travel, several in one **shipment**: all zpages of a block together, to as many peers as their
pools want copies, one PUT_PAGES to each.  Until the last answer the pages stay ours and readable.  Then, block by block:

    stored by all      the rows name the holders, and the block is freed (or kept, as a clean one); those that left for
                       fewer peers than they want (`degrade`) are at risk
    otherwise          the block is the oldest of its family again, and whoever stored it is owed a flush

A peer that says nothing is not waited for as long as an answer may take: pages on their way keep memory that writes
wait for.  After a while (`put_timeout`) its blocks go to others, if there are enough of them, and the peer gets nothing new
until it has answered, or the request has failed; what it says then counts for nothing.

A peer that refuses is left alone for a while (`refusals`), and one that takes no more for now until it does (`put_rate`).
One whose answer is unknown is owed a flush of all the serials: there may be copies nobody will ask for.  A later PUT of
the same serials to the same peer must not be undone by an owed
flush, so what a peer is owed is sent before each PUT (the caller does this: `Send` order on one link is kept).
"""

import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.family import Family
from ramsterd.core.leaving import Leaving, begin_leaving, end_leaving, keep_leaving, return_leaving
from ramsterd.core.page import PoolKind
from ramsterd.core.room import DROPPED_FIRST
from ramsterd.core.store import Store
from ramsterd.remote.fetch.spot_checks import SpotChecks
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.trust import Trust
from ramsterd.remote.limits.put_rate import PutRate, PutRateStatistics
from ramsterd.remote.limits.put_timeout import PutTimeout
from ramsterd.remote.limits.refusal_backoff import RefusalBackoff
from ramsterd.remote.send.candidates import Candidates
from ramsterd.remote.send.degrade import Degrade
from ramsterd.remote.send.ephemeral_remotify import EphemeralRemotifier, EphemeralRemotifyStatistics
from ramsterd.remote.send.placing import Choice, Placing, Shortage
from ramsterd.remote.send.shipment import Put, Shipment
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX, PutResult

# Blocks dropped in one pass: about 10 ms.  Only a budget that shrinks has more to drop at once.
DROPPED_BLOCKS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotifyStatistics:
    """Persistent pages by how they ended, once for each peer that was asked; what is in flight is of both kinds."""

    requests_in_flight: int
    pages_in_flight: int
    stored_pages_total: int
    stored_zpage_bytes_total: int
    refused_pages_total: int
    unknown_pages_total: int
    overtaken_pages_total: int
    node_stored_pages_total: dict[NodeId, int]
    put_rate: dict[NodeId, PutRateStatistics]
    ephemeral: EphemeralRemotifyStatistics


class Remotifier:
    """Decides which blocks leave, and to whom."""

    def __init__(
        self,
        store: Store,
        holders: Holders,
        nodes: NodeTable,
        *,
        trust: Trust,
        spot_checks: SpotChecks,
        in_flight_max: int,
        refusal_seconds: float,
        put_timeout: PutTimeout,
        degrade: Degrade,
        rng: random.Random,
        sends_ephemeral: bool = False,
        is_behind: Callable[[NodeId], bool] = lambda _: False,
    ) -> None:
        self._sends_ephemeral = sends_ephemeral
        self._put_rate = PutRate()
        self._trust = trust
        self._spot_checks = spot_checks
        self._refusals = RefusalBackoff(refusal_seconds)
        self._peers = Candidates(nodes, holders, self._put_rate, trust, is_behind=is_behind)
        self._ephemeral = EphemeralRemotifier(
            store, holders, self._peers,
            must_shrink=self._must_shrink, refusal_seconds=refusal_seconds, rng=rng,
        )  # fmt: skip
        self._store, self._room = store, store.room
        self._nodes = nodes
        self._placing = Placing(
            store, self._peers, self._refusals, degrade, in_flight_max=in_flight_max, rng=rng
        )
        self._put_timeout = put_timeout
        self._is_draining = False
        # Since the high watermark was last exceeded, only ephemeral pages left.
        self._is_draining_ephemeral = False
        # Whether `drop_first` stopped at its bound.
        self.has_more_to_drop = False
        self._in_flight: dict[int, Put] = {}
        # PUTs whose blocks are waited for no more, though the answer may still come.
        self._given_up: dict[int, Put] = {}
        # When each PUT of these two left.
        self._sent_at: dict[int, float] = {}
        # Frames of the arena that leave if all under way is stored.
        self._leaving_bytes = 0
        # Pages that have left, or are clean now: what repatriation waits to end.
        self.left_total = 0
        self._stored = 0
        self._stored_zpage_bytes = 0
        self._refused = 0
        self._unknown = 0
        self._overtaken = 0
        self._node_stored_pages_total: dict[NodeId, int] = {}

    def drop_first(self, now: float) -> bool:
        """Above the high watermark, drop what is not sent to a peer; return whether memory was freed.

        At most `DROPPED_BLOCKS_MAX` blocks: if it was that many, the caller comes back.
        """
        store = self._store
        if self._sends_ephemeral:
            self._ephemeral.spare_tables()
        if not self._room.is_short() or not self._must_shrink():
            return False
        families = [
            family
            for family in DROPPED_FIRST
            if family is not Family.OWN_EPHEMERAL or not self._has_taker(now)
        ]
        down_to = int(self._target_bytes()) + self._leaving_bytes
        dropped = self._room.evict_some(families, down_to, DROPPED_BLOCKS_MAX)
        # Over the budget, while it shrinks, nothing that may vanish waits for a peer.
        budget_bytes = store.zbud.budget_bytes + self._leaving_bytes
        dropped += self._room.evict_some(
            [Family.OWN_EPHEMERAL], budget_bytes, DROPPED_BLOCKS_MAX - dropped
        )
        self.has_more_to_drop = dropped == DROPPED_BLOCKS_MAX
        return dropped > 0

    def next_puts(self, now: float) -> list[Put]:
        """Choose the next blocks and their holders; empty: nothing must leave, or nobody can take it."""
        if not self._must_drain():
            return []
        if self._sends_ephemeral and self._store.zbud.oldest(Family.OWN_EPHEMERAL) is not None:
            # As long as there is one no put of ours waits: it would evict it.
            self._is_draining_ephemeral = True
            put = self._ephemeral.next_put(now)
            return [] if put is None else [put]
        self._placing.pass_over(now, in_flight=self._in_flight.values(), silent=self._silent())
        return self._ship(self._oldest_blocks(), now, is_kept=False)

    def is_stuck(self) -> bool:
        """Whether pages must leave, and none is on its way: no peer takes them, or none of ours is left here.

        Those that wait for a peer at its cap are on their way as good as any.
        """
        is_short = self._room.is_short()
        is_moving = bool(self._in_flight) or self._placing.is_waiting
        return is_short and self._must_drain() and not is_moving

    def make_room(self) -> None:
        """Begin to drain to the low watermark now: pages are to come home, and have to fit below the high one."""
        self._is_draining = True

    def _must_drain(self) -> bool:
        """Whether more must go: from above the high watermark to below the low one."""
        store = self._store
        if self._room.is_short():
            self._is_draining = True
            self._is_draining_ephemeral = False
        elif self._is_draining_ephemeral and store.zbud.oldest(Family.OWN_EPHEMERAL) is None:
            # What ephemeral pages filled they alone pay for.
            self._is_draining = self._is_draining_ephemeral = False
        self._is_draining = self._is_draining and self._must_shrink()
        return self._is_draining

    def _has_taker(self, now: float) -> bool:
        """Whether our ephemeral blocks are offered to peers, and some peer has room for them."""
        return self._sends_ephemeral and self._ephemeral.has_taker(now)

    def puts_of_kept(self, blocks: Sequence[int], now: float) -> list[Put]:
        """Send the first of these persistent blocks that fit, and keep them here as clean ones."""
        return self._ship(iter(blocks), now, is_kept=True)

    def begin(self, request_id: int, put: Put, now: float) -> None:
        """The PUT is on its way."""
        if put.shipment.kind is PoolKind.EPHEMERAL:
            self._ephemeral.begin(request_id, put)
        else:
            self._in_flight[request_id] = put
            self._sent_at[request_id] = now

    def give_up_overdue(self, now: float) -> bool:
        """Wait no more for peers that say nothing, as far as enough others would take their blocks.

        Returns:
            Whether blocks came back, of which some may be empty by now.
        """
        sent_before = now - self._put_timeout.seconds
        overdue = [each for each in self._in_flight if self._sent_at[each] <= sent_before]
        if not overdue:
            return False
        silent = {self._in_flight[each].holder.node for each in overdue}
        answering = self._placing.answering(self._in_flight.values(), silent | self._silent())
        able = sum(each.has_room(1, now=now) for each in answering)
        is_any_back = False
        for request_id in overdue:
            put = self._in_flight[request_id]
            if able >= min(len(put.shipment.holders), put.shipment.fewest_copies):
                self._given_up[request_id] = put
                self._on_unknown(request_id, now)
                is_any_back = True
        return is_any_back

    def is_any_in_flight(self) -> bool:
        """Whether any PUT of persistent pages is under way: their memory is freed when it has ended."""
        return bool(self._in_flight)

    def is_sending_to(self, node: NodeId) -> bool:
        """Whether persistent pages are under way to a peer that may have the only copy when it answers."""
        return any(put.holder.node == node for put in self._in_flight.values())

    def has_put_to(self, node: NodeId) -> bool:
        """Whether any PUT to a peer is under way, or was given up and may be."""
        return (
            self._ephemeral.has_put_to(node)
            or self._refusals.is_unsettled(node)
            or any(put.holder.node == node for put in self._unanswered())
        )

    def _unanswered(self) -> Iterator[Put]:
        """Yield all PUTs of persistent pages to which an answer may come."""
        return chain(self._in_flight.values(), self._given_up.values())

    def forget(self, node: NodeId) -> None:
        """A peer is no member any more, and its link is gone."""
        self._placing.forget(node)
        self._trust.forget(node)
        self._refusals.forget(node)
        self._put_rate.forget(node)

    def on_link_lost(self, node: NodeId) -> None:
        """Nothing that was sent to a peer is under way any more."""
        self._refusals.on_link_lost(node)
        self._ephemeral.on_link_lost(node)

    def is_in_flight(self, request_id: int) -> bool:
        """Whether a request is a PUT under way."""
        return request_id in self._sent_at or self._ephemeral.is_in_flight(request_id)

    def on_status(self, node: NodeId, status: PeerStatus) -> None:
        """A peer told anew how much room it has, how many pages of ours, and how fast it takes them."""
        # Links keep order: what is not answered yet had not arrived when this was written.
        under_way = (put for put in self._in_flight.values() if put.holder.node == node)
        self._placing.on_status(node, sum(len(put.shipment.body) for put in under_way))
        self._refusals.on_heard(node)
        self._put_rate.on_status(node, status.put_bytes_per_second)
        self._ephemeral.on_status(node, status.pages_held_for_us)

    def next_deadline(self) -> float | None:
        """Return when a block that waits for peers may be tried again."""
        return self._placing.next_deadline()

    def on_deadline(self, now: float) -> None:
        """Time has passed: who waits for a peer asks again at the next `next_puts`."""
        self._placing.on_deadline(now)

    def sent_serials(self, holder: int) -> "list[array[int]]":
        """Return the serials of ephemeral pages that a holder was sent, and that it may have, frame by frame."""
        return self._ephemeral.sent_serials(holder)

    def on_holder_dead(self, holder: int) -> None:
        """An incarnation of a peer ended, with all that it held."""
        self._ephemeral.on_holder_dead(holder)
        self._spot_checks.forget(holder)

    def pages_in_flight(self, request_id: int) -> int:
        """Return how many pages a PUT under way has."""
        if self._ephemeral.is_in_flight(request_id):
            return self._ephemeral.pages_in_flight(request_id)
        put = self._in_flight.get(request_id) or self._given_up[request_id]
        return len(put.shipment.serials)

    def on_results(self, request_id: int, results: bytes, now: float) -> None:
        """A peer stored or refused each page; a block with one refused page counts as refused."""
        if self._ephemeral.is_in_flight(request_id):
            self._ephemeral.on_results(request_id, results, now)
            return
        self._put_timeout.on_answer(now - self._sent_at.pop(request_id))
        if self._given_up.pop(request_id, None) is not None:
            return  # it is owed a flush of all this already
        put = self._in_flight.pop(request_id)
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
            self._refused += len(outcomes)
            for serial, outcome in zip(leaving.serials, outcomes, strict=True):
                if outcome == PutResult.STORED:
                    self._owe(holder, [serial])
        if is_refused:
            until = self._refusals.on_refused(holder.node, now)
            self._nodes.on_refused(holder.node, until=until, now=now)
        self._on_answer(shipment)

    def _on_stored(self, holder: Holder, leaving: Leaving) -> None:
        count = len(leaving.serials)
        self._stored += count
        self._stored_zpage_bytes += len(leaving.body)
        self._node_stored_pages_total[holder.node] = (
            self._node_stored_pages_total.get(holder.node, 0) + count
        )
        self._refusals.on_stored(holder.node)

    def on_unknown(self, request_id: int, now: float) -> None:
        """Nobody knows whether a peer has these pages: it is owed a flush."""
        if self._ephemeral.is_in_flight(request_id):
            self._ephemeral.on_unknown(request_id, now)
            return
        del self._sent_at[request_id]
        if self._given_up.pop(request_id, None) is None:
            self._on_unknown(request_id, now)

    def _on_unknown(self, request_id: int, now: float) -> None:
        put = self._in_flight.pop(request_id)
        self._unknown += len(put.shipment.serials)
        self._refusals.on_unanswered(put.holder.node, now)
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
                self._leaving_bytes -= self._store.zbud.block_bytes(leaving.block)
            if self._is_enough(shipment, leaving, stored_by):
                self._end(leaving, stored_by, is_kept=shipment.is_kept)
                if shipment.is_degraded:
                    self._store.versions.thinned += leaving.rows
            else:
                return_leaving(self._store.versions, leaving)
                for holder in stored_by:
                    self._owe(holder, leaving.serials)

    def _is_enough(self, shipment: Shipment, leaving: Leaving, stored_by: list[Holder]) -> bool:
        """Whether a block is at as many peers as it should be by now, or at all of the fewer that it was sent to.

        One that stored it may have lost its incarnation or its link since, and the sweep that looks for pages at risk has
        been here already; and a pool may want more copies than when it left.
        """
        store = self._store
        if any(each.is_dead or each.id in store.copies.unreachable_holders for each in stored_by):
            return False
        if len(stored_by) >= store.copies.wanted_by(store.zbud.rows(leaving.block)):
            return True
        return shipment.is_degraded and len(stored_by) == len(shipment.holders)

    def _end(self, leaving: Leaving, holders: list[Holder], *, is_kept: bool) -> None:
        end = keep_leaving if is_kept else end_leaving
        overtaken = end(self._store.versions, leaving, *(holder.id for holder in holders))
        self.left_total += len(leaving.serials)
        self._overtaken += len(overtaken)
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

    def statistics(self) -> RemotifyStatistics:
        """Return a snapshot."""
        ephemeral = self._ephemeral.statistics()
        pages_in_flight = sum(len(put.shipment.serials) for put in self._in_flight.values())
        return RemotifyStatistics(
            requests_in_flight=len(self._in_flight) + ephemeral.requests_in_flight,
            pages_in_flight=pages_in_flight + ephemeral.pages_in_flight,
            stored_pages_total=self._stored,
            stored_zpage_bytes_total=self._stored_zpage_bytes,
            refused_pages_total=self._refused,
            unknown_pages_total=self._unknown,
            overtaken_pages_total=self._overtaken,
            node_stored_pages_total=dict(self._node_stored_pages_total),
            put_rate=self._put_rate.statistics(),
            ephemeral=ephemeral,
        )

    def check_invariants(self) -> None:
        """Assert that the blocks under way are what they should be."""
        self._ephemeral.check_invariants()
        assert not self._in_flight.keys() & self._given_up.keys()
        assert self._sent_at.keys() == self._in_flight.keys() | self._given_up.keys()
        shipments: list[Shipment] = []
        for put in self._in_flight.values():
            if not any(put.shipment is each for each in shipments):
                shipments.append(put.shipment)
        leaving = [each.block for shipment in shipments for each in shipment.blocks]
        assert len(leaving) == len(set(leaving)), "a block chosen twice"
        for shipment in shipments:
            under_way = [put for put in self._in_flight.values() if put.shipment is shipment]
            assert len(under_way) == shipment.answers_missing
        assert self._leaving_bytes == sum(
            self._store.zbud.block_bytes(each.block)
            for shipment in shipments
            if not shipment.is_kept
            for each in shipment.blocks
        )

    # Choosing.

    def _must_shrink(self) -> bool:
        """Whether more must go to be below the low watermark, given what is on its way."""
        return self._store.zbud.resident_bytes - self._leaving_bytes > self._target_bytes()

    def _target_bytes(self) -> float:
        return self._room.limits.low_watermark * self._store.zbud.budget_bytes

    def _oldest_blocks(self) -> Iterator[int]:
        """Yield the oldest persistent block, as long as more must leave; whoever asks on has taken it."""
        oldest = partial(self._store.zbud.oldest, Family.OWN_PERSISTENT)
        while self._must_shrink() and (block := oldest()) is not None:
            yield block

    def _ship(self, blocks: Iterator[int], now: float, *, is_kept: bool) -> list[Put]:
        """Choose holders for the first block, and send with it what fits and wants as many copies."""
        first = next(blocks, None)
        if first is None:
            return []
        choice = self._placing.choose(
            first, now, in_flight=self._in_flight.values(), silent=self._silent(), is_kept=is_kept
        )
        if not choice.nodes:
            return []
        shipment = Shipment(
            PoolKind.PERSISTENT,
            self._take(chain([first], blocks), choice, is_kept=is_kept),
            tuple(self._peers.holder(node) for node in choice.nodes),
            copies=choice.copies,
            fewest_copies=choice.fewest_copies,
            is_kept=is_kept,
        )
        for node in choice.nodes:
            self._placing.on_sent(node, len(shipment.body))
            self._put_rate.on_put(node, len(shipment.body), now)
        return [Put(shipment, holder) for holder in shipment.holders]

    def _take(self, blocks: Iterable[int], choice: Choice, *, is_kept: bool) -> list[Leaving]:
        """Take the blocks that fit one frame and the room that was found; at least the first."""
        store, pages, block_bytes = self._store, 0, 0
        taken: list[Leaving] = []
        for block in blocks:
            rows = store.zbud.rows(block)
            pages += len(rows)
            block_bytes += store.zbud.block_bytes(block)
            is_too_much = pages > PAGES_PER_FRAME_MAX or block_bytes > choice.room_bytes
            if taken and (is_too_much or not self._is_alike(rows, choice, is_kept=is_kept)):
                break
            if not is_kept:
                self._leaving_bytes += store.zbud.block_bytes(block)
            taken.append(begin_leaving(store.versions, block))
        return taken

    def _is_alike(self, rows: list[int], choice: Choice, *, is_kept: bool) -> bool:
        """Whether a block wants as many copies, and is content with as few."""
        if self._store.copies.wanted_by(rows) != choice.copies:
            return False
        return is_kept or self._store.copies.fewest_wanted_by(rows) == choice.fewest_copies

    def _silent(self) -> set[NodeId]:
        """Return the peers that owe an answer which is not waited for any more."""
        return {put.holder.node for put in self._given_up.values()}

    # Who has room, for others to know.

    def look_around(self, now: float) -> None:
        """Note how many peers have room, whether or not pages must leave."""
        self._placing.look(now, in_flight=self._in_flight.values(), silent=self._silent())

    def room(self, now: float) -> dict[NodeId, int]:
        """Return the peers with room for any block, and how much."""
        return self._placing.room(now, in_flight=self._in_flight.values(), silent=self._silent())

    def shortage(self, now: float) -> Shortage:
        """Return why a page finds no peer."""
        return self._placing.shortage(
            now, in_flight=self._in_flight.values(), silent=self._silent()
        )
