"""Ephemeral remotify: ephemeral blocks that are offered to a peer where they would otherwise be dropped.

An ephemeral page may vanish, so nothing waits for it.  The block is copied into the frame and freed
at once, and its rows name the peer from that moment: a GET that follows on the same link arrives
after the PUT, and a peer that did not keep the page answers that it is missing, which is a miss.
So there are no pages "on their way" that pin memory, and of the three endings of a PUT only one
asks for something:

    stored   as the rows say already
    refused  the pages are holes from now on, and no ephemeral page is offered to that peer for a while
    unknown  the rows stay: a get of such a page finds it at the peer, or misses

Persistent pages have windows of their own.  What finds the one window of a peer full, or the peer
at its cap, stays here; any put of ours that needs its memory evicts it.

A holder drops ephemeral pages without a word, and rows of pages that nobody has must not pile up.
Each STATUS says how many of our pages the peer keeps; what we count there beyond that are such
rows.  A get that misses removes one.  When they are more than the pages that are kept, and
`GHOSTS_MAX`, the oldest are forgotten.  A holder drops its oldest blocks first, so a page that is
older than as many later ones has gone, almost surely; if not, it is a miss, and its holder is owed
a flush as ever.  (To forget all that is too much at once would be wrong: a dropped block may have
had young pages in it, and each old page that is forgotten in their place makes the peer keep fewer,
and so on.)
"""

import random
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.placement import choose_holders
from ramsterd.core.family import Family
from ramsterd.core.leaving import Leaving, begin_leaving, end_leaving, zpages_in
from ramsterd.core.page import PoolKind
from ramsterd.core.store import Store
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.send.candidates import Candidates
from ramsterd.remote.send.puts_in_flight import PutsInFlight
from ramsterd.remote.send.reclaim import Reclaim
from ramsterd.remote.send.sent_ephemeral import SentEphemeral, kept_frames
from ramsterd.remote.send.shipment import Put, Shipment
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX, PutResult

# PUTs of ephemeral pages under way to one peer: a persistent one waits behind one of these frames
# at most.
IN_FLIGHT_MAX: Final = 1
# Rows of pages that a holder may have dropped, beyond as many as it keeps: 0.2 MiB a holder.
GHOSTS_MAX: Final = 4096
# Pages forgotten in one step, some 10 ms.
FORGOTTEN_PAGES_MAX: Final = 4096
# When fewer than one row, or byte of the tables, in so many is free, the oldest pages at peers make
# room for new ones.
RESERVE_DIVISOR: Final = 64
# Pages forgotten in one pass for memory: how much that frees depends on how sparse they are.
FORGOTTEN_FOR_TABLES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EphemeralRemotifyStatistics:
    """Ephemeral pages offered to peers, by how that ended."""

    requests_in_flight: int
    pages_in_flight: int
    stored_pages_total: int
    stored_zpage_bytes_total: int
    refused_pages_total: int
    unknown_pages_total: int
    # Forgotten, because the holder keeps fewer than we counted, or because rows or leaves ran
    # short.
    forgotten_pages_total: int


