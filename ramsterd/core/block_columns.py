"""What is known of each block: its class and family, its state, which of its slots are free, and the row of each slot.

Two of these columns are in mappings, so that a later process can go on with them
(docs/design/0015): the row of each slot, and a word a block with its stamp, family and class.  That
word is stored before any zpage is put into the block, in one store.  Its stamp rises with each
block that is made, changes family or is made the newest, so that it tells their age.  What stands
in a free slot, or in the word of a free block, means nothing.
"""

import enum
from array import array
from collections.abc import Sequence
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory, Place, reserve_frame
from ramsterd.core.family import Family
from ramsterd.core.size_classes import FULL_MASK, SLOT_MASK, SLOT_SHIFT, SLOTS_MAX, SLOTS_OF_CLASS

# The word of a block: stamp << 16 | family << 8 | class.  0: it was never used.
STAMP_SHIFT: Final = 16
FAMILY_SHIFT: Final = 8
_BYTE: Final = 0xFF
_WORD_BYTES: Final = 8
_SLOT_ROW_BYTES: Final = 4


def pack_block(stamp: int, family: int, chunks: int) -> int:
    """Return the word of a block; `stamp` tells its age among all blocks."""
    return stamp << STAMP_SHIFT | family << FAMILY_SHIFT | chunks


def unpack_block(word: int) -> tuple[int, int, int]:
    """Return (stamp, family, class), of which nothing was checked."""
    return word >> STAMP_SHIFT, word >> FAMILY_SHIFT & _BYTE, word & _BYTE


class BlockState(enum.IntEnum):
    """The state of a block (see core.zbud)."""

    FREE = 0
    OPEN = 1
    CLOSED = 2
    LEAVING = 3


class BlockColumns:
    """Columns by block; block 0 is never used."""

    def __init__(self, map_memory: MapMemory, blocks_max: int) -> None:
        self._slots_mapping = map_memory("slots", blocks_max * SLOTS_MAX * _SLOT_ROW_BYTES)
        self._words_mapping = map_memory("blocks", blocks_max * _WORD_BYTES)
        self.slot_rows = self._slots_mapping.view.cast("I")
        self.words = self._words_mapping.view.cast("Q")
        self._stamp = 0
        self.chunks = array("B", [0])
        self.family = array("B", [0])
        self.state = array("B", [BlockState.FREE])
        # A bit for each free slot that is on no stack.
        self.free_slots = array("I", [0])

    def __len__(self) -> int:
        """Return one more than the highest block that was ever used."""
        return len(self.state)

    def make(self, block: int, family: Family, chunks: int) -> bool:
        """A block that was free is closed now, without zpages.

        Return False if its columns have no room.
        """
        while block >= len(self):  # those between are free, and wait for their turn
            if not self._grow():
                return False
        self.chunks[block] = chunks
        self.set_family(block, family)
        self.state[block] = BlockState.CLOSED
        self.free_slots[block] = FULL_MASK[chunks]
        return True

    def set_family(self, block: int, family: Family) -> None:
        """All zpages of a block are of a family from now on."""
        self.family[block] = family
        self.stamp(block)

    def stamp(self, block: int) -> None:
        """A block is the newest from now on."""
        self._stamp += 1
        self.words[block] = pack_block(self._stamp, self.family[block], self.chunks[block])

    def rows(self, block: int, free_locations: Sequence[int]) -> list[int]:
        """Return the row of each slot in use; those at `free_locations` are free, too."""
        mask, chunks = self.free_slots[block], self.chunks[block]
        for location in free_locations:
            mask |= 1 << (location & SLOT_MASK)
        first = block << SLOT_SHIFT
        rows = self.slot_rows[first : first + SLOTS_OF_CLASS[chunks]].tolist()
        if not mask:
            return rows
        return [row for slot, row in enumerate(rows) if not mask >> slot & 1]

    def adopt(
        self, chunks: Sequence[int], family: Sequence[int], free_slots: Sequence[int]
    ) -> list[int]:
        """Know the blocks that an earlier process has left.

        Return those with zpages, the oldest first.

        They are closed.  Their words are as they were left: they tell their age.
        """
        assert len(self) == 1
        assert len(chunks) == len(family) == len(free_slots)
        for block in range(1, len(chunks)):
            is_used = free_slots[block] != FULL_MASK[chunks[block]]
            self.chunks.append(chunks[block] if is_used else 0)
            self.family.append(family[block] if is_used else 0)
            self.state.append(BlockState.CLOSED if is_used else BlockState.FREE)
            self.free_slots.append(free_slots[block] if is_used else 0)
        words = self.words[: len(self)].tolist()
        self._stamp = max(words) >> STAMP_SHIFT
        used = (block for block, state in enumerate(self.state) if state != BlockState.FREE)
        return sorted(used, key=words.__getitem__)

    def places(self, block: int) -> list[Place]:
        """Return which frames of the mappings are about a block."""
        return [
            (self._slots_mapping, block * SLOTS_MAX * _SLOT_ROW_BYTES // FRAME_BYTES),
            (self._words_mapping, block * _WORD_BYTES // FRAME_BYTES),
        ]

    def _grow(self) -> bool:
        """Have columns for one block more, if there is room."""
        if not all(reserve_frame(mapping, frame) for mapping, frame in self.places(len(self))):
            return False
        for column in (self.chunks, self.family, self.state, self.free_slots):
            column.append(0)
        return True


assert FRAME_BYTES % (SLOTS_MAX * _SLOT_ROW_BYTES) == FRAME_BYTES % _WORD_BYTES == 0
