"""Retake: the pages that a holder recalls come home, and leave again for others when memory is short.

A holder says how many of our pages it is ready to keep (`remote.recall`).  What it has beyond that is looked for in
the row table, from a cursor.  A page that is here too is adopted without a byte moved; any other is fetched, from
whichever holder answers, and adopted as it arrives.  Either way all its holders are owed a flush.  Where there is no
room below the high watermark, older pages leave for other peers first; what finds none stays where it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramsterd.core import traffic
from ramsterd.core.page import PoolKind
from ramsterd.core.rows import ADDRESS, HALVES_PER_ROW
from ramsterd.core.store import Store
from ramsterd.core.table import LEAF_SHIFT
from ramsterd.core.zbud import SLOT_SHIFT, Family
from ramsterd.remote.fetch import PendingGet
from ramsterd.remote.holders import Holder
from ramsterd.remote.homecoming import Homecoming

# Between two steps, as long as some holder has more than it wants.
RETAKE_SECONDS: Final = 0.05
# Rows looked through in one step: some 4 ms.
ROWS_LOOKED_AT_MAX: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RetakeStatistics:
    """Pages that holders recall: still there, asked for, and taken back."""

    pages_over: int
    pages_under_way: int
    retaken_total: int


class Retaker:
    """Which pages come home because somebody does not want them."""

    def __init__(
        self,
        store: Store,
        homecoming: Homecoming,
        *,
        is_reachable: Callable[[int], bool],
        make_room: Callable[[], None],
        pages_per_second_max: int,
    ) -> None:
        """Begin with nothing recalled.

        Args:
            store: Whose pages these are.
            homecoming: Fetches them; this module's alone.
            is_reachable: Whether some holder of a row can be asked now.
            make_room: Has pages leave, though memory is not short yet.
            pages_per_second_max: The rate.
        """
        self._store = store
        self._homecoming = homecoming
        self._is_reachable = is_reachable
        self._make_room = make_room
        self._pages_per_second_max = pages_per_second_max
        # By holder id: who recalls, and how many pages it is ready to keep.
        self._bounds: dict[int, tuple[Holder, int]] = {}
        self._row = 0
        self._ticked_at: float | None = None
        # Pages that the rate allows and that were not asked for yet.
        self._allowance = 0.0
        self._retaken = 0

    def on_recall(self, holder: Holder, pages_max: int, now: float) -> None:
        """A holder wants to keep so many pages of ours, or fewer."""
        if holder.pages <= pages_max:
            self._bounds.pop(holder.holder, None)
            return
        self._bounds[holder.holder] = (holder, pages_max)
        if self._ticked_at is None:
            self._ticked_at = now

    def on_holder_unreachable(self, holder: int) -> None:
        """Its link is lost, or its life is over: what it wanted is void."""
        self._bounds.pop(holder, None)

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called; None: nothing is recalled."""
        return None if self._ticked_at is None else self._ticked_at + RETAKE_SECONDS

    def on_deadline(self, now: float) -> None:
        """Take back one step's share."""
        if self._ticked_at is None or now < self._ticked_at + RETAKE_SECONDS:
            return
        seconds = min(1.0, now - self._ticked_at)
        self._ticked_at = now
        for holder, pages_max in list(self._bounds.values()):
            if holder.pages <= pages_max:
                del self._bounds[holder.holder]
        if not self._bounds:
            self._ticked_at = None
            self._allowance = 0.0
            return
        rate = self._pages_per_second_max
        self._allowance = min(float(rate), self._allowance + rate * seconds)
        self._take_back(now)

    def _take_back(self, now: float) -> None:
        """Look through some rows for pages of holders that have too many."""
        over = {each.holder: each.pages - pages_max for each, pages_max in self._bounds.values()}
        pages_left = sum(over.values()) - self._homecoming.pages_under_way
        end = min(self._row + ROWS_LOOKED_AT_MAX, self._store.rows.high)
        rows = traffic.rows_held_by(self._store, set(over), self._row, end)
        self._row = end if end < self._store.rows.high else 0
        for row in rows:
            if pages_left <= 0 or self._allowance < 1:
                self._row = row  # goes on here
                return
            taken = self._take(row, now)
            self._allowance -= taken
            pages_left -= taken

    def _take(self, row: int, now: float) -> int:
        """Adopt or fetch one page, and what comes with it; return how many pages."""
        store = self._store
        if store.kind_of(row) is PoolKind.EPHEMERAL:
            store.lose(row)  # not worth the way
            return 0
        if location := store.rows.location(row):
            block = location >> SLOT_SHIFT
            if store.zbud.family_of_block[block] != Family.OWN_CLEAN:
                return 0  # on its way to somebody
            adopted = store.adopt_block(block)
            self._retaken += adopted
            return adopted
        if not self._is_reachable(row):
            return 0
        room_bytes = self._homecoming.room_bytes(store.limits.high_watermark)
        leaf = store.rows.halves[row * HALVES_PER_ROW + ADDRESS] >> LEAF_SHIFT
        fetched = self._homecoming.fetch_leaf(leaf, self._is_recalled, now, bytes_max=room_bytes)
        if fetched.is_cut:
            self._make_room()
        return fetched.pages

    def _is_recalled(self, row: int) -> bool:
        return any(holder in self._bounds for holder in self._store.rows.holders(row))

    def on_done(self, pending: PendingGet) -> bool:
        """Whether a get that ended was one of ours; what it brought is ours alone from now on."""
        if not self._homecoming.on_done(pending):
            return False
        self._retaken += self._homecoming.adopt(pending, self._is_recalled)
        return True

    def statistics(self) -> RetakeStatistics:
        """Return a snapshot."""
        return RetakeStatistics(
            pages_over=sum(max(0, each.pages - most) for each, most in self._bounds.values()),
            pages_under_way=self._homecoming.pages_under_way,
            retaken_total=self._retaken,
        )