class EphemeralRemotifier:
    """Decides which ephemeral blocks are sent, and what is remembered of them."""

    def __init__(
        self,
        store: Store,
        holders: Holders,
        candidates: Candidates,
        reclaim: Reclaim,
        *,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._holders = holders
        self._candidates = candidates
        self._reclaim = reclaim
        self._rng = rng
        self.puts = PutsInFlight()
        self._sent: dict[int, SentEphemeral] = {}
        self._stored = 0
        self._stored_zpage_bytes = 0
        self._refused = 0
        self._unknown = 0
        self._forgotten = 0

    def adopt(self, rows: Iterable[int]) -> None:
        """Remember what an earlier process sent: these rows of ephemeral pages are at their holders."""
        for holder_id, frames in kept_frames(self._store.rows, rows).items():
            holder = self._holders[holder_id]
            if not holder.is_dead:  # else the sweep finds them
                is_current = partial(self._is_current, holder)
                self._sent[holder_id] = SentEphemeral(is_current, frames)

    # What leaves.

    def has_taker(self, now: float) -> bool:
        """Whether some peer has room for the oldest block, now or when its window or its put rate allows it."""
        block = self._store.zbud.oldest(Family.OWN_EPHEMERAL)
        if block is None:
            return False
        block_bytes = self._store.zbud.block_bytes(block)
        return any(
            each.has_room(block_bytes, now=now) for each in self._candidates.all(PoolKind.EPHEMERAL)
        )

    def next_put(self, now: float) -> Put | None:
        """Free the next blocks and return them for the peer that gets them.

        None if no window is open.
        """
        zbud = self._store.zbud
        block = zbud.oldest(Family.OWN_EPHEMERAL)
        if block is None:
            return None
        busy = self.puts.busy()
        able = [
            each
            for each in self._candidates.all(PoolKind.EPHEMERAL)
            if busy.count(each.node) < IN_FLIGHT_MAX and not self._candidates.is_behind(each.node)
        ]
        nodes = choose_holders(
            able, 1, zbud.block_bytes(block), now=now, rng=self._rng,
            our_zone=self._candidates.nodes.local_config.zone,
        )  # fmt: skip
        if not nodes:
            self._candidates.put_rate.wait(able, zbud.block_bytes(block), now)
            return None
        (node,) = nodes
        holder = self._candidates.holder(node)
        free_bytes = next(each.free_bytes for each in able if each.node == node)
        shipment = Shipment(PoolKind.EPHEMERAL, self._take_blocks(holder, free_bytes), (holder,))
        put = Put(shipment, holder)
        self._candidates.on_sent(put, now)
        return put

    def _take_blocks(self, holder: Holder, bytes_max: int) -> list[Leaving]:
        """Free the oldest blocks that fit one frame and `bytes_max`, at least one.

        Their rows name the holder.
        """
        zbud, pages, block_bytes = self._store.zbud, 0, 0
        taken: list[Leaving] = []
        while (block := zbud.oldest(Family.OWN_EPHEMERAL)) is not None:
            pages += zpages_in(zbud, block)
            block_bytes += zbud.block_bytes(block)
            if taken and (
                pages > PAGES_PER_FRAME_MAX
                or block_bytes > bytes_max
                or not self._reclaim.must_shrink()
            ):
                break
            leaving = begin_leaving(self._store.versions, block)
            overtaken = end_leaving(self._store.versions, leaving, holder.id)
            assert not overtaken, "nothing came in between"
            holder.on_pages_kept(len(leaving.rows))
            taken.append(leaving)
        return taken

    # How it ends.

    def on_results(self, request_id: int, results: bytes, now: float) -> None:
        """The peer stored or refused each page; what it refused is gone."""
        put = self.puts.end(request_id)
        assert put is not None, "none of these is given up before its request is over"
        stored = results.count(PutResult.STORED)
        self._stored += stored
        self._refused += len(results) - stored
        if stored:
            self._stored_zpage_bytes += len(put.shipment.body)
            self._candidates.on_stored(PoolKind.EPHEMERAL, put.holder.node)
        if stored < len(results):
            self._candidates.on_refused(PoolKind.EPHEMERAL, put.holder.node, now)
        if put.holder.is_dead:  # the sweep for that incarnation finds the rows
            return
        rows, serials = put.shipment.rows, put.shipment.serials
        for row, serial, outcome in zip(rows, serials, results, strict=True):
            if outcome != PutResult.STORED and self._is_current(put.holder, row, serial):
                self._store.versions.lose_refused(row, put.holder.id)
                put.holder.on_pages_gone(1)
        if stored:
            self._remember(put.holder, rows, serials)

    def on_unknown(self, request_id: int, now: float) -> None:
        """Nobody knows whether the peer has these pages: a get will find out."""
        put = self.puts.end(request_id)
        assert put is not None, "see `on_results`"
        self._unknown += len(put.shipment.serials)
        self._candidates.on_unanswered(PoolKind.EPHEMERAL, put.holder.node, now)
        if not put.holder.is_dead:
            self._remember(put.holder, put.shipment.rows, put.shipment.serials)

    def _remember(self, holder: Holder, rows: Sequence[int], serials: Sequence[int]) -> None:
        sent = self._sent.get(holder.id)
        if sent is None:
            sent = self._sent[holder.id] = SentEphemeral(partial(self._is_current, holder))
        sent.append(rows, serials)

    def _is_current(self, holder: Holder, row: int, serial: int) -> bool:
        """Whether a row still has the page that this holder was sent.  A foreign page has no holder."""
        return self._store.rows.is_held_by(row, serial, holder.id)

    # What holders drop.

    def on_status(self, node: NodeId, pages_held_for_us: int) -> None:
        """A peer told how many of our pages it has: bound the rows of those that it dropped."""
        holder = self._holders.living(node)
        if holder is not None and (excess := self._excess(holder, pages_held_for_us)) > 0:
            self._forget_oldest(holder, min(excess, FORGOTTEN_PAGES_MAX))

    def is_settled_with(self, node: NodeId, pages_held_for_us: int) -> bool:
        """Whether `on_status` has nothing to do for a peer that says so."""
        holder = self._holders.living(node)
        return holder is None or self._excess(holder, pages_held_for_us) <= 0

    def _excess(self, holder: Holder, pages_held_for_us: int) -> int:
        """Return how many rows of pages at a holder are too many, given how many it has."""
        if holder.id not in self._sent:
            return 0
        # What is on its way may or may not be counted there.
        under_way = sum(
            len(put.shipment.serials) for put in self.puts.waited if put.holder is holder
        )
        ghosts = holder.pages - under_way - pages_held_for_us
        return ghosts - pages_held_for_us - GHOSTS_MAX

    def spare_tables(self) -> None:
        """When rows or memory for tables run short, forget the oldest pages at peers: anything new is worth more."""
        rows, tables = self._store.rows, self._store.versions.tables
        short = rows.used + rows.rows_max // RESERVE_DIVISOR - rows.rows_max
        if not tables.has_spare(RESERVE_DIVISOR):
            short = max(short, FORGOTTEN_FOR_TABLES)
        for holder in self._holders if short > 0 else ():
            if short > 0 and not holder.is_dead:
                short -= self._forget_oldest(holder, min(short, FORGOTTEN_PAGES_MAX))

    def _forget_oldest(self, holder: Holder, pages: int) -> int:
        """Make holes of about so many of the oldest pages at a holder, if they are not stale.

        Return how many.
        """
        sent, forgotten, judged = self._sent.get(holder.id), 0, 0
        while (
            sent is not None and judged < 2 * pages and forgotten < pages and (frame := sent.pop())
        ):
            judged += len(frame)
            for row, serial in frame:
                if self._is_current(holder, row, serial):
                    self._store.versions.lose(row)
                    forgotten += 1
        self._forgotten += forgotten
        self._store.work["forget"] += judged + forgotten
        return forgotten

    def sent_serials(self, holder: int) -> "list[array[int]]":
        """Return the serials of all that a holder was sent and may still have, frame by frame."""
        sent = self._sent.get(holder)
        return [] if sent is None else list(sent.serials())

    def on_holder_dead(self, holder: int) -> None:
        """An incarnation ended; the sweep makes holes of the pages that it had."""
        self._sent.pop(holder, None)

    # What is true.

    def statistics(self) -> EphemeralRemotifyStatistics:
        """Return a snapshot."""
        return EphemeralRemotifyStatistics(
            requests_in_flight=len(self.puts.waited),
            pages_in_flight=self.puts.count_pages(),
            stored_pages_total=self._stored,
            stored_zpage_bytes_total=self._stored_zpage_bytes,
            refused_pages_total=self._refused,
            unknown_pages_total=self._unknown,
            forgotten_pages_total=self._forgotten,
        )

    def check_invariants(self) -> None:
        """Assert that each page of ours at a peer is remembered, or on its way."""
        self.puts.check_invariants()
        known: set[int] = set()
        for sent in self._sent.values():
            for serials in sent.serials():
                known.update(serials)
        for put in self.puts.waited:
            known.update(put.shipment.serials)
        store = self._store
        for row in store.rows.live():
            first = store.rows.first_holder(row)
            if not first or self._holders[first].is_dead or store.rows.location(row):
                continue
            if store.versions.kind_of(row) is PoolKind.EPHEMERAL:
                assert store.rows.serial(row) in known, "a page at a peer that is never forgotten"
