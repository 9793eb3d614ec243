"""Remotify: when the arena fills, its oldest blocks go to peers that have room.

Above the high watermark blocks are taken until what stays is below the low one.  Foreign ephemeral and clean blocks
are dropped first, then our ephemeral ones, unless the config says that these are offered to peers (`overflow`).
Persistent ones travel, several in one PUT_PAGES, all zpages of a block together.  Until the answer comes the pages
stay ours and readable:

    stored   the rows name the holder, the block is freed; versions overtaken on the way are owed a flush
    refused  the block is the oldest of its family again, and that peer is left alone for a while
    unknown  as refused, and the peer is owed a flush of all the serials: there may be copies nobody will ask for

A later PUT of the same serials to the same peer must not be undone by an owed flush, so what a peer is owed is
sent before each PUT (the caller does this: `Send` order on one link is kept).
"""

import random
from dataclasses import dataclass, replace

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate, choose_holder
from nodemanager.table import NodeTable
from ramsterd.core import traffic
from ramsterd.core.page import PoolKind
from ramsterd.core.store import DROPPED_FIRST, Store
from ramsterd.core.traffic import Leaving
from ramsterd.core.zbud import Family
from ramsterd.remote.holders import Holder, Holders
from ramsterd.remote.messages import PAGES_PER_FRAME_MAX, PutResult
from ramsterd.remote.overflow import Overflow, OverflowStatistics
from ramsterd.remote.puts import Put


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotifyStatistics:
    """Persistent pages by how they ended; what is in flight is of both kinds."""

    requests_in_flight: int
    pages_in_flight: int
    stored_total: int
    stored_zpage_bytes_total: int
    refused_total: int
    unknown_total: int
    overtaken_total: int
    stored_by_node: dict[NodeId, int]
    ephemeral: OverflowStatistics


