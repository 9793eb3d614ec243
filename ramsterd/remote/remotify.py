"""Remotify: when the arena fills, its oldest blocks go to peers that have room.

Above the high watermark blocks are taken until what stays is below the low one.  Clean and ephemeral blocks are
dropped first; persistent ones travel, several in one PUT_PAGES, all zpages of a block together.  Until the answer
comes the pages stay ours and readable:

    stored   the rows name the holder, the block is freed; versions overtaken on the way are owed a flush
    refused  the block is the oldest of its family again, and that peer is left alone for a while
    unknown  as refused, and the peer is owed a flush of all the serials: there may be copies nobody will ask for

A later PUT of the same serials to the same peer must not be undone by an owed flush, so what a peer is owed is
sent before each PUT (the caller does this: `Send` order on one link is kept).
"""

import random
from dataclasses import dataclass, replace
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate, choose_holder
from nodemanager.table import NodeTable
from ramsterd.core import traffic
from ramsterd.core.store import Store
from ramsterd.core.traffic import Leaving
from ramsterd.core.zbud import Family
from ramsterd.remote.holders import Holder, Holders
from ramsterd.remote.messages import PAGES_PER_FRAME_MAX, PutResult

# Dropped above the high watermark, in this order, before anything travels.
_DROPPED_FIRST = (Family.OWN_CLEAN, Family.FOREIGN_EPHEMERAL, Family.OWN_EPHEMERAL)
# Blocks dropped in one pass: about 10 ms.  Only a budget that shrinks has more to drop at once.
DROPPED_BLOCKS_MAX: Final = 256


@dataclass(slots=True)
class Put:
    """Blocks on their way to one peer."""

    holder: Holder
    blocks: list[Leaving]

    @property
    def serials(self) -> list[int]:
        """All serials, in the order of the message."""
        return [serial for leaving in self.blocks for serial in leaving.serials]

    @property
    def body_bytes(self) -> int:
        """Bytes of all zpages."""
        return sum(len(leaving.body) for leaving in self.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotifyStatistics:
    """Counts of pages by how they ended, and of requests under way."""

    requests_in_flight: int
    pages_in_flight: int
    stored_total: int
    stored_zpage_bytes_total: int
    refused_total: int
    unknown_total: int
    overtaken_total: int
    stored_by_node: dict[NodeId, int]


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
    ) -> None:
        self._store = store
        self._holders = holders
        self._nodes = nodes
        self._in_flight_max = in_flight_max
        self._refusal_seconds = refusal_seconds
        self._rng = rng
        self._is_draining = False
        # Whether `drop_clean` stopped at its bound.
        self.has_more_to_drop = False
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

    def drop_clean(self) -> bool:
        """Above the high watermark, drop what costs nothing; return whether memory was freed.

        At most `DROPPED_BLOCKS_MAX` blocks: if it was that many, the caller comes back.
        """
        store = self._store
        if not store.is_above(store.limits.high_watermark) or not self._must_shrink():
            return False
        down_to = int(self._target_bytes()) + self._leaving_bytes
        dropped = store.evict_some(_DROPPED_FIRST, down_to, DROPPED_BLOCKS_MAX)
        self.has_more_to_drop = dropped == DROPPED_BLOCKS_MAX
        return dropped > 0

    def next_put(self, now: float) -> Put | None:
        """Choose the next blocks and their holder, or None: nothing must leave, or nobody can take it."""
        store = self._store
        if store.is_above(store.limits.high_watermark):
            self._is_draining = True
        if not self._is_draining:
            return None
        if not self._must_shrink():
            self._is_draining = False
            return None
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
        put = Put(self._holders.of(node, incarnation), blocks)
        self._placed_bytes[node] = self._placed_bytes.get(node, 0) + put.body_bytes
        return put

    def begin(self, request_id: int, put: Put) -> None:
        """The PUT is on its way."""
        self._in_flight[request_id] = put

    def is_any_in_flight(self) -> bool:
        """Whether any PUT is under way."""
        return bool(self._in_flight)

    def is_in_flight(self, request_id: int) -> bool:
        """Whether a request is a PUT under way."""
        return request_id in self._in_flight

    def on_status(self, node: NodeId) -> None:
        """A peer told anew how much room it has."""
        self._placed_bytes.pop(node, None)

    def pages_in_flight(self, request_id: int) -> int:
        """Return how many pages a PUT under way has."""
        return len(self._in_flight[request_id].serials)

    def on_results(self, request_id: int, results: bytes, now: float) -> None:
        """The peer stored or refused each page; a block with one refused page stays here as a whole."""
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
        put = self._in_flight.pop(request_id)
        for leaving in reversed(put.blocks):  # the oldest goes back last, and is the oldest again
            self._leaving_bytes -= self._store.zbud.block_bytes(leaving.block)
            self._unknown += len(leaving.serials)
            traffic.return_leaving(self._store, leaving)
            if not put.holder.is_dead:
                put.holder.pages += len(leaving.serials)
                for serial in leaving.serials:
                    self._store.owe(put.holder.holder, serial)

    @property
    def stored_total(self) -> int:
        """How many pages ever left."""
        return self._stored

    def statistics(self) -> RemotifyStatistics:
        """Return a snapshot."""
        return RemotifyStatistics(
            requests_in_flight=len(self._in_flight),
            pages_in_flight=sum(len(put.serials) for put in self._in_flight.values()),
            stored_total=self._stored,
            stored_zpage_bytes_total=self._stored_zpage_bytes,
            refused_total=self._refused,
            unknown_total=self._unknown,
            overtaken_total=self._overtaken,
            stored_by_node=dict(self._stored_by_node),
        )

    def check_invariants(self) -> None:
        """Assert that the blocks under way are what they should be."""
        leaving = [each.block for put in self._in_flight.values() for each in put.blocks]
        assert len(leaving) == len(set(leaving)), "a block chosen twice"
        assert self._leaving_bytes == sum(self._store.zbud.block_bytes(block) for block in leaving)

    def _must_shrink(self) -> bool:
        """Whether more must go to be below the low watermark, given what is on its way."""
        return self._store.zbud.resident_bytes - self._leaving_bytes > self._target_bytes()

    def _target_bytes(self) -> float:
        return self._store.limits.low_watermark * self._store.zbud.budget_bytes

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
