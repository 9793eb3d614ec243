"""The memory of blocks: which frames of the arena are resident, under a hard budget.

`budget_bytes` bounds the resident frames of all blocks, also of the free ones that are kept warm.
These are a few, because a block that is freed and made again at once should not cost two system
calls and its page faults; and on a node that serves swap a reserve of whole blocks, so that no frame
has to be asked for when memory is short (core.reserve).  Every new block comes from there, and gives
back what it does not want: a block has at least 16 slots, as a whole one has for raw pages, so that
the reserve takes as many bytes of pages as it has, however they shrink.  Which zpages are in a block
is for core.zbud.
"""

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory
from ramsterd.core.size_classes import BLOCK_SHIFT, BLOCK_STRIDE_BYTES

# A warm block saves about 20 page faults; more than this would be memory that nobody uses.
WARM_BYTES_MAX: Final = 512 * 1024
FRAMES_MAX: Final = BLOCK_STRIDE_BYTES // FRAME_BYTES


class BlockMemory:
    """Hands out blocks with their frames; block 0 is never used."""

    def __init__(self, map_memory: MapMemory, *, budget_bytes: int, blocks_max: int) -> None:
        self._blocks_max = blocks_max
        self.mapping = map_memory("arena", blocks_max * BLOCK_STRIDE_BYTES)
        self.arena = self.mapping.view
        self.budget_bytes = budget_bytes
        # How much is to be warm in whole blocks.
        self.reserve_bytes = 0
        self.resident_bytes = 0
        self.warm_bytes = 0
        # Of each block that was ever used.
        self._frames_resident = array("B", [0])
        self._cold = array("I")
        self._warm: list[int] = []
        # Warm, too: the reserve, with all their frames.
        self._whole: list[int] = []

    @property
    def used_bytes(self) -> int:
        """The resident bytes without warm blocks, which any new block may have."""
        return self.resident_bytes - self.warm_bytes

    def block_bytes(self, block: int) -> int:
        """Return how many bytes of frames a block uses."""
        return self._frames_resident[block] * FRAME_BYTES

    @property
    def ready_bytes(self) -> int:
        """How much of the reserve is there."""
        return len(self._whole) * BLOCK_STRIDE_BYTES

    def trim(self) -> None:
        """Give the memory of warm blocks back to the kernel, but for the reserve."""
        self._cool(self.warm_bytes - min(self.ready_bytes, self.reserve_bytes))

    def take(self, frames: int) -> int:
        """Return a free block whose first `frames` are counted as resident, or 0."""
        warm = self._take_warm(frames)
        more = (frames - self._frames_resident[warm]) * FRAME_BYTES
        if self.resident_bytes + more > self.budget_bytes:
            self._cool(self.resident_bytes + more - self.budget_bytes)
        if self.resident_bytes + more > self.budget_bytes:
            if warm:
                self.give(warm)
            return 0
        block = warm or self._cold_block()
        if not block:
            return 0
        if more < 0:
            self.mapping.release((block << BLOCK_SHIFT) + frames * FRAME_BYTES, -more)
        elif more and self.mapping.needs_reserve and not self._reserve(block, frames):
            if warm:
                self.give(warm)
            else:
                self._cold.append(block)
            return 0
        self.resident_bytes += more
        self._frames_resident[block] = frames
        return block

    def give(self, block: int) -> None:
        """A block has no zpages any more: keep it warm, or give its memory back."""
        length = self._frames_resident[block] * FRAME_BYTES
        if self.resident_bytes > self.budget_bytes:
            self._punch(block)
        elif length == BLOCK_STRIDE_BYTES and self.ready_bytes < self.reserve_bytes:
            self._whole.append(block)
            self.warm_bytes += length
        elif self.warm_bytes - self.ready_bytes + length <= WARM_BYTES_MAX:
            self._warm.append(block)
            self.warm_bytes += length
        else:
            self._punch(block)

    def adopt(self, frames_of_block: Sequence[int]) -> None:
        """An earlier process has left blocks that use so many frames each.

        Give back the memory of all others.

        Together they may be over the budget.
        """
        assert len(self._frames_resident) == 1
        assert len(frames_of_block) <= self._blocks_max
        self._frames_resident.extend(frames_of_block[1:])
        self.resident_bytes = sum(frames_of_block[1:]) * FRAME_BYTES
        used = [block for block, frames in enumerate(frames_of_block) if frames]
        # Beyond the last, too: one may have been taken that nothing was put into.
        for block, following in pairwise([0, *used, self._blocks_max]):
            if block + 1 < following:
                length = (following - block - 1) << BLOCK_SHIFT
                self.mapping.release((block + 1) << BLOCK_SHIFT, length)
        for block in reversed(range(1, len(frames_of_block))):  # the lowest on top
            if not frames_of_block[block]:
                self._cold.append(block)

    # The reserve.

    def begin_warming(self, blocks_max: int) -> list[int]:
        """Return cold blocks that are to be made resident as a whole; `end_warming` comes next.

        They are counted as resident from now on.  None, if the reserve is there, or the budget has
        no room for more of it.
        """
        free_bytes = self.budget_bytes - self.resident_bytes
        missing_bytes = min(self.reserve_bytes - self.ready_bytes, free_bytes)
        blocks: list[int] = []
        for _ in range(min(missing_bytes // BLOCK_STRIDE_BYTES, blocks_max)):
            if not (block := self._cold_block()):
                break
            self._frames_resident[block] = FRAMES_MAX
            self.resident_bytes += BLOCK_STRIDE_BYTES
            blocks.append(block)
        return blocks

    def end_warming(self, blocks: Sequence[int], *, are_resident: bool) -> None:
        """The frames of these blocks are resident now, or there was no room for them."""
        for block in blocks:
            if are_resident:
                self.give(block)
            else:
                self._punch(block)

    # What is done to one block.

    def _take_warm(self, frames: int) -> int:
        """Return a warm block, or 0; from the reserve if another would have to grow."""
        blocks = self._warm
        if self._whole and not (blocks and self._frames_resident[blocks[-1]] >= frames):
            blocks = self._whole
        if not blocks:
            return 0
        block = blocks.pop()
        self.warm_bytes -= self._frames_resident[block] * FRAME_BYTES
        return block

    def _reserve(self, block: int, frames: int) -> bool:
        """Have room for the frames of a block; warm ones are given back for it."""
        start, length = block << BLOCK_SHIFT, frames * FRAME_BYTES
        if self.mapping.reserve(start, length):
            return True
        self._cool(self.warm_bytes)
        return self.mapping.reserve(start, length)

    def _cool(self, bytes_wanted: int) -> None:
        """Give warm blocks back until `bytes_wanted` are freed, or none is left."""
        target = self.resident_bytes - bytes_wanted
        for blocks in (self._warm, self._whole):
            while blocks and self.resident_bytes > target:
                block = blocks.pop()
                self.warm_bytes -= self._frames_resident[block] * FRAME_BYTES
                self._punch(block)

    def _punch(self, block: int) -> None:
        length = self._frames_resident[block] * FRAME_BYTES
        self.mapping.release(block << BLOCK_SHIFT, length)
        self.resident_bytes -= length
        self._frames_resident[block] = 0
        self._cold.append(block)

    def _cold_block(self) -> int:
        return self._cold.pop() if self._cold else self._grow()

    def _grow(self) -> int:
        """Return a block number never used before, or 0 if all are known."""
        block = len(self._frames_resident)
        if block >= self._blocks_max:
            return 0
        self._frames_resident.append(0)
        return block

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks all blocks."""
        assert sum(self._frames_resident) * FRAME_BYTES == self.resident_bytes
        assert {self._frames_resident[block] for block in self._whole} <= {FRAMES_MAX}
        warm = [*self._warm, *self._whole]
        assert sum(self._frames_resident[block] for block in warm) * FRAME_BYTES == self.warm_bytes
        assert self.warm_bytes - self.ready_bytes <= WARM_BYTES_MAX
