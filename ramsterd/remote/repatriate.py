"""Repatriate: bring our pages home when there has been room for a while, as RAMster's self-shrink did.

There is room when, for `quiet_seconds`, less than `watermark` of the budget was in use and no page left.  Then, at
each tick and within a rate, two things happen:

    adopt   clean blocks (copies of what a peer holds) become ours alone, and the peers are owed a flush
    fetch   the remote pages of some leaves are asked for, as any get would; they arrive as clean copies

A page is freed at its holder only after it is safely here.  What would lift the use above the watermark stays away,
so what came home does not have to leave again.  Ephemeral pages are not worth the way: they come when asked for.
"""

from dataclasses import dataclass
from typing import Final

from nodemanager.table import NodeTable
from ramsterd.core import traffic
from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.rows import FIRST_ROW, HOLDERS, NO_HOLDER, QUARTERS_PER_ROW
from ramsterd.core.store import RunOfPages, Store
from ramsterd.core.table import LEAF_PAGES, LEAF_SHIFT
from ramsterd.core.zbud import SLOTS_MAX, Family
from ramsterd.remote.fetch import Fetches, PendingGet
from ramsterd.remote.holders import Holders

# Leaves looked at in one tick: about 5 ms when none has anything at a peer.
LEAVES_LOOKED_AT_MAX: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RepatriateStatistics:
    """Pages that came home for good."""

    is_active: bool
    pages_under_way: int
    repatriated_total: int


class Repatriator:
    """Decides what comes home, and when."""

    def __init__(
        self,
        store: Store,
        holders: Holders,
        fetches: Fetches,
        nodes: NodeTable,
        *,
        watermark: float,
        quiet_seconds: float,
        pages_per_second_max: int,
        fetch_seconds_max: float,
    ) -> None:
        self._store = store
        self._holders = holders
        self._fetches = fetches
        self._nodes = nodes
        self._watermark = watermark
        self._quiet_seconds = quiet_seconds
        self._pages_per_second_max = pages_per_second_max
        self._fetch_seconds_max = fetch_seconds_max
        self._busy_at: float | None = None
        self._ticked_at: float | None = None
        self._left_total = 0
        self._is_active = False
        # Gets that nobody waits for, with how many pages each brings.
        self._under_way: dict[PendingGet, int] = {}
        self._leaf = 1
        self._repatriated = 0

    def on_tick(self, *, now: float, left_total: int, is_remote: bool) -> None:
        """Do one tick's share; `left_total` counts the pages that ever left, `is_remote` if peers hold any."""
        seconds = 0.0 if self._ticked_at is None else min(1.0, now - self._ticked_at)
        self._ticked_at = now
        if left_total != self._left_total or self._room_bytes() <= 0 or self._busy_at is None:
            self._busy_at, self._left_total = now, left_total
        self._is_active = is_remote and now - self._busy_at >= self._quiet_seconds
        if self._is_active:
            self._bring_home(int(self._pages_per_second_max * seconds), now)

    def on_done(self, pending: PendingGet) -> bool:
        """Whether a get that ended was one of ours."""
        return self._under_way.pop(pending, None) is not None

    def statistics(self) -> RepatriateStatistics:
        """Return a snapshot."""
        return RepatriateStatistics(
            is_active=self._is_active,
            pages_under_way=sum(self._under_way.values()),
            repatriated_total=self._repatriated,
        )

    def _room_bytes(self) -> int:
        zbud = self._store.zbud
        return int(self._watermark * zbud.budget_bytes) - zbud.used_bytes

    def _bring_home(self, pages_max: int, now: float) -> None:
        # A page of a clean block is here already: to adopt it moves no byte, and takes no room.
        adopted = 0
        while adopted + SLOTS_MAX <= pages_max and (pages := traffic.adopt_oldest(self._store)):
            adopted += pages
        self._repatriated += adopted
        pages_max -= adopted + sum(self._under_way.values())
        room_bytes = self._room_bytes() - sum(self._under_way.values()) * PAGE_BYTES
        leaves_count = len(self._store.table.leaf_used)
        for _ in range(min(LEAVES_LOOKED_AT_MAX, leaves_count)):
            if pages_max <= 0 or room_bytes <= 0:
                return
            self._leaf = self._leaf % (leaves_count - 1) + 1 if leaves_count > 1 else 1
            pages, zpage_bytes = self._fetch_leaf(self._leaf, now)
            pages_max -= pages
            room_bytes -= zpage_bytes

    def _fetch_leaf(self, leaf: int, now: float) -> tuple[int, int]:
        """Ask for the remote pages of a leaf; return how many, and the bytes of their zpages."""
        store, first = self._store, leaf << LEAF_SHIFT
        if not store.table.is_leaf_used(leaf):
            return 0, 0
        page_object, index = store.table.handle(first)
        pool = store.pools[page_object.pool]
        if pool.family is not Family.OWN_PERSISTENT:
            return 0, 0
        elsewhere, zpage_bytes = [], 0
        for position, row in enumerate(store.table.entries[first : first + LEAF_PAGES].tolist()):
            if row >= FIRST_ROW and not store.rows.location(row) and self._is_reachable(row):
                elsewhere.append((position, row))
                zpage_bytes += store.packed(row) & ZPAGE_BYTES_MASK
        if not elsewhere:
            return 0, 0
        pending = PendingGet(
            pool.pool,
            page_object.object_id,
            index,
            [None] * LEAF_PAGES,
            now + self._fetch_seconds_max,
        )
        self._under_way[pending] = len(elsewhere)
        self._fetches.wait(pending, RunOfPages([], elsewhere, 0))
        return len(elsewhere), zpage_bytes

    def _is_reachable(self, row: int) -> bool:
        """Whether the holder of a row may be asked; same-filled pages have none."""
        holder_id = self._store.rows.quarters[row * QUARTERS_PER_ROW + HOLDERS]
        if holder_id == NO_HOLDER:
            return False
        holder = self._holders[holder_id]
        return not holder.is_dead and self._nodes.is_linked(holder.node)
