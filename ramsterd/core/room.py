"""Room for versions under a hard budget: finding it, and making it.

Order when memory is short: free slots, foreign ephemeral blocks, clean copies, ephemeral blocks,
and then no room: the caller remotifies `oldest(OWN_PERSISTENT)` or waits.  Rows and nodes of the
page table are bounded, too: when there is no room for more, pages are evicted for them in the same
order, clean copies apart, whose rows would stay.  That may take many blocks, if pages are sparse:
after some the put has to wait, and `evict_for_tables` goes on.

A clean block is dropped only if its holders are as many as its pages should have copies, or as many
as have room for copies now.  Else it is adopted: it becomes ours alone, which makes no room.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from ramsterd.core.codec import decode_page
from ramsterd.core.copies import Copies
from ramsterd.core.family import Family
from ramsterd.core.page import CorruptPage
from ramsterd.core.pools import Pool
from ramsterd.core.rows import NO_HOLDER
from ramsterd.core.table import PageObject
from ramsterd.core.versions import StoreLimits, Versions

# Clean blocks that one put adopts on its way to a slot: each costs some 50 us.
ADOPTED_BLOCKS_MAX: Final = 8
# Blocks that one put evicts for a row or a leaf, and that one pass evicts for those that wait: some
# 50 us each.
EVICTED_FOR_TABLES_MAX: Final = 16
EVICTED_FOR_WAITING_MAX: Final = 64
# What is done once for a block costs as much as so many of its pages.
BLOCK_UNITS: Final = 8
# What may be dropped, in this order: what its owner can miss and is not even ours; copies; what may
# vanish.
DROPPED_FIRST: Final = (Family.FOREIGN_EPHEMERAL, Family.OWN_CLEAN, Family.OWN_EPHEMERAL)
# Whose blocks may be evicted to make room for a zpage of a family, in this order.  Persistent
# displaces ephemeral, never the reverse; what is foreign never displaces what is ours, clean copies
# apart.
_EVICTED_FOR: Final = {
    Family.OWN_PERSISTENT: DROPPED_FIRST,
    Family.OWN_EPHEMERAL: DROPPED_FIRST,
    Family.OWN_CLEAN: (),
    Family.FOREIGN_PERSISTENT: (Family.FOREIGN_EPHEMERAL, Family.OWN_CLEAN),
    Family.FOREIGN_EPHEMERAL: (Family.FOREIGN_EPHEMERAL,),
}
assert set(_EVICTED_FOR) == set(Family)


class Room:
    """The room that the versions of a node have."""

    def __init__(self, versions: Versions, copies: Copies, limits: StoreLimits) -> None:
        self.versions = versions
        # With the watermarks that hold now.
        self.limits = limits
        self._high, self._low = limits.high_watermark, limits.low_watermark
        self._reserve_wanted = 0
        self._copies = copies
        self._rows, self._table, self._zbud = versions.rows, versions.table, versions.zbud
        self._memory = self._zbud.memory
        # How many clean blocks ever became ours alone.
        self.adopted_blocks = 0
        # How many blocks were ever evicted, or adopted instead.
        self.evicted_blocks = 0
        # How often the bound on the tables was changed.
        self._tables_changed = 0
        # For whom more is to be evicted, whose put found no room in the tables after some blocks.
        self.wants_tables: Family | None = None

    # The budget.

    def is_above(self, watermark: float) -> bool:
        """Whether what is in use exceeds a fraction of the budget.

        Warm blocks are room, not use.
        """
        return self._memory.used_bytes > watermark * self._memory.budget_bytes

    def is_short(self) -> bool:
        """Whether memory is short: what is in use is above the high watermark.  Each pass asks."""
        memory = self._memory  # `used_bytes` without the call
        used_bytes = memory.resident_bytes - memory.warm_bytes
        return used_bytes > self.limits.high_watermark * memory.budget_bytes

    def set_budget(self, budget_bytes: int) -> None:
        """Change the budget.  What is over it leaves as the caller evicts and remotifies."""
        assert 0 < budget_bytes <= self.limits.budget_bytes_max
        self._zbud.set_budget(budget_bytes)
        self._fit_reserve()
        # First what nobody uses, or pages would be evicted for it.
        self._memory.trim()

    def set_watermarks(self, *, high: float, low: float) -> None:
        """Change how full the budget may be (fractions)."""
        self._high, self._low = high, low
        self._fit_reserve()

    def set_reserve(self, reserve_bytes: int) -> None:
        """Change how much free memory is to be resident (core.reserve)."""
        self._reserve_wanted = reserve_bytes
        self._fit_reserve()

    def _fit_reserve(self) -> None:
        """Keep the reserve below half of the budget, and the watermarks so low that there is room for it."""
        budget_bytes = self._memory.budget_bytes
        reserve_bytes = min(self._reserve_wanted, budget_bytes // 2)
        self._memory.reserve_bytes = reserve_bytes
        high = min(self._high, 1 - reserve_bytes / budget_bytes)
        low = self._low * (high / self._high)
        self.limits = replace(self.limits, high_watermark=high, low_watermark=low)

    def set_tables_max(self, tables_bytes_max: int) -> None:
        """Change the bound on the tables.  What is over it goes as pages do."""
        self.versions.tables.bytes_max = tables_bytes_max
        self._tables_changed += 1

    @property
    def room_made(self) -> int:
        """A number that differs from an earlier one if a put that found no room then may find some now."""
        freed = self._zbud.room_made + self._rows.freed + self._table.nodes.freed
        return freed + self._tables_changed

    # What a put needs.

    def find_slot(self, family: Family, chunks: int) -> int:
        """Return a slot when the open block has none: reopen, make or evict a block.

        0 if there is no room.

        A clean block that must be kept is adopted instead of evicted, which makes no room: after a
        few of those a put had better wait.
        """
        location = self._zbud.refill(family, chunks)
        adopted_before = self.adopted_blocks
        while not location and self.adopted_blocks - adopted_before < ADOPTED_BLOCKS_MAX:
            victim = self._oldest_victim(family)
            if victim is None:
                return 0
            self.evict_block(victim)
            location = self._zbud.refill(family, chunks)
        return location

    def find_row(self, family: Family) -> int:
        """Return a row; if all are in use, evict pages for it; 0 if there is no room."""
        evicted, row = 0, self._rows.alloc()
        while not row and self._may_evict_for_tables(family, evicted):
            self._evict_pages_for(family)
            evicted, row = evicted + 1, self._rows.alloc()
        return row

    def make_entries(
        self, pool: Pool, page_object: PageObject, index: int, count: int
    ) -> tuple[int, int]:
        """As `table.make`, but evict pages when there is no room for a leaf."""
        address, run = self._table.make(page_object, index, count)
        evicted = 0
        while not address and self._may_evict_for_tables(pool.family, evicted):
            self._evict_pages_for(pool.family)
            # The eviction may have taken the last page of the object that we are about to fill.
            pool.objects[page_object.object_id] = page_object
            evicted, (address, run) = evicted + 1, self._table.make(page_object, index, count)
        return address, run

    def evict_for_tables(self) -> bool:
        """Go on evicting for a put that found no room in the tables.

        Return whether that freed anything.

        Done once, whether or not that put still waits: if it does, and that was not enough, it will
        ask again.
        """
        family, self.wants_tables = self.wants_tables, None
        evicted = 0
        while family is not None and evicted < EVICTED_FOR_WAITING_MAX:
            if not self._evict_pages_for(family):
                break
            evicted += 1
        return evicted > 0

    def undo_put(self, row: int, location: int) -> None:
        """Give back what a put took before it found that there is no room for all of it."""
        if row:
            self._rows.free(row)
        if location:
            self._zbud.free(location)

    # What is given up for it.

    def evict_some(self, families: Iterable[Family], down_to_bytes: int, blocks_max: int) -> int:
        """Evict the oldest blocks of these families, in this order, as long as more than `down_to_bytes` are in use.

        Warm blocks are room already: over the budget there are none.

        Returns:
            How many blocks, at most `blocks_max`.
        """
        evicted = 0
        for family in families:
            while (
                evicted < blocks_max
                and self._memory.used_bytes > down_to_bytes
                and (block := self._zbud.oldest(family)) is not None
            ):
                self.evict_block(block)
                evicted += 1
        return evicted

    def evict_block(self, block: int) -> None:
        """Drop the zpages of a clean or ephemeral block.

        A clean one that lacks copies elsewhere is adopted instead.
        """
        family = Family(self._zbud.family_of_block[block])
        assert family not in {Family.OWN_PERSISTENT, Family.FOREIGN_PERSISTENT}
        self.evicted_blocks += 1
        if family is Family.OWN_CLEAN:
            copies, attainable = self._copies, self._copies.attainable
            if copies.are_lacking(block, attainable=attainable):
                self.adopt_block(block)
                return
            if attainable < copies.wanted_max and copies.are_lacking(block):
                self.versions.note_thinned(self._zbud.rows(block))
        self._zbud.begin_leaving(block)
        if family is Family.OWN_CLEAN:
            pages = self.versions.forget_leaving(block)
        else:
            pages = self._drop_leaving(block, is_foreign=family is Family.FOREIGN_EPHEMERAL)
        self._zbud.end_leaving(block)
        self.versions.work["evict"] += BLOCK_UNITS + pages

    def _drop_leaving(self, block: int, *, is_foreign: bool) -> int:
        """Drop the pages of an ephemeral block that is leaving; return how many."""
        rows = self._zbud.rows(block)
        for row in rows:
            address = self._rows.address(row)
            self.versions.make_hole(address)
            self.versions.drop_row(row)
            self.versions.counters.evicted += 1
            self.versions.counters.evicted_foreign += is_foreign
        return len(rows)

    def _oldest_victim(self, family: Family) -> int | None:
        for victims in _EVICTED_FOR[family]:
            block = self._zbud.oldest(victims)
            if block is not None:
                return block
        return None

    def _may_evict_for_tables(self, family: Family, evicted: int) -> bool:
        """Whether a put that evicted so many blocks may evict another.

        If not, that is left to a later pass.
        """
        if evicted < EVICTED_FOR_TABLES_MAX:
            return self._victim_for_tables(family) is not None
        self.wants_tables = family
        return False

    def _victim_for_tables(self, family: Family) -> int | None:
        """Return the first block whose eviction frees rows."""
        for victims in _EVICTED_FOR[family]:
            block = self._zbud.oldest(victims)
            if block is not None and victims is not Family.OWN_CLEAN:
                return block
        return None

    def _evict_pages_for(self, family: Family) -> bool:
        """Evict a block for its rows and entries, which dropping a clean copy would not free."""
        block = self._victim_for_tables(family)
        if block is not None:
            self.evict_block(block)
        return block is not None

    # What stays instead.

    def adopt_oldest(self) -> int:
        """The oldest clean block becomes ours alone.

        Return how many pages it has, 0 if there is none.
        """
        block = self._zbud.oldest(Family.OWN_CLEAN)
        return 0 if block is None else self.adopt_block(block)

    def adopt_clean(self, row: int) -> int:
        """If the page of a row is here in a clean block, that becomes ours alone.

        Return how many pages it has.
        """
        block = self.versions.block_of(row)
        return self.adopt_block(block) if self._zbud.is_of(block, Family.OWN_CLEAN) else 0

    def adopt_block(self, block: int, *, dead_holder: int = NO_HOLDER) -> int:
        """A clean block becomes ours alone: its holders are owed a flush, except one that is dead.

        A copy at a peer is given up only for one here that is what was put; a damaged one here is
        dropped instead.

        Returns:
            How many pages it has.
        """
        self.adopted_blocks += 1
        rows = self._zbud.rows(block)
        self.versions.work["adopt"] += BLOCK_UNITS + 2 * len(rows)
        for row in rows:
            if self._rows.holders(row) not in ([], [dead_holder]) and not self._is_intact(row):
                self.versions.counters.corrupt += 1
                self._rows.remove_holder(row, dead_holder)
                self.versions.forget_local(row)
                self.versions.note_thinned((row,))
        if self._zbud.is_free(block):
            return 0
        rows = self._zbud.rows(block)
        for row in rows:
            for holder in self._rows.holders(row):
                if holder == dead_holder:
                    self._rows.remove_holder(row, holder)
                else:
                    self.versions.give_up_copy(row, holder)
        zbytes = sum(self.versions.zbytes(row) for row in rows)
        self.versions.change_family(block, Family.OWN_PERSISTENT, len(rows), zbytes)
        self.versions.note_moved(block, rows)
        return len(rows)

    def _is_intact(self, row: int) -> bool:
        """Whether the zpage of a row, which is here, is what was put."""
        try:
            decode_page(self._rows.packed(row), self.versions.zpage(row), self._rows.checksum(row))
        except CorruptPage:
            return False
        return True
