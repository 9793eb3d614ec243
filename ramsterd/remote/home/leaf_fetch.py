"""Leaf fetch: the remote pages of one leaf of the page table are fetched by ordinary gets.

So every race with a put, a flush or a dying holder is one that gets already have, and there is no
new message.
A page arrives as a clean copy, as always; the caller decides what becomes of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolId
from ramsterd.core.store import RunOfPages, Store
from ramsterd.core.table import LEAF_PAGES
from ramsterd.remote.fetch.fetch import Fetches
from ramsterd.remote.fetch.pending import PendingGet

# Pages asked for and not here yet, for each kind of background fetch: four frames.  A get of a
# front end that comes later waits behind these at most.
UNDER_WAY_PAGES_MAX: Final = 512
# What each of them does in one tick at most: rows judged, about 5 ms; and leaves asked for, which
# costs as much again when each is full.
ROWS_JUDGED_MAX: Final = 1024
LEAVES_ASKED_MAX: Final = 32
# Of the low watermark: repatriated pages fill no more, for the rest is room for new writes.
STAY_BELOW: Final = 0.8


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a leaf was asked for: how many pages, the bytes of their zpages, and whether more did not fit."""

    pages: int
    zpage_bytes: int
    is_cut: bool = False


NOTHING = Fetched(0, 0)


class LeafFetch:
    """Gets that nobody waits for."""

    def __init__(self, store: Store, fetches: Fetches, *, fetch_seconds_max: float) -> None:
        self._store = store
        self._fetches = fetches
        self._fetch_seconds_max = fetch_seconds_max
        self._under_way: dict[PendingGet, int] = {}
        # The sum of these: pages that were asked for and have not come.
        self.pages_in_flight = 0

    @property
    def may_fetch(self) -> bool:
        """Whether few enough pages are under way to ask for more."""
        return self.pages_in_flight < UNDER_WAY_PAGES_MAX

    def fetch_leaf(
        self, leaf: int, is_wanted: Callable[[int], bool], now: float, *, bytes_max: int
    ) -> Fetched:
        """Ask for the pages of a leaf of our persistent pools that are elsewhere and whose row is wanted.

        No more of them than `bytes_max` bytes of zpages: what finds no room would be fetched in
        vain.
        """
        store = self._store
        if not store.table.is_leaf_used(leaf):
            return NOTHING
        page_object, index = store.table.first_of_leaf(leaf)
        if store.pools[page_object.pool].family is not Family.OWN_PERSISTENT:
            return NOTHING
        elsewhere, zpage_bytes, is_cut = [], 0, False
        for position, row in store.table.rows_of_leaf(leaf):
            if store.rows.location(row) or not is_wanted(row):
                continue
            if self._fetches.is_wanted(store.rows.serial(row)):
                continue
            zbytes = store.versions.zbytes(row)
            if zpage_bytes + zbytes > bytes_max:
                is_cut = True
                break
            elsewhere.append((position, row))
            zpage_bytes += zbytes
        if not elsewhere:
            return Fetched(0, 0, is_cut)
        pending = self._pending(page_object.pool, page_object.object_id, index, now)
        self._under_way[pending] = len(elsewhere)
        self.pages_in_flight += len(elsewhere)
        self._fetches.wait(pending, RunOfPages([], elsewhere, 0))
        return Fetched(len(elsewhere), zpage_bytes, is_cut)

    def _pending(self, pool: PoolId, object_id: bytes, index: int, now: float) -> PendingGet:
        deadline = now + self._fetch_seconds_max
        indexes = range(index, index + LEAF_PAGES)
        return PendingGet(pool, object_id, indexes, [None] * LEAF_PAGES, deadline)

    def room_bytes(self, watermark: float) -> int:
        """Return what is free below a part of the budget, when all that is under way has come, uncompressed."""
        zbud = self._store.zbud
        free_bytes = int(watermark * zbud.budget_bytes) - zbud.used_bytes
        return free_bytes - self.pages_in_flight * PAGE_BYTES

    def on_done(self, pending: PendingGet) -> bool:
        """Whether a get that ended was one of ours."""
        pages = self._under_way.pop(pending, 0)
        self.pages_in_flight -= pages
        return pages > 0

    def adopt(self, pending: PendingGet, is_wanted: Callable[[int], bool]) -> int:
        """Make clean pages of a leaf that has come ours alone, where the row is wanted.

        Return how many pages.
        """
        store = self._store
        if pending.pool not in store.pools:
            return 0
        page_object = store.pools[pending.pool].find_object(pending.object_id)
        if page_object is None:
            return 0
        rows = store.table.rows_of_leaf(store.table.leaf_at(page_object, pending.indexes[0]))
        return sum(store.room.adopt_clean(row) for _, row in rows if is_wanted(row))