class Remotifier:
    """Decides which blocks leave, and to whom."""

    def __init__(
        self,
        store: Store,
        holders: Holders,
        nodes: NodeTable,
        *,
        in_flight_max: int,
        refusal_seconds: float,
        rng: random.Random,
        sends_ephemeral: bool = False,
    ) -> None:
        self._sends_ephemeral = sends_ephemeral
        self._overflow = Overflow(
            store, holders, nodes,
            must_shrink=self._must_shrink, refusal_seconds=refusal_seconds, rng=rng,
        )  # fmt: skip
        self._store = store
        self._holders = holders
        self._nodes = nodes
        self._in_flight_max = in_flight_max
        self._refusal_seconds = refusal_seconds
        self._rng = rng
        self._is_draining = False
        # Since the high watermark was last exceeded, only ephemeral pages left.
        self._is_draining_ephemeral = False
        self._in_flight: dict[int, Put] = {}
        # Frames of the arena that leave if all under way is stored.
        self._leaving_bytes = 0
        # What was placed on a peer since its last STATUS.
        self._placed_bytes: dict[NodeId, int] = {}
        self._stored = 0
        self._stored_zpage_bytes = 0
        self._refused = 0
        self._unknown = 0
        self._overtaken = 0
        self._stored_by_node: dict[NodeId, int] = {}

    def drop_first(self, now: float) -> bool:
        """Above the high watermark, drop what is not sent to a peer; return whether memory was freed."""
        store = self._store
        if self._sends_ephemeral:
            self._overflow.spare_tables()
        if not store.is_above(store.limits.high_watermark):
            return False
        is_freed = False
        for family in DROPPED_FIRST:
            if family is Family.OWN_EPHEMERAL and self._has_taker(now):
                break
            while self._must_shrink() and (block := store.zbud.oldest(family)) is not None:
                store.evict_block(block)
                is_freed = True
        return is_freed

    def next_put(self, now: float) -> Put | None:
        """Choose the next blocks and their holder, or None: nothing must leave, or nobody can take it."""
        store = self._store
        if not self._must_drain():
            return None
        if self._sends_ephemeral and store.zbud.oldest(Family.OWN_EPHEMERAL) is not None:
            # As long as there is one no put of ours waits: it would evict it.
            self._is_draining_ephemeral = True
            return self._overflow.next_put(now)
        return self._next_persistent_put(now)

    def _next_persistent_put(self, now: float) -> Put | None:
        store = self._store
        first = store.zbud.oldest(Family.OWN_PERSISTENT)
        if first is None:
            return None
        node = choose_holder(
            self._candidates(), store.zbud.block_bytes(first), now=now, rng=self._rng,
            our_zone=self._nodes.local_config.zone,
        )  # fmt: skip
        if node is None:
            return None
        incarnation = self._nodes.incarnation(node)
        assert incarnation is not None, "a linked node has a life"
        blocks = self._take_blocks(self._room_bytes(node))
        if not blocks:
            return None
        put = Put(self._holders.of(node, incarnation), PoolKind.PERSISTENT, blocks)
        self._placed_bytes[node] = self._placed_bytes.get(node, 0) + put.body_bytes
        return put

    def _must_drain(self) -> bool:
        """Whether more must go: from above the high watermark to below the low one."""
        store = self._store
        if store.is_above(store.limits.high_watermark):
            self._is_draining = True
            self._is_draining_ephemeral = False
        elif self._is_draining_ephemeral and store.zbud.oldest(Family.OWN_EPHEMERAL) is None:
            # What ephemeral pages filled they alone pay for.
            self._is_draining = self._is_draining_ephemeral = False
        self._is_draining = self._is_draining and self._must_shrink()
        return self._is_draining

    def _has_taker(self, now: float) -> bool:
        """Whether our ephemeral blocks are offered to peers, and some peer has room for them."""
        return self._sends_ephemeral and self._overflow.has_taker(now)

    def begin(self, request_id: int, put: Put) -> None:
        """The PUT is on its way."""
        if put.kind is PoolKind.EPHEMERAL:
            self._overflow.begin(request_id, put)
        else:
            self._in_flight[request_id] = put

    def is_in_flight(self, request_id: int) -> bool:
        """Whether a request is a PUT under way."""
        return request_id in self._in_flight or self._overflow.is_in_flight(request_id)

    def on_status(self, node: NodeId, pages_held_for_us: int) -> None:
        """A peer told anew how much room it has, and how many pages of ours."""
        self._placed_bytes.pop(node, None)
        self._overflow.on_status(node, pages_held_for_us)

    def on_holder_dead(self, holder: int) -> None:
        """A life of a peer ended, with all that it held."""
        self._overflow.on_holder_dead(holder)

    def pages_in_flight(self, request_id: int) -> int:
        """Return how many pages a PUT under way has."""
        if self._overflow.is_in_flight(request_id):
            return self._overflow.pages_in_flight(request_id)
        return len(self._in_flight[request_id].serials)

    def on_results(self, request_id: int, results: bytes, now: float) -> None:
        """The peer stored or refused each page; a block with one refused page stays here as a whole."""
        if self._overflow.is_in_flight(request_id):
            self._overflow.on_results(request_id, results, now)
            return
        put = self._in_flight.pop(request_id)
        start, is_refused = 0, False
        for leaving in put.blocks:
            self._leaving_bytes -= self._store.zbud.block_bytes(leaving.block)
            end = start + len(leaving.serials)
            outcomes = results[start:end]
            start = end
            if outcomes.count(PutResult.STORED) == len(outcomes):
                self._on_stored(put.holder, leaving)
            else:
                is_refused = True
                self._refused += len(outcomes)
                traffic.return_leaving(self._store, leaving)
                for serial, outcome in zip(leaving.serials, outcomes, strict=True):
                    if outcome == PutResult.STORED:
                        self._store.owe(put.holder.holder, serial)
                        put.holder.pages += 1  # counted down again as the owed flush is sent
        if is_refused:
            self._nodes.on_refused(put.holder.node, until=now + self._refusal_seconds, now=now)

    def _on_stored(self, holder: Holder, leaving: Leaving) -> None:
        if holder.is_dead:  # it stored them, and then lost its life
            traffic.return_leaving(self._store, leaving)
            self._unknown += len(leaving.serials)
            return
        overtaken = traffic.end_leaving(self._store, leaving, holder.holder)
        for serial in overtaken:
            self._store.owe(holder.holder, serial)
        count = len(leaving.serials)
        holder.pages += count
        self._stored += count
        self._stored_zpage_bytes += len(leaving.body)
        self._overtaken += len(overtaken)
        self._stored_by_node[holder.node] = self._stored_by_node.get(holder.node, 0) + count

    def on_unknown(self, request_id: int) -> None:
        """Nobody knows whether the peer has these pages: they stay here, and it is owed a flush."""
        if self._overflow.is_in_flight(request_id):
            self._overflow.on_unknown(request_id)
            return
        put = self._in_flight.pop(request_id)
        for leaving in reversed(put.blocks):  # the oldest goes back last, and is the oldest again
            self._leaving_bytes -= self._store.zbud.block_bytes(leaving.block)
            self._unknown += len(leaving.serials)
            traffic.return_leaving(self._store, leaving)
            if not put.holder.is_dead:
                put.holder.pages += len(leaving.serials)
                for serial in leaving.serials:
                    self._store.owe(put.holder.holder, serial)

    def statistics(self) -> RemotifyStatistics:
        """Return a snapshot."""
        ephemeral = self._overflow.statistics()
        pages_in_flight = sum(len(put.serials) for put in self._in_flight.values())
        return RemotifyStatistics(
            requests_in_flight=len(self._in_flight) + ephemeral.requests_in_flight,
            pages_in_flight=pages_in_flight + ephemeral.pages_in_flight,
            stored_total=self._stored,
            stored_zpage_bytes_total=self._stored_zpage_bytes,
            refused_total=self._refused,
            unknown_total=self._unknown,
            overtaken_total=self._overtaken,
            stored_by_node=dict(self._stored_by_node),
            ephemeral=ephemeral,
        )

    def check_invariants(self) -> None:
        """Assert that the blocks under way are what they should be."""
        leaving = [each.block for put in self._in_flight.values() for each in put.blocks]
        assert len(leaving) == len(set(leaving)), "a block chosen twice"
        self._overflow.check_invariants()
        assert self._leaving_bytes == sum(self._store.zbud.block_bytes(block) for block in leaving)

    def _must_shrink(self) -> bool:
        """Whether more must go to be below the low watermark, given what is on its way."""
        store = self._store
        target = store.limits.low_watermark * store.zbud.budget_bytes
        return store.zbud.resident_bytes - self._leaving_bytes > target

    def _room_bytes(self, node: NodeId) -> int:
        return next(each.free_bytes for each in self._candidates() if each.node == node)

    def _take_blocks(self, bytes_max: int) -> list[Leaving]:
        """Take the oldest blocks that fit one frame and `bytes_max`; at least one."""
        store, pages, block_bytes = self._store, 0, 0
        blocks: list[Leaving] = []
        while self._must_shrink():
            block = store.zbud.oldest(Family.OWN_PERSISTENT)
            if block is None:
                break
            rows_count = len(store.zbud.rows(block))
            if not rows_count:  # all its pages were flushed while it was open
                store.zbud.begin_leaving(block)
                store.zbud.end_leaving(block)
                continue
            pages += rows_count
            block_bytes += store.zbud.block_bytes(block)
            if blocks and (pages > PAGES_PER_FRAME_MAX or block_bytes > bytes_max):
                break
            leaving = traffic.begin_leaving(store, block)
            self._leaving_bytes += store.zbud.block_bytes(block)
            blocks.append(leaving)
        return blocks

    def _candidates(self) -> list[Candidate]:
        """Return the peers, without those whose window is full, and with what we placed since their STATUS."""
        busy: dict[NodeId, int] = {}
        for put in self._in_flight.values():
            busy[put.holder.node] = busy.get(put.holder.node, 0) + 1
        return [
            replace(each, free_bytes=max(0, each.free_bytes - self._placed_bytes.get(each.node, 0)))
            for each in self._nodes.candidates()
            if busy.get(each.node, 0) < self._in_flight_max
        ]
