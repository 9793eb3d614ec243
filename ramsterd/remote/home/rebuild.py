"""Rebuild: pages that have lost a copy are copied again.

A page is **at risk** when it is not here, and fewer of its holders can be reached than its pool
wants copies; one that is awaited, as its link was lost a moment ago, counts as reached.
Rows at risk wait in a queue.
A sweep for a lost holder, or a bad copy, adds rows; the queue judges each row again before it acts,
because the page may have been flushed, or the holder may be back.
Until the sweep has run, all pages of a holder without a link count as at risk.

A page at risk is fetched from a remaining holder.
Its block is adopted as soon as it is here, and the remaining copies are owed a flush.
When memory is short the block leaves again, for as many peers as its pool wants.
Older pages leave earlier if there is no room for it.
A page stays where it is if no peer has room for one more copy.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from nodemanager.ids import NodeId
from ramsterd.core.codec import PACKED_FILL
from ramsterd.core.page import PoolKind
from ramsterd.core.store import Store
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.holders.reach import ReachableCopies
from ramsterd.remote.home.leaf_fetch import LEAVES_ASKED_MAX, ROWS_JUDGED_MAX, LeafFetch
from ramsterd.remote.home.surroundings import CopiesAt, Surroundings
from ramsterd.remote.limits.page_rate import PageRate

# Over how long the rate is averaged that the end is estimated by.
RATE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildStatistics:
    """Pages with fewer copies than asked, and what was done."""

    pages_at_risk: int
    rebuilt_pages_total: int
    # Whether rows are looked at one by one for what has too few copies: until that is over there
    # may be more.
    is_counting: bool
    # Whether no peer has room for one more copy of any page that can be fetched, or there is none
    # here in between.
    is_waiting_for_room: bool
    # An estimate, from the rate of the last ticks; None: nothing moves.
    seconds_left: float | None


class Rebuilder:
    """The queue of rows at risk."""

    def __init__(
        self, store: Store, leaf_fetch: LeafFetch, surroundings: Surroundings, page_rate: PageRate
    ) -> None:
        """Begin with nothing at risk; `leaf_fetch` and `page_rate` are this machine's alone."""
        self._store = store
        self._leaf_fetch = leaf_fetch
        self._surroundings = surroundings
        self._page_rate = page_rate
        self._rows: deque[int] = deque()
        # A byte for each row: whether it stands in the queue.
        self._is_noted = bytearray()
        # Whether the last tick found rows that are not at risk any more: it looks for more of them
        # soon.
        self._has_settled = False
        # Whether the last tick found pages to fetch, and room for none.
        self._lacks_room = False
        self._rebuilt = 0
        # As it was at the last tick.
        self._rebuilt_before = 0
        self._rate = 0.0

    def note(self, row: int) -> None:
        """A row may be at risk from now on."""
        missing = row + 1 - len(self._is_noted)
        if missing > 0:
            self._is_noted.extend(bytes(max(missing, len(self._is_noted))))
        if not self._is_noted[row]:
            self._is_noted[row] = 1
            self._rows.append(row)

    def note_if_at_risk(self, row: int) -> None:
        """A row was found that may have too few copies."""
        if self.is_at_risk(row):
            self.note(row)

    def is_at_risk(self, row: int) -> bool:
        """Whether a page that is only at peers has fewer copies that can be reached than its pool wants."""
        return self._copies_at_risk(row, self._surroundings.copies_at) is not None

    def _copies_at_risk(self, row: int, copies_at: CopiesAt) -> ReachableCopies | None:
        """Return what the copies of a page that is at risk are worth; None: it is not."""
        rows = self._store.rows
        if not rows.serial(row) or rows.location(row) or rows.packed(row) == PACKED_FILL:
            return None
        if not rows.first_holder(row):
            return None
        pool = self._store.versions.pool_of(row)
        if pool.kind is not PoolKind.PERSISTENT:
            return None
        copies = copies_at(tuple(rows.holders(row)))
        return copies if copies.counted < pool.copies else None

    def _is_to_fetch(self, row: int, copies_at: CopiesAt) -> bool:
        copies = self._copies_at_risk(row, copies_at)
        return copies is not None and copies.reachable > 0

    def _gains_copy(self, row: int, takers: Mapping[NodeId, int], nodes: frozenset[NodeId]) -> bool:
        """Whether a page can be fetched, and leave again for more peers than the `nodes` that have it: its holders have room for it."""
        new = sum(node not in nodes for node in takers)
        return (
            bool(nodes and new)
            and len(nodes) + new >= self._store.versions.pool_of(row).fewest_copies
        )

    def on_tick(self, now: float) -> None:
        """Judge some rows, and fetch some pages."""
        seconds = self._page_rate.on_tick(now)
        if seconds:
            rate = (self._rebuilt - self._rebuilt_before) / seconds
            self._rate += (rate - self._rate) * min(1.0, seconds / RATE_SECONDS)
        self._rebuilt_before = self._rebuilt
        self._has_settled = self._lacks_room = False
        if self._rows:
            self._fetch(now)

    @property
    def is_busy(self) -> bool:
        """Whether pages are being fetched or the queue gets shorter, so that there is more to do soon."""
        return self._leaf_fetch.pages_in_flight > 0 or (self._has_settled and bool(self._rows))

    def _fetch(self, now: float) -> None:
        takers = self._surroundings.room(now)
        # Most rows share their holders, and nothing changes for these meanwhile.
        copies_at = cache(self._surroundings.copies_at)
        is_to_fetch = partial(self._is_to_fetch, copies_at=copies_at)
        room_bytes = self._leaf_fetch.room_bytes(self._store.room.limits.high_watermark)
        room_bytes = min(room_bytes, sum(takers.values()))
        # Rows of a leaf stand side by side in the queue, and one of them asks for all.
        asked: set[int] = set()
        lacks_room, is_held_back, fetched_pages = False, False, 0
        for _ in range(min(len(self._rows), ROWS_JUDGED_MAX)):
            row = self._rows.popleft()
            self._is_noted[row] = 0
            copies = self._copies_at_risk(row, copies_at)
            if copies is None:
                self._has_settled = True
                continue
            self.note(row)  # at risk until it is here
            leaf = self._store.versions.leaf_of(row)
            if leaf in asked or len(asked) == LEAVES_ASKED_MAX:
                continue
            if not self._gains_copy(row, takers, copies.nodes):  # it could not leave again
                lacks_room = lacks_room or copies.reachable > 0
            elif not (self._page_rate.pages and self._leaf_fetch.may_fetch):
                is_held_back = True
            else:
                asked.add(leaf)
                fetched = self._leaf_fetch.fetch_leaf(leaf, is_to_fetch, now, bytes_max=room_bytes)
                self._page_rate.spend(fetched.pages)
                room_bytes -= fetched.zpage_bytes
                fetched_pages += fetched.pages
                if fetched.is_cut:
                    lacks_room = True
                    self._surroundings.make_room()
        # What only its rate or what is under way holds back goes on without anybody's room.
        self._lacks_room = lacks_room and not (fetched_pages or is_held_back)

    def on_done(self, pending: PendingGet) -> bool:
        """Whether a get that ended was one of ours; what it brought is ours alone from now on."""
        if not self._leaf_fetch.on_done(pending):
            return False
        self._rebuilt += self._leaf_fetch.adopt(pending, self._lacks_copies)
        return True

    def _lacks_copies(self, row: int) -> bool:
        copies = self._surroundings.copies_at(tuple(self._store.rows.holders(row)))
        return copies.counted < self._store.versions.pool_of(row).copies

    def statistics(self, pages_unswept: int, *, is_counting: bool = False) -> RebuildStatistics:
        """Return a snapshot.

        Args:
            pages_unswept: They are at holders that were lost, and not looked at one by one yet.
            is_counting: Whether a sweep is under way that finds more.
        """
        # A sweep queues what it finds of them, so the two are about the same pages.
        at_risk = max(len(self._rows), pages_unswept)
        # What is fetched already has room.
        is_waiting = self._lacks_room and not self._leaf_fetch.pages_in_flight
        is_moving = self._rate >= 1 and not is_waiting
        return RebuildStatistics(
            pages_at_risk=at_risk,
            rebuilt_pages_total=self._rebuilt,
            is_counting=is_counting,
            is_waiting_for_room=is_waiting,
            seconds_left=at_risk / self._rate if is_moving else (None if at_risk else 0.0),
        )
