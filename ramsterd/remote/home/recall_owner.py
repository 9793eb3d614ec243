"""Recall, at the owner: pages that a holder recalls are fetched back, and leave later for other peers.

A holder tells how many of our pages it is ready to keep (`recall_holder`).
For each page beyond that number, found in the row table from a cursor, there are three cases:

- The page is here too: it is adopted, and no byte moves.
- The page has more copies than its pool wants: this copy is given up.
- Otherwise the page is fetched from any holder, and adopted when it arrives.

In each case the holders are owed a flush.
If there is no room below the high watermark, older pages leave for other peers first.
With too few peers to leave for, a page is fetched only while memory is plentiful: otherwise the
next writes would find no room.
"""

from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from ramsterd.core.page import PoolKind
from ramsterd.core.row_sweep import each_held_by
from ramsterd.core.store import Store
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.home.leaf_fetch import (
    LEAVES_ASKED_MAX,
    ROWS_JUDGED_MAX,
    STAY_BELOW,
    Fetched,
    LeafFetch,
)
from ramsterd.remote.home.surroundings import Surroundings
from ramsterd.remote.limits.page_rate import PageRate

# Rows looked through in one tick: some 4 ms.
ROWS_LOOKED_AT_MAX: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRecallStatistics:
    """Pages that holders recall: still there, asked for, and taken back."""

    recall_pages: int
    # By node that recalls them.
    recalling: dict[NodeId, int]
    pages_in_flight: int
    recalled_pages_total: int


