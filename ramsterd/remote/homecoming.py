"""Pages that are fetched though no front end asked: a leaf of the page table at a time, by ordinary gets.

So every race with put, flush and a dying holder is the one that gets have already, and no message is new.  What
arrives is a clean copy, as ever; what becomes of it is for whoever wanted it home.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.page import PoolId
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.store import RunOfPages, Store
from ramsterd.core.table import LEAF_PAGES, LEAF_SHIFT
from ramsterd.core.zbud import Family
from ramsterd.remote.fetch import Fetches, PendingGet


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a leaf was asked for: how many pages, and the bytes of their zpages."""

    pages: int
    zpage_bytes: int


NOTHING = Fetched(0, 0)


class Homecoming:
    """Gets that nobody waits for."""

    def __init__(self, store: Store, fetches: Fetches, *, fetch_seconds_max: float) -> None:
        self._store = store
        self._fetches = fetches
        self._fetch_seconds_max = fetch_seconds_max
        self._under_way: dict[PendingGet, int] = {}

    @property
    def pages_under_way(self) -> int:
        """How many pages were asked for and have not come."""
        return sum(self._under_way.values())

    def fetch_leaf(self, leaf: int, is_wanted: Callable[[int], bool], now: float) -> Fetched:
        """Ask for the pages of a leaf of our persistent pools that are elsewhere and whose row is wanted."""
        store, first = self._store, leaf << LEAF_SHIFT
        if not store.table.is_leaf_used(leaf):
            return NOTHING
        page_object, index = store.table.handle(first)
        if store.pools[page_object.pool].family is not Family.OWN_PERSISTENT:
            return NOTHING
        elsewhere, zpage_bytes = [], 0
        for position, row in enumerate(store.table.entries[first : first + LEAF_PAGES].tolist()):
            if row < FIRST_ROW or store.rows.location(row) or not is_wanted(row):
                continue
            if not self._fetches.is_wanted(store.rows.serial(row)):
                elsewhere.append((position, row))
                zpage_bytes += store.packed(row) & ZPAGE_BYTES_MASK
        if not elsewhere:
            return NOTHING
        pending = self._pending(page_object.pool, page_object.object_id, index, now)
        self._under_way[pending] = len(elsewhere)
        self._fetches.wait(pending, RunOfPages([], elsewhere, 0))
        return Fetched(len(elsewhere), zpage_bytes)

    def _pending(self, pool: PoolId, object_id: bytes, index: int, now: float) -> PendingGet:
        deadline = now + self._fetch_seconds_max
        return PendingGet(pool, object_id, index, [None] * LEAF_PAGES, deadline)

    def on_done(self, pending: PendingGet) -> bool:
        """Whether a get that ended was one of ours."""
        return self._under_way.pop(pending, None) is not None
