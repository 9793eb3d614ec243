"""Size classes of blocks, and how locations are numbered.

A class is a number of chunks, which each of its slots has.  A *location* is block * 32 + slot; 0 is
none, because block 0 is never used.  Blocks stand 64 KiB apart in the arena, and use only the
frames that their class wants.
"""

from typing import Final

from ramsterd.core.arena import FRAME_BYTES
from ramsterd.core.page import PAGE_BYTES

CHUNK_BYTES: Final = 64
CHUNKS_PER_PAGE: Final = PAGE_BYTES // CHUNK_BYTES
CLASSES: Final = CHUNKS_PER_PAGE + 1
BLOCK_SHIFT: Final = 16
BLOCK_STRIDE_BYTES: Final = 1 << BLOCK_SHIFT
SLOT_SHIFT: Final = 5
SLOTS_MAX: Final = 1 << SLOT_SHIFT
SLOT_MASK: Final = SLOTS_MAX - 1
# Fewer slots would make blocks cheap to fill but their descriptors dear; 16 raw pages just fit the
# stride.
SLOTS_MIN: Final = 16

assert PAGE_BYTES % CHUNK_BYTES == 0
assert SLOTS_MIN * PAGE_BYTES <= BLOCK_STRIDE_BYTES


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
FULL_MASK: Final = [(1 << slots) - 1 for slots in SLOTS_OF_CLASS]

assert min(SLOTS_OF_CLASS[1:]) >= SLOTS_MIN