class OwnerRecall:
    """Which pages are fetched back because their holder recalls them."""

    def __init__(
        self, store: Store, leaf_fetch: LeafFetch, surroundings: Surroundings, page_rate: PageRate
    ) -> None:
        """Begin with nothing recalled; `leaf_fetch` and `page_rate` are this machine's alone."""
        self._store = store
        self._leaf_fetch = leaf_fetch
        self._surroundings = surroundings
        self._page_rate = page_rate
        # As each tick finds them: peers that would take a block, and room for what can leave again,
        # and for what can't.
        self._placeable = 0
        self._room_bytes = self._room_to_stay_bytes = 0
        # By holder id: who recalls, and how many pages it is ready to keep.
        self._bounds: dict[int, tuple[Holder, int]] = {}
        self._row = 0
        # The leaves that were asked for in this tick: one row asks for all that are recalled.
        self._asked: set[int] = set()
        # Whether this pass over the table has found anything to take, or is not over.
        self._has_more = self._has_found = False
        # By holder id, in one tick: how many pages more than its bound a holder has.
        self._over: dict[int, int] = {}
        self._returned = 0

    def on_recall(self, holder: Holder, pages_max: int) -> None:
        """A holder wants to keep so many pages of ours, or fewer."""
        if holder.pages <= pages_max:
            self._bounds.pop(holder.id, None)
            return
        self._bounds[holder.id] = (holder, pages_max)
        self._has_more = True

    def on_holder_unreachable(self, holder: int) -> None:
        """Its link is lost, or its incarnation is over: what it wanted is void."""
        self._bounds.pop(holder, None)

    @property
    def is_busy(self) -> bool:
        """Whether there is more to take back soon."""
        return bool(self._bounds) and (self._has_more or self._leaf_fetch.pages_in_flight > 0)

    def on_tick(self, now: float) -> None:
        """Take back one tick's share."""
        self._page_rate.on_tick(now)
        for holder, pages_max in list(self._bounds.values()):
            if holder.pages <= pages_max:
                del self._bounds[holder.id]
        if self._bounds:
            self._take_back(now)

    def _take_back(self, now: float) -> None:
        """Look through some rows for pages of holders that have too many."""
        under_way = self._leaf_fetch.pages_in_flight
        self._over = {
            each.id: each.pages - pages_max - under_way for each, pages_max in self._bounds.values()
        }
        first, end = self._row, min(self._row + ROWS_LOOKED_AT_MAX, self._store.rows.high)
        self._row = end if end < self._store.rows.high else 0
        if not first:
            self._has_found = False
        self._asked.clear()
        self._placeable = self._surroundings.placeable_nodes()
        limits = self._store.room.limits
        self._room_bytes = self._leaf_fetch.room_bytes(limits.high_watermark)
        self._room_to_stay_bytes = self._leaf_fetch.room_bytes(STAY_BELOW * limits.low_watermark)
        rows = each_held_by(self._store.versions, set(self._over), first, end)
        for judged, row in enumerate(rows):
            is_enough = judged == ROWS_JUDGED_MAX or len(self._asked) == LEAVES_ASKED_MAX
            if is_enough or max(self._over.values()) <= 0 or not self._page_rate.pages:
                self._row, self._has_more = row, True  # goes on here
                return
            if not self._is_over(row):
                continue
            holders = self._store.rows.holders(row)
            taken = self._take(row, now)
            self._page_rate.spend(taken)
            for holder in holders:
                if holder in self._over:
                    self._over[holder] -= taken
            self._has_found = self._has_found or taken > 0
        self._has_more = self._row > 0 or self._has_found

    def _take(self, row: int, now: float) -> int:
        """Adopt, give up or fetch one page, and what comes with it; return how many pages."""
        store = self._store
        if store.versions.kind_of(row) is PoolKind.EPHEMERAL:
            store.versions.lose(row)  # not worth the way
            return 1
        if store.rows.location(row):
            adopted = store.room.adopt_clean(row)  # 0: it was adopted a moment ago
            self._returned += adopted
            return adopted
        reachable = self._surroundings.copies_at(tuple(store.rows.holders(row))).reachable
        if self._give_up_copy(row, reachable):
            return 1
        return self._fetch(row, now) if reachable and self._leaf_fetch.may_fetch else 0

    def _fetch(self, row: int, now: float) -> int:
        leaf = self._store.versions.leaf_of(row)
        if leaf in self._asked:
            return 0
        may_leave_again = self._placeable >= self._store.versions.pool_of(row).copies
        room_bytes = self._room_bytes if may_leave_again else self._room_to_stay_bytes
        if room_bytes > 0:
            self._asked.add(leaf)
            fetched = self._leaf_fetch.fetch_leaf(leaf, self._is_over, now, bytes_max=room_bytes)
            self._room_bytes -= fetched.zpage_bytes
            self._room_to_stay_bytes -= fetched.zpage_bytes
        else:
            fetched = Fetched(0, 0, is_cut=True)
        if fetched.is_cut and may_leave_again:
            self._surroundings.make_room()
        return fetched.pages

    def _give_up_copy(self, row: int, reachable: int) -> bool:
        """Forget a copy that is more than the pool wants: it may want fewer than it did."""
        store = self._store
        if reachable <= store.versions.pool_of(row).copies:
            return False
        recalling = next(each for each in store.rows.holders(row) if each in self._bounds)
        store.versions.give_up_copy(row, recalling)
        self._returned += 1
        return True

    def _is_over(self, row: int) -> bool:
        """Whether a holder of a row has more than it wants, all taken back in this tick off."""
        return any(self._over.get(holder, 0) > 0 for holder in self._store.rows.holders(row))

    def _is_recalled(self, row: int) -> bool:
        return any(holder in self._bounds for holder in self._store.rows.holders(row))

    def on_done(self, pending: PendingGet) -> bool:
        """Whether a get that ended was one of ours; what it brought is ours alone from now on."""
        if not self._leaf_fetch.on_done(pending):
            return False
        self._returned += self._leaf_fetch.adopt(pending, self._is_recalled)
        return True

    def statistics(self) -> OwnerRecallStatistics:
        """Return a snapshot."""
        recalling: dict[NodeId, int] = {}
        for each, pages_max in self._bounds.values():
            over = max(0, each.pages - pages_max)
            recalling[each.node] = recalling.get(each.node, 0) + over
        return OwnerRecallStatistics(
            recall_pages=sum(recalling.values()),
            recalling=recalling,
            pages_in_flight=self._leaf_fetch.pages_in_flight,
            recalled_pages_total=self._returned,
        )
