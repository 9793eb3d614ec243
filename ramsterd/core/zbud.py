"""The arena cut into blocks of equal slots: zbud, generalised from two zpages a frame to many.

A block holds zpages of one family and one size class (a number of 64-byte chunks).  Blocks stand 64 KiB apart
in a sparse mapping and use only the frames that their class wants, so that address space is spent instead of
memory.  A *location* is block * 32 + slot; 0 is none, because block 0 is never used.

Slots are handed out from one open block for each family and class: a plain stack of locations, which the put
path pops itself.  A freed slot is a bit in its block's mask.  A block with free slots that is not open stands
in the list of its family and class; before a new block is made, one of these is opened again.

    free --make--> open --stack empty--> closed --reopen--> open
    open, closed --last zpage freed--> free
    open, closed --begin_leaving--> leaving --end_leaving--> free, or --return_leaving--> closed

Between calls every block that is not free has a zpage, unless it is leaving: with an open block for each of 64
classes, empty ones would keep a small budget for themselves.  A block that is leaving (being remotified or evicted) gets no zpages and keeps its memory until it has left.

`budget_bytes` bounds the resident frames of all blocks, also of the few free ones that are kept warm, because a
block that is freed and made again at once should not cost two system calls and its page faults.
"""

import enum
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory
from ramsterd.core.lru import BlockLists
from ramsterd.core.page import PAGE_BYTES

CHUNK_BYTES: Final = 64
CHUNKS_PER_PAGE: Final = PAGE_BYTES // CHUNK_BYTES
CLASSES: Final = CHUNKS_PER_PAGE + 1
BLOCK_SHIFT: Final = 16
BLOCK_STRIDE_BYTES: Final = 1 << BLOCK_SHIFT
SLOT_SHIFT: Final = 5
SLOTS_MAX: Final = 1 << SLOT_SHIFT
SLOT_MASK: Final = SLOTS_MAX - 1
# Fewer slots would make blocks cheap to fill but their descriptors dear; 16 raw pages just fit the stride.
SLOTS_MIN: Final = 16
# A warm block saves about 20 page faults; more than this would be memory that nobody uses.
WARM_BYTES_MAX: Final = 512 * 1024

assert PAGE_BYTES % CHUNK_BYTES == 0
assert SLOTS_MIN * PAGE_BYTES <= BLOCK_STRIDE_BYTES


class Family(enum.IntEnum):
    """What never shares a block.  In the order in which memory is taken back for others, last first."""

    OWN_PERSISTENT = 0
    OWN_EPHEMERAL = 1
    OWN_CLEAN = 2  # a peer holds these too: dropping them is free
    FOREIGN_PERSISTENT = 3
    FOREIGN_EPHEMERAL = 4


class BlockState(enum.IntEnum):
    """Where a block is in its life (see above)."""

    FREE = 0
    OPEN = 1
    CLOSED = 2
    LEAVING = 3


# An enum's members are slow to look up where it is done for each page.
_OPEN: Final = int(BlockState.OPEN)
_CLOSED: Final = int(BlockState.CLOSED)
LEAVING: Final = int(BlockState.LEAVING)


