"""Repatriate: our pages are fetched back when this node has had room for a while.

RAMster called this self-shrink.
There is room when, for `quiet_seconds`, less than `watermark` of the budget was in use and no page
left.
Then, at each tick and within a rate, two things happen:

    adopt   clean blocks (their pages are at peers) become ours alone; the peers are owed a flush
    fetch   the remote pages of some leaves are requested; they arrive as clean copies

A node that drains is **eager**: it does not wait for quiet, has a fetch rate of its own, and fills
its budget up to the low watermark.
At the high watermark its clean copies would be dropped and fetched again, without end.
It adopts nothing: a clean copy is enough here, and the copies at peers may be needed.

A holder frees a page only after the page is safely here.
Pages that would lift the use above the watermark stay away, so a repatriated page does not have to
leave again.
Ephemeral pages are never repatriated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramsterd.core.store import Store
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.home.leaf_fetch import STAY_BELOW, LeafFetch
from ramsterd.remote.limits.page_rate import PageRate

# Leaves looked at in one tick: about 1 ms when none has anything at a peer.
LEAVES_LOOKED_AT_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class RepatriateStatistics:
    """How many pages were repatriated, and are on their way."""

    is_active: bool
    pages_in_flight: int
    repatriated_pages_total: int


class Repatriator:
    """Decides which pages are repatriated, and when."""

    def __init__(
        self,
        store: Store,
        leaf_fetch: LeafFetch,
        *,
        is_reachable: Callable[[int], bool],
        quiet_seconds: float,
        pages_per_second_max: int,
        eager_pages_per_second: int,
    ) -> None:
        """Begin without anything under way.

        Args:
            store: Whose pages these are.
            leaf_fetch: Fetches them; this module's alone.
            is_reachable: Whether some holder of a row can be asked now.
            quiet_seconds: How long there must have been room.
            pages_per_second_max: The rate; 0 switches this off.
            eager_pages_per_second: The rate of a node that drains.
        """
        self._store = store
        self._leaf_fetch = leaf_fetch
        self._is_reachable = is_reachable
        self._quiet_seconds = quiet_seconds
        self._page_rate = PageRate(pages_per_second_max)
        self._eager_rate = PageRate(eager_pages_per_second)
        self._busy_at: float | None = None
        self._left_total = 0
        self._is_active = self._is_eager = False
        self._leaf = 1
        self._repatriated = 0
        # In the last tick.
        self._moved = 0

    def set_rates(self, *, pages_per_second_max: int, eager_pages_per_second: int) -> None:
        """Change what bounds it; see `__init__`."""
        self._page_rate.set_rate(pages_per_second_max)
        self._eager_rate.set_rate(eager_pages_per_second)

    def on_tick(
        self, *, now: float, left_total: int, is_remote: bool, is_eager: bool = False
    ) -> None:
        """Do one tick's share.

        `left_total` counts the pages that ever left, `is_remote` if peers hold any.
        """
        self._is_eager = is_eager
        self._page_rate.on_tick(now)
        self._eager_rate.on_tick(now)
        if (
            left_total != self._left_total
            or self._store.room.is_above(self._watermark)
            or self._busy_at is None
        ):
            self._busy_at, self._left_total = now, left_total
        is_quiet = now - self._busy_at >= self._quiet_seconds
        self._is_active = is_remote and (is_eager or is_quiet)
        if self._is_active:
            self._adopt_and_fetch(self._eager_rate if is_eager else self._page_rate, now)

    @property
    def _watermark(self) -> float:
        """The fraction of the budget up to which pages are fetched back."""
        return STAY_BELOW * self._store.room.limits.low_watermark

    @property
    def is_busy(self) -> bool:
        """Whether pages are fetched back, so that there is more to do soon."""
        return self._is_active and self._moved > 0

    def on_done(self, pending: PendingGet) -> bool:
        """Whether a get that ended was one of ours."""
        return self._leaf_fetch.on_done(pending)

    def statistics(self) -> RepatriateStatistics:
        """Return a snapshot."""
        return RepatriateStatistics(
            is_active=self._is_active,
            pages_in_flight=self._leaf_fetch.pages_in_flight,
            repatriated_pages_total=self._repatriated,
        )

    def _room_bytes(self) -> int:
        low = self._store.room.limits.low_watermark
        return self._leaf_fetch.room_bytes(low if self._is_eager else self._watermark)

    def _adopt_and_fetch(self, page_rate: PageRate, now: float) -> None:
        before = page_rate.pages
        # A page of a clean block is here already: to adopt it moves no byte, and takes no room.
        while (
            not self._is_eager and page_rate.pages and (adopted := self._store.room.adopt_oldest())
        ):
            self._repatriated += adopted
            page_rate.spend(adopted)
        self._fetch_leaves(page_rate, now)
        self._moved = before - page_rate.pages

    def _fetch_leaves(self, page_rate: PageRate, now: float) -> None:
        room_bytes = self._room_bytes()
        leaves_count = self._store.table.leaves_count
        for _ in range(min(LEAVES_LOOKED_AT_MAX, leaves_count - 1)):
            if not page_rate.pages or room_bytes <= 0 or not self._leaf_fetch.may_fetch:
                return
            self._leaf = self._leaf % (leaves_count - 1) + 1
            fetched = self._leaf_fetch.fetch_leaf(
                self._leaf, self._is_reachable, now, bytes_max=room_bytes
            )
            page_rate.spend(fetched.pages)
            room_bytes -= fetched.zpage_bytes
