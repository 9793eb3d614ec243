"""The memory of blocks: which frames of the arena are resident, under a hard budget.

`budget_bytes` bounds the resident frames of all blocks, also of the few free ones that are kept
warm, because a block that is freed and made again at once should not cost two system calls and its
page faults.  Which zpages are in a block is for core.zbud.
"""

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory
from ramsterd.core.size_classes import BLOCK_SHIFT, BLOCK_STRIDE_BYTES

# A warm block saves about 20 page faults; more than this would be memory that nobody uses.
WARM_BYTES_MAX: Final = 512 * 1024


class BlockMemory:
    """Hands out blocks with their frames; block 0 is never used."""

    def __init__(self, map_memory: MapMemory, *, budget_bytes: int, blocks_max: int) -> None:
        self._blocks_max = blocks_max
        self._mapping = map_memory("arena", blocks_max * BLOCK_STRIDE_BYTES)
        self.arena = self._mapping.view
        self.budget_bytes = budget_bytes
        self.resident_bytes = 0
        self.warm_bytes = 0
        # Of each block that was ever used.
        self._frames_resident = array("B", [0])
        self._cold = array("I")
        self._warm: list[int] = []

    @property
    def used_bytes(self) -> int:
        """The resident bytes without warm blocks, which any new block may have."""
        return self.resident_bytes - self.warm_bytes

    def block_bytes(self, block: int) -> int:
        """Return how many bytes of frames a block uses."""
        return self._frames_resident[block] * FRAME_BYTES

    def trim(self) -> None:
        """Give the memory of warm blocks back to the kernel."""
        self._cool(self.warm_bytes)

    def take(self, frames: int) -> int:
        """Return a free block whose first `frames` are counted as resident, or 0."""
        warm = self._warm.pop() if self._warm else 0
        if warm:
            self.warm_bytes -= self._frames_resident[warm] * FRAME_BYTES
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
            self._mapping.release((block << BLOCK_SHIFT) + frames * FRAME_BYTES, -more)
        elif more and self._mapping.needs_reserve and not self._reserve(block, frames):
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
        if self.warm_bytes + length <= WARM_BYTES_MAX and self.resident_bytes <= self.budget_bytes:
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
                self._mapping.release((block + 1) << BLOCK_SHIFT, length)
        for block in reversed(range(1, len(frames_of_block))):  # the lowest on top
            if not frames_of_block[block]:
                self._cold.append(block)

    def _reserve(self, block: int, frames: int) -> bool:
        """Have room for the frames of a block; warm ones are given back for it."""
        start, length = block << BLOCK_SHIFT, frames * FRAME_BYTES
        if self._mapping.reserve(start, length):
            return True
        self.trim()
        return self._mapping.reserve(start, length)

    def _cool(self, bytes_wanted: int) -> None:
        """Give warm blocks back until `bytes_wanted` are freed, or none is left."""
        target = self.resident_bytes - bytes_wanted
        while self._warm and self.resident_bytes > target:
            block = self._warm.pop()
            self.warm_bytes -= self._frames_resident[block] * FRAME_BYTES
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
        block = len(self._frames_resident)
        if block >= self._blocks_max:
            return 0
        self._frames_resident.append(0)
        return block

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks all blocks."""
        assert sum(self._frames_resident) * FRAME_BYTES == self.resident_bytes
        warm_bytes = sum(self._frames_resident[block] for block in self._warm) * FRAME_BYTES
        assert warm_bytes == self.warm_bytes
        assert warm_bytes <= WARM_BYTES_MAX
