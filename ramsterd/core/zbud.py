"""The arena cut into blocks of equal slots: zbud, generalised from two zpages a frame to many.

A block holds zpages of one family and one size class, and each of its slots has a location
(core.size_classes).  How much memory all blocks have together is for core.block_memory, what is
known of each for core.block_columns.

Slots are handed out from one open block for each family and class: a plain stack of locations,
which the put path pops itself.  A freed slot is a bit in its block's mask.  A block with free slots
that is not open stands in the list of its family and class; before a new block is made, one of
these is opened again.

    free --make--> open --stack empty--> closed --reopen--> open
    open, closed --last zpage freed--> free
    open, closed --begin_leaving--> leaving --end_leaving--> free, or --return_leaving--> closed

Between calls every block that is not free has a zpage, unless it is leaving: with an open block for
each of 64 classes, empty ones would keep a small budget for themselves.  A block that is leaving
(being remotified or evicted) gets no zpages and keeps its memory until it has left.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory, Place
from ramsterd.core.block_columns import BlockColumns, BlockState
from ramsterd.core.block_memory import BlockMemory
from ramsterd.core.counters import ZbudStatistics
from ramsterd.core.family import Family
from ramsterd.core.lru import BlockLists
from ramsterd.core.size_classes import (
    BLOCK_SHIFT,
    CHUNK_BYTES,
    CLASSES,
    FRAMES_OF_CLASS,
    FULL_MASK,
    SLOT_MASK,
    SLOT_SHIFT,
    SLOTS_OF_CLASS,
)

# An enum's members are slow to look up where it is done for each page or block.
_FREE: Final = int(BlockState.FREE)
_OPEN: Final = int(BlockState.OPEN)
_CLOSED: Final = int(BlockState.CLOSED)
LEAVING: Final = int(BlockState.LEAVING)


class Zbud:
    """Slots for zpages.  Never looks into them."""

    def __init__(self, map_memory: MapMemory, *, budget_bytes: int, budget_bytes_max: int) -> None:
        blocks_max = budget_bytes_max // FRAME_BYTES + 1
        self.memory = BlockMemory(map_memory, budget_bytes=budget_bytes, blocks_max=blocks_max)
        self.arena = self.memory.arena
        self._columns = columns = BlockColumns(map_memory, blocks_max)
        self.slot_rows, self.words = columns.slot_rows, columns.words
        self.state, self.chunks_of_block = columns.state, columns.chunks
        self.family_of_block, self.free_masks = columns.family, columns.free_slots
        # Rises whenever some zpage may find room that found none before.
        self.room_made = 0
        self.blocks_of_family = [0] * len(Family)
        self._lru = BlockLists(len(Family))
        self._with_room = BlockLists(len(Family) * CLASSES)
        self._stacks: list[list[list[int]]] = [[[] for _ in range(CLASSES)] for _ in Family]
        self._open_block = [[0] * CLASSES for _ in Family]
        self.lists_of_room = self._open_block, self._with_room.links()  # for room.c
        self._lru.grow(1)
        self._with_room.grow(1)

    # Slots.

    def stacks(self, family: Family) -> list[list[int]]:
        """Return, for each class, the free slots of the open block: pop one, or call `refill`."""
        return self._stacks[family]

    def refill(self, family: Family, chunks: int) -> int:
        """Return a free slot of at least `chunks` when the stack of its class is empty, 0 without room."""
        if self.fill_stack(family, chunks):
            return self._stacks[family][chunks].pop()
        return self._best_fit(family, chunks)

    def fill_stack(self, family: Family, chunks: int) -> bool:
        """Have free slots in the empty stack of a class, one of which is taken next; return whether there is room."""
        if not self._find_room(family, chunks) and (block := self._make(family, chunks)):
            self._open(block)
        return bool(self._stacks[family][chunks])

    def take_room(self, family: Family, chunks: int) -> int:
        """Return a free slot of a block that is there already; 0 if there is none of this class."""
        return self._stacks[family][chunks].pop() if self._find_room(family, chunks) else 0

    def _find_room(self, family: Family, chunks: int) -> bool:
        """Have slots of a block that is there already in the stack of its class, if there are any."""
        stack, block = self._stacks[family][chunks], self._open_block[family][chunks]
        if not stack and block and self.free_masks[block]:
            self._take_free_slots(block)
        if not stack and (block := self._with_room.oldest(family * CLASSES + chunks) or 0):
            self._open(block)
        return bool(stack)

    def blocks_with_room(self, family: Family, chunks: int) -> Iterator[int]:
        """Yield the closed blocks of a class that have free slots."""
        return self._with_room.blocks(family * CLASSES + chunks)

    def classes_with_room(self) -> list[int]:
        """Return `family * CLASSES + chunks` of each class with `blocks_with_room`, lowest first."""
        return self._with_room.filled()

    def open_slots(self, family: Family, chunks: int) -> int:
        """Return how many slots of the open block of a class are free."""
        block = self._open_block[family][chunks]
        return len(self._stacks[family][chunks]) + self.free_masks[block].bit_count()

    def free_slots(self, block: int) -> int:
        """Return how many slots of a closed block are free."""
        return self.free_masks[block].bit_count()

    def free(self, location: int) -> None:
        """Take back a slot."""
        self.free_many((location,))

    def free_many(self, locations: Iterable[int]) -> None:
        """Take back slots.  The put path runs this for each page that is overwritten."""
        free_slots, state, chunks_of_block = self.free_masks, self.state, self.chunks_of_block
        self.room_made += 1
        for location in locations:
            block = location >> SLOT_SHIFT
            before = free_slots[block]
            mask = free_slots[block] = before | 1 << (location & SLOT_MASK)
            if state[block] == _CLOSED:
                if mask == FULL_MASK[chunks_of_block[block]]:
                    self._release(block)
                elif not before:
                    self._with_room.append(self._room_list(block), block)
            elif state[block] == _OPEN:
                chunks = chunks_of_block[block]
                stacked = len(self._stacks[self.family_of_block[block]][chunks])
                if mask.bit_count() + stacked == SLOTS_OF_CLASS[chunks]:
                    self._close(block)
                    self._release(block)

    def offset(self, location: int) -> int:
        """Return where a slot starts in the arena."""
        block = location >> SLOT_SHIFT
        slot_bytes = self.chunks_of_block[block] * CHUNK_BYTES
        return (block << BLOCK_SHIFT) + (location & SLOT_MASK) * slot_bytes

    def fill(self, location: int, row: int, zpage: bytes | memoryview) -> None:
        """Copy a zpage into a slot, and note its row.  The put path does this itself."""
        offset = self.offset(location)
        self.arena[offset : offset + len(zpage)] = zpage
        self.slot_rows[location] = row

    def block_bytes(self, block: int) -> int:
        """Return how many bytes of frames a block uses."""
        return self.memory.block_bytes(block)

    # Blocks that leave.

    @property
    def blocks_count(self) -> int:
        """One more than the highest block that was ever used."""
        return len(self._columns)

    def is_free(self, block: int) -> bool:
        """Whether a block has no zpages and no family."""
        return self.state[block] == _FREE

    def is_of(self, block: int, family: Family) -> bool:
        """Whether a block has zpages of a family."""
        return self.state[block] != _FREE and self.family_of_block[block] == family

    def is_listed(self, block: int) -> bool:
        """Whether a block may be chosen to leave: it has zpages, and is not on its way already."""
        return self._lru.is_listed(block)

    def oldest(self, family: Family) -> int | None:
        """Return the block of a family that was made longest ago, or None."""
        return self._lru.oldest(family)

    def blocks(self, family: Family) -> Iterator[int]:
        """Yield the blocks of a family, oldest first."""
        return self._lru.blocks(family)

    def make_newest(self, block: int) -> None:
        """A listed block can't leave: others come before it."""
        self._lru.remove(block)
        self._lru.append(self.family_of_block[block], block)
        self._columns.stamp(block)

    def blocks_of(self, family: Family) -> Iterator[int]:
        """Yield the blocks of a family, also those that are leaving.  Walks all blocks."""
        yield from (block for block in range(self.blocks_count) if self.is_of(block, family))

    def begin_leaving(self, block: int) -> None:
        """Take a block off all lists: no new zpages, not chosen twice."""
        if self.state[block] == _OPEN:
            self._end_stack(block)
        elif self._with_room.is_listed(block):
            self._with_room.remove(block)
        assert self.state[block] == _CLOSED
        self._lru.remove(block)
        self.state[block] = LEAVING

    def return_leaving(self, block: int) -> None:
        """The block stays after all: it is the oldest again."""
        assert self.state[block] == LEAVING
        self.room_made += 1  # its zpages may be overwritten in place again
        self.state[block] = _CLOSED
        self._lru.prepend(self.family_of_block[block], block)
        mask = self.free_masks[block]
        if mask == FULL_MASK[self.chunks_of_block[block]]:
            self._release(block)
        elif mask:
            self._with_room.append(self._room_list(block), block)

    def end_leaving(self, block: int) -> None:
        """The block has left: all its slots are free and its memory is."""
        assert self.state[block] == LEAVING
        self.state[block] = _CLOSED
        self._release(block)

    def rows(self, block: int) -> list[int]:
        """Return the row of each slot in use."""
        is_open = self.state[block] == _OPEN
        stacks = self._stacks[self.family_of_block[block]]
        return self._columns.rows(block, stacks[self.chunks_of_block[block]] if is_open else ())

    def change_family(self, block: int, family: Family) -> None:
        """All zpages of a block become what another family is."""
        self.room_made += 1  # what was worth keeping may be a copy now, that can be dropped
        if self.state[block] == _OPEN:
            self._close(block)
        assert self.state[block] == _CLOSED
        self._lru.remove(block)
        has_room = self._with_room.is_listed(block)
        if has_room:
            self._with_room.remove(block)
        self.blocks_of_family[self.family_of_block[block]] -= 1
        self.blocks_of_family[family] += 1
        self._columns.set_family(block, family)
        self._lru.append(family, block)
        if has_room:
            self._with_room.append(self._room_list(block), block)

    def adopt(
        self, chunks: Sequence[int], family: Sequence[int], free_slots: Sequence[int]
    ) -> None:
        """Know the blocks that were left, maybe more than the budget allows; their words tell their age."""
        used = self._columns.adopt(chunks, family, free_slots)
        self._lru.grow(self.blocks_count)
        self._with_room.grow(self.blocks_count)
        for block in used:
            self.blocks_of_family[self.family_of_block[block]] += 1
            self._lru.append(self.family_of_block[block], block)
            if self.free_masks[block]:
                self._with_room.append(self._room_list(block), block)
        self.memory.adopt([FRAMES_OF_CLASS[chunks] for chunks in self.chunks_of_block])

    # The budget.

    def set_budget(self, budget_bytes: int) -> None:
        """Change the bound; what is over it is the caller's to free."""
        self.memory.budget_bytes = budget_bytes
        self.room_made += 1

    def places(self, blocks: Iterable[int]) -> list[Place]:
        """Return the frames in which the columns of these blocks stand."""
        return list({place: None for block in blocks for place in self._columns.places(block)})

    def trim(self) -> None:
        """Give the memory of warm blocks back to the kernel."""
        self.memory.trim()

    @property
    def budget_bytes(self) -> int:
        """The bound on resident bytes."""
        return self.memory.budget_bytes

    @property
    def resident_bytes(self) -> int:
        """The frames that blocks have, warm ones too."""
        return self.memory.resident_bytes

    @property
    def used_bytes(self) -> int:
        """The resident bytes without warm blocks, which any new block may have."""
        return self.memory.used_bytes

    def statistics(self) -> ZbudStatistics:
        """Return a snapshot."""
        return ZbudStatistics(
            budget_bytes=self.budget_bytes,
            resident_bytes=self.resident_bytes,
            warm_bytes=self.memory.warm_bytes,
            blocks={family: self.blocks_of_family[family] for family in Family},
        )

    def check_block(self, block: int) -> None:
        """Assert what must be true of one block between calls."""
        state, mask = self.state[block], self.free_masks[block]
        family, chunks = self.family_of_block[block], self.chunks_of_block[block]
        is_open = self._open_block[family][chunks] == block
        assert is_open == (state == _OPEN)
        assert self._lru.is_listed(block) == (state in {_OPEN, _CLOSED})
        if state == _CLOSED:
            assert self._with_room.is_listed(block) == (mask != 0), "room that nobody would find"
            assert mask != FULL_MASK[chunks], "an empty block that was not released"
        else:
            assert not self._with_room.is_listed(block), "not to be offered to a new zpage"
        if state != _FREE:
            assert self.block_bytes(block) == FRAMES_OF_CLASS[chunks] * FRAME_BYTES
        if is_open:
            assert self.rows(block), "an open block without zpages"

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks all blocks."""
        for block in range(1, len(self.state)):
            self.check_block(block)
        for family in Family:
            listed = sum(1 for _ in self._lru.blocks(family))
            leaving = sum(
                self.state[block] == LEAVING and self.family_of_block[block] == family
                for block in range(1, len(self.state))
            )
            assert listed + leaving == self.blocks_of_family[family]
        self.memory.check_invariants()

    def _room_list(self, block: int) -> int:
        return self.family_of_block[block] * CLASSES + self.chunks_of_block[block]

    def _take_free_slots(self, block: int) -> None:
        """Move the free slots of the open block to its stack, the lowest on top."""
        mask, first = self.free_masks[block], block << SLOT_SHIFT
        chunks = self.chunks_of_block[block]
        stack = self._stacks[self.family_of_block[block]][chunks]
        highest = mask.bit_length() - 1
        if mask == FULL_MASK[chunks]:
            stack += range(first + highest, first - 1, -1)
        else:
            stack += [first + slot for slot in range(highest, -1, -1) if mask >> slot & 1]
        self.free_masks[block] = 0

    def _open(self, block: int) -> None:
        family, chunks = self.family_of_block[block], self.chunks_of_block[block]
        before = self._open_block[family][chunks]
        if before:
            assert not self._stacks[family][chunks]
            self.state[before] = _CLOSED
        if self._with_room.is_listed(block):
            self._with_room.remove(block)
        self.state[block] = _OPEN
        self._open_block[family][chunks] = block
        self._take_free_slots(block)

    def _close(self, block: int) -> None:
        """Close an open block early; its unused slots are free."""
        self._end_stack(block)
        if self.free_masks[block]:
            self._with_room.append(self._room_list(block), block)

    def _end_stack(self, block: int) -> None:
        family, chunks = self.family_of_block[block], self.chunks_of_block[block]
        stack = self._stacks[family][chunks]
        self.free_masks[block] |= sum([1 << (each & SLOT_MASK) for each in stack])
        stack.clear()
        self._open_block[family][chunks] = 0
        self.state[block] = _CLOSED

    def _best_fit(self, family: Family, chunks: int) -> int:
        """At the budget: the smallest larger slot that is free."""
        for larger in range(chunks + 1, CLASSES):
            if location := self.take_room(family, larger):
                return location
        return 0

    def _make(self, family: Family, chunks: int) -> int:
        """Return a new, closed block without zpages, or 0 at the budget."""
        block = self.memory.take(FRAMES_OF_CLASS[chunks])
        if not block:
            return 0
        if not self._columns.make(block, family, chunks):
            self.memory.give(block)
            return 0
        self._lru.grow(self.blocks_count)
        self._with_room.grow(self.blocks_count)
        self.blocks_of_family[family] += 1
        self._lru.append(family, block)
        return block

    def _release(self, block: int) -> None:
        """Make a closed block free."""
        self.room_made += 1
        assert self.state[block] == _CLOSED
        if self._with_room.is_listed(block):
            self._with_room.remove(block)
        if self._lru.is_listed(block):
            self._lru.remove(block)
        self.state[block] = _FREE
        self.blocks_of_family[self.family_of_block[block]] -= 1
        self.memory.give(block)
