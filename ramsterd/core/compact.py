"""Compaction: a block that has become sparse is emptied into the free slots of others, and its memory goes back.

Pages that are overwritten or flushed leave holes in their blocks.  As long as the blocks of one
family and size class have as many free slots together as one of them has zpages, that one is not
needed.  No new block is ever made for a move, so each block that is emptied is a gain, and at rest
this comes to an end.

Work is done in slices, from a cursor over all families and classes, so that nobody waits for it.
"""

from bisect import bisect_left
from itertools import islice
from typing import Final

from ramsterd.core.family import Family
from ramsterd.core.room import BLOCK_UNITS
from ramsterd.core.size_classes import CLASSES, SLOT_SHIFT, SLOTS_OF_CLASS
from ramsterd.core.versions import Versions

# Blocks of one class that are compared: with so many, what is left in the end is under one free
# slot a block.
BLOCKS_COMPARED_MAX = 32

# In the order in which they take turns: `Zbud.classes_with_room`.
_TURNS: Final = tuple((family, chunks) for family in Family for chunks in range(CLASSES))


class Compactor:
    """The compactor's position between two slices, and its counters."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._cursor = 0
        # When a look around all classes found nothing to move; without a new free slot none will.
        self._in_vain_at = -1
        self.moved_total = 0

    def compact(self, zpages_max: int) -> int:
        """Move about `zpages_max` zpages at most, once around all classes; return how many."""
        room_made = self._versions.zbud.room_made
        if room_made == self._in_vain_at:
            return 0
        moved = 0
        # Few have any, and this runs at every tick.  What is moved makes no room in other classes.
        turns = self._versions.zbud.classes_with_room()
        first = bisect_left(turns, self._cursor)
        for turn in turns[first:] + turns[:first]:
            family, chunks = _TURNS[turn]
            while moved < zpages_max and (emptied := self._empty_one(family, chunks)):
                moved += emptied
            if moved >= zpages_max:
                self._cursor = turn
                break
        if not moved:
            self._in_vain_at = room_made
        self.moved_total += moved
        return moved

    def _empty_one(self, family: Family, chunks: int) -> int:
        """Empty the sparsest of some blocks into the others.

        Return how many zpages were moved, 0 if they don't fit.
        """
        zbud = self._versions.zbud
        blocks = list(islice(zbud.blocks_with_room(family, chunks), BLOCKS_COMPARED_MAX))
        if not blocks:
            return 0
        free_slots = [zbud.free_slots(block) for block in blocks]
        most = max(free_slots)
        zpages = SLOTS_OF_CLASS[chunks] - most
        if zbud.open_slots(family, chunks) + sum(free_slots) - most < zpages:
            return 0
        self._empty(blocks[free_slots.index(most)], family, chunks)
        return zpages

    def _empty(self, block: int, family: Family, chunks: int) -> None:
        zbud, rows = self._versions.zbud, self._versions.rows
        zbud.begin_leaving(block)
        moved = zbud.rows(block)
        self._versions.work["compact"] += BLOCK_UNITS + 2 * len(moved)
        for row in moved:
            source = rows.location(row)
            target = zbud.take_room(family, chunks)
            assert target, "the others have room for all"
            zbud.fill(target, row, self._versions.zpage(row))
            rows.set_location(row, target)
            zbud.free(source)
            if family is Family.OWN_PERSISTENT:
                self._versions.note_moved(target >> SLOT_SHIFT, (row,))
        zbud.end_leaving(block)