def _geometry(chunks: int) -> tuple[int, int]:
    """Return (frames, slots) of the class: the block of 16 to 32 slots that wastes least, small ones first."""

    def waste(frames: int) -> float:
        slots = min(frames * FRAME_BYTES // (chunks * CHUNK_BYTES), SLOTS_MAX)
        tail = frames * FRAME_BYTES - slots * chunks * CHUNK_BYTES
        # Half a per mille a frame: of two equally good blocks take the smaller.
        return tail / (frames * FRAME_BYTES) + frames * 0.0005 + (1 if slots < SLOTS_MIN else 0)

    frames = min(range(1, BLOCK_STRIDE_BYTES // FRAME_BYTES + 1), key=waste)
    return frames, min(frames * FRAME_BYTES // (chunks * CHUNK_BYTES), SLOTS_MAX)


_GEOMETRY: Final = [(0, 0), *(_geometry(chunks) for chunks in range(1, CLASSES))]
FRAMES_OF_CLASS: Final = [frames for frames, _ in _GEOMETRY]
SLOTS_OF_CLASS: Final = [slots for _, slots in _GEOMETRY]
_FULL_MASK: Final = [(1 << slots) - 1 for slots in SLOTS_OF_CLASS]

assert min(SLOTS_OF_CLASS[1:]) >= SLOTS_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class ZbudStatistics:
    """Frames of the arena, in bytes and blocks."""

    budget_bytes: int
    resident_bytes: int
    warm_bytes: int
    blocks: dict[Family, int]


class Zbud:
    """Slots for zpages.  Never looks into them."""

    def __init__(self, map_memory: MapMemory, *, budget_bytes: int, budget_bytes_max: int) -> None:
        self._blocks_max = budget_bytes_max // FRAME_BYTES + 1
        self._mapping = map_memory("arena", self._blocks_max * BLOCK_STRIDE_BYTES)
        self.arena = self._mapping.view
        # The row in each slot; what stands in a free slot means nothing.
        self.slot_rows = map_memory("slots", self._blocks_max * SLOTS_MAX * 4).view.cast("I")
        self.budget_bytes = budget_bytes
        self.resident_bytes = 0
        # Rises whenever some zpage may find room that found none before.
        self.room_made = 0
        self.blocks_of_family = [0] * len(Family)
        self.chunks_of_block = array("B", [0])
        self.family_of_block = array("B", [0])
        self.state = array("B", [BlockState.FREE])
        self._free_slots = array("I", [0])
        self._frames_resident = array("B", [0])
        self._lru = BlockLists(len(Family))
        self._with_room = BlockLists(len(Family) * CLASSES)
        self._stacks: list[list[list[int]]] = [[[] for _ in range(CLASSES)] for _ in Family]
        self._open_block = [[0] * CLASSES for _ in Family]
        self._cold = array("I")
        self._warm: list[int] = []
        self._warm_bytes = 0
        self._lru.grow(1)
        self._with_room.grow(1)

    # Slots.

    def stacks(self, family: Family) -> list[list[int]]:
        """Return, for each class, the free slots of the open block: pop one, or call `refill`."""
        return self._stacks[family]

    def refill(self, family: Family, chunks: int) -> int:
        """Return a free slot of at least `chunks` when the stack of the class is empty; 0 if there is no room."""
        if location := self.take_room(family, chunks):
            return location
        block = self._make(family, chunks)
        if not block:
            return self._best_fit(family, chunks)
        self._open(block)
        return self._stacks[family][chunks].pop()

    def take_room(self, family: Family, chunks: int) -> int:
        """Return a free slot of a block that is there already; 0 if there is none of this class."""
        stack, block = self._stacks[family][chunks], self._open_block[family][chunks]
        if not stack and block and self._free_slots[block]:
            self._take_free_slots(block)
        if not stack and (block := self._with_room.oldest(family * CLASSES + chunks) or 0):
            self._open(block)
        return stack.pop() if stack else 0

    def blocks_with_room(self, family: Family, chunks: int) -> Iterator[int]:
        """Yield the closed blocks of a class that have free slots."""
        return self._with_room.blocks(family * CLASSES + chunks)

    def open_slots(self, family: Family, chunks: int) -> int:
        """Return how many slots of the open block of a class are free."""
        block = self._open_block[family][chunks]
        return len(self._stacks[family][chunks]) + self._free_slots[block].bit_count()

    def free_slots(self, block: int) -> int:
        """Return how many slots of a closed block are free."""
        return self._free_slots[block].bit_count()

    def free(self, location: int) -> None:
        """Take back a slot."""
        self.free_many((location,))

    def free_many(self, locations: Iterable[int]) -> None:
        """Take back slots.  The put path runs this for each page that is overwritten."""
        free_slots, state, chunks_of_block = self._free_slots, self.state, self.chunks_of_block
        self.room_made += 1
        for location in locations:
            block = location >> SLOT_SHIFT
            before = free_slots[block]
            mask = free_slots[block] = before | 1 << (location & SLOT_MASK)
            if state[block] == _CLOSED:
                if mask == _FULL_MASK[chunks_of_block[block]]:
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
        return (block << BLOCK_SHIFT) + (location & SLOT_MASK) * self.chunks_of_block[
            block
        ] * CHUNK_BYTES

    def block_bytes(self, block: int) -> int:
        """Return how many bytes of frames a block uses."""
        return self._frames_resident[block] * FRAME_BYTES

    # Blocks that leave.

    @property
    def blocks_count(self) -> int:
        """One more than the highest block that was ever used."""
        return len(self.state)

    def is_free(self, block: int) -> bool:
        """Whether a block has no zpages and no family."""
        return self.state[block] == BlockState.FREE

    def is_of(self, block: int, family: Family) -> bool:
        """Whether a block has zpages of a family."""
        return self.state[block] != BlockState.FREE and self.family_of_block[block] == family

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

    def blocks_of(self, family: Family) -> Iterator[int]:
        """Yield the blocks of a family, also those that are leaving.  Walks all blocks."""
        for block, state in enumerate(self.state):
            if state != BlockState.FREE and self.family_of_block[block] == family:
                yield block

    def begin_leaving(self, block: int) -> None:
        """Take a block off all lists: no new zpages, not chosen twice."""
        if self.state[block] == BlockState.OPEN:
            self._close(block)
        assert self.state[block] == BlockState.CLOSED
        if self._with_room.is_listed(block):
            self._with_room.remove(block)
        self._lru.remove(block)
        self.state[block] = BlockState.LEAVING

    def return_leaving(self, block: int) -> None:
        """The block stays after all: it is the oldest again."""
        assert self.state[block] == BlockState.LEAVING
        self.room_made += 1  # its zpages may be overwritten in place again
        self.state[block] = BlockState.CLOSED
        self._lru.prepend(self.family_of_block[block], block)
        mask = self._free_slots[block]
        if mask == _FULL_MASK[self.chunks_of_block[block]]:
            self._release(block)
        elif mask:
            self._with_room.append(self._room_list(block), block)

    def end_leaving(self, block: int) -> None:
        """The block has left: all its slots are free and its memory is."""
        assert self.state[block] == BlockState.LEAVING
        self.state[block] = BlockState.CLOSED
        self._release(block)

    def rows(self, block: int) -> list[int]:
        """Return the row of each slot in use."""
        mask = self._free_slots[block]
        first = block << SLOT_SHIFT
        if self.state[block] == BlockState.OPEN:
            for location in self._stacks[self.family_of_block[block]][self.chunks_of_block[block]]:
                mask |= 1 << (location & SLOT_MASK)
        rows = self.slot_rows[first : first + SLOTS_OF_CLASS[self.chunks_of_block[block]]].tolist()
        return [row for slot, row in enumerate(rows) if not mask >> slot & 1]

    def change_family(self, block: int, family: Family) -> None:
        """All zpages of a block become what another family is."""
        self.room_made += 1  # what was worth keeping may be a copy now, that can be dropped
        if self.state[block] == BlockState.OPEN:
            self._close(block)
        assert self.state[block] == BlockState.CLOSED
        self._lru.remove(block)
        has_room = self._with_room.is_listed(block)
        if has_room:
            self._with_room.remove(block)
        self.blocks_of_family[self.family_of_block[block]] -= 1
        self.blocks_of_family[family] += 1
        self.family_of_block[block] = family
        self._lru.append(family, block)
        if has_room:
            self._with_room.append(self._room_list(block), block)

    # The budget.

    def set_budget(self, budget_bytes: int) -> None:
        """Change the bound; what is over it is the caller's to free."""
        self.budget_bytes = budget_bytes
        self.room_made += 1

    def trim(self) -> None:
        """Give the memory of warm blocks back to the kernel."""
        self._cool(self._warm_bytes)

    @property
    def used_bytes(self) -> int:
        """The resident bytes without warm blocks, which any new block may have."""
        return self.resident_bytes - self._warm_bytes

    def slots_used(self) -> int:
        """Count the slots that hold a zpage.  Walks all blocks."""
        return sum(
            len(self.rows(block))
            for block in range(1, len(self.state))
            if self.state[block] != BlockState.FREE
        )

    def statistics(self) -> ZbudStatistics:
        """Return a snapshot."""
        return ZbudStatistics(
            budget_bytes=self.budget_bytes,
            resident_bytes=self.resident_bytes,
            warm_bytes=self._warm_bytes,
            blocks={family: self.blocks_of_family[family] for family in Family},
        )

    def check_block(self, block: int) -> None:
        """Assert what must be true of one block between calls."""
        state, mask = self.state[block], self._free_slots[block]
        family, chunks = self.family_of_block[block], self.chunks_of_block[block]
        is_open = self._open_block[family][chunks] == block
        assert is_open == (state == BlockState.OPEN)
        assert self._lru.is_listed(block) == (state in {BlockState.OPEN, BlockState.CLOSED})
        if state == BlockState.CLOSED:
            assert self._with_room.is_listed(block) == (mask != 0), "room that nobody would find"
            assert mask != _FULL_MASK[chunks], "an empty block that was not released"
        else:
            assert not self._with_room.is_listed(block), "not to be offered to a new zpage"
        if state != BlockState.FREE:
            assert self._frames_resident[block] == FRAMES_OF_CLASS[chunks]
        if is_open:
            assert self.rows(block), "an open block without zpages"

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks all blocks."""
        for block in range(1, len(self.state)):
            self.check_block(block)
        for family in Family:
            listed = sum(1 for _ in self._lru.blocks(family))
            leaving = sum(
                self.state[block] == BlockState.LEAVING and self.family_of_block[block] == family
                for block in range(1, len(self.state))
            )
            assert listed + leaving == self.blocks_of_family[family]
        assert sum(self._frames_resident) * FRAME_BYTES == self.resident_bytes
        warm_bytes = sum(self._frames_resident[block] for block in self._warm) * FRAME_BYTES
        assert warm_bytes == self._warm_bytes
        assert warm_bytes <= WARM_BYTES_MAX

    def _room_list(self, block: int) -> int:
        return self.family_of_block[block] * CLASSES + self.chunks_of_block[block]

    def _take_free_slots(self, block: int) -> None:
        """Move the free slots of the open block to its stack, the lowest on top."""
        mask, first = self._free_slots[block], block << SLOT_SHIFT
        stack = self._stacks[self.family_of_block[block]][self.chunks_of_block[block]]
        while mask:
            slot = mask.bit_length() - 1
            stack.append(first + slot)
            mask ^= 1 << slot
        self._free_slots[block] = 0

    def _open(self, block: int) -> None:
        family, chunks = self.family_of_block[block], self.chunks_of_block[block]
        before = self._open_block[family][chunks]
        if before:
            assert not self._stacks[family][chunks]
            self.state[before] = BlockState.CLOSED
        if self._with_room.is_listed(block):
            self._with_room.remove(block)
        self.state[block] = BlockState.OPEN
        self._open_block[family][chunks] = block
        self._take_free_slots(block)

    def _close(self, block: int) -> None:
        """Close an open block early; its unused slots are free."""
        family, chunks = self.family_of_block[block], self.chunks_of_block[block]
        stack = self._stacks[family][chunks]
        for location in stack:
            self._free_slots[block] |= 1 << (location & SLOT_MASK)
        stack.clear()
        self._open_block[family][chunks] = 0
        self.state[block] = BlockState.CLOSED
        if self._free_slots[block]:
            self._with_room.append(self._room_list(block), block)

    def _best_fit(self, family: Family, chunks: int) -> int:
        """At the budget: the smallest larger slot that is free."""
        for larger in range(chunks + 1, CLASSES):
            if location := self.take_room(family, larger):
                return location
        return 0

    def _make(self, family: Family, chunks: int) -> int:
        """Return a new, closed block without zpages, or 0 at the budget."""
        frames = FRAMES_OF_CLASS[chunks]
        block = self._find_memory(frames)
        if not block:
            return 0
        self.chunks_of_block[block] = chunks
        self.family_of_block[block] = family
        self.state[block] = BlockState.CLOSED
        self._free_slots[block] = _FULL_MASK[chunks]
        self.blocks_of_family[family] += 1
        self._lru.append(family, block)
        return block

    def _find_memory(self, frames: int) -> int:
        """Return a free block whose first `frames` are counted as resident, or 0."""
        warm = self._warm.pop() if self._warm else 0
        if warm:
            self._warm_bytes -= self._frames_resident[warm] * FRAME_BYTES
        more = (frames - self._frames_resident[warm]) * FRAME_BYTES
        if self.resident_bytes + more > self.budget_bytes:
            self._cool(self.resident_bytes + more - self.budget_bytes)
        if self.resident_bytes + more > self.budget_bytes:
            if warm:
                self._keep_or_punch(warm)
            return 0
        block = warm or self._cold_block()
        if not block:
            return 0
        if more < 0:
            self._mapping.release((block << BLOCK_SHIFT) + frames * FRAME_BYTES, -more)
        self.resident_bytes += more
        self._frames_resident[block] = frames
        return block

    def _release(self, block: int) -> None:
        """Make a closed block free."""
        self.room_made += 1
        assert self.state[block] == BlockState.CLOSED
        if self._with_room.is_listed(block):
            self._with_room.remove(block)
        if self._lru.is_listed(block):
            self._lru.remove(block)
        self.state[block] = BlockState.FREE
        self.blocks_of_family[self.family_of_block[block]] -= 1
        self._keep_or_punch(block)

    def _keep_or_punch(self, block: int) -> None:
        length = self._frames_resident[block] * FRAME_BYTES
        if self._warm_bytes + length <= WARM_BYTES_MAX and self.resident_bytes <= self.budget_bytes:
            self._warm.append(block)
            self._warm_bytes += length
        else:
            self._punch(block)

    def _cool(self, bytes_wanted: int) -> None:
        """Give warm blocks back until `bytes_wanted` are freed, or none is left."""
        target = self.resident_bytes - bytes_wanted
        while self._warm and self.resident_bytes > target:
            block = self._warm.pop()
            self._warm_bytes -= self._frames_resident[block] * FRAME_BYTES
            self._punch(block)

    def _punch(self, block: int) -> None:
        length = self._frames_resident[block] * FRAME_BYTES
        self._mapping.release(block << BLOCK_SHIFT, length)
        self.resident_bytes -= length
        self._frames_resident[block] = 0
        self._cold.append(block)

    def _cold_block(self) -> int:
        return self._cold.pop() if self._cold else self._grow()

    def _grow(self) -> int:
        """Return a block number never used before, or 0 if all are known."""
        block = len(self.state)
        if block >= self._blocks_max:
            return 0
        for column in (self.chunks_of_block, self.family_of_block, self._frames_resident):
            column.append(0)
        self.state.append(BlockState.FREE)
        self._free_slots.append(0)
        self._lru.grow(block + 1)
        self._with_room.grow(block + 1)
        return block
