"""Redo: the one overwrite that is under way, written down whole before any of it is done.

A row that gets a new version is several stores, and so is a zpage that is put where its old version
stands.  Between two of them the process may end, and its memory be kept (docs/design/0015).  So all
of it is written here first, then the number of the row, which is the commit; then it is done, and
the number is 0 again.

    row number u64 (0: none is under way) | length of the zpage u64 | 0 u64 x 2 | row 32s | zpage

The length is 0 if the new zpage is where it belongs already: only the row is missing.  `core.hot`
has the stores in its loop; here is the mapping, and what an attach does again.
"""

import errno
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory
from ramsterd.core.block_columns import unpack_block
from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES
from ramsterd.core.size_classes import (
    BLOCK_SHIFT,
    CHUNK_BYTES,
    CLASSES,
    SLOT_MASK,
    SLOT_SHIFT,
    SLOTS_OF_CLASS,
)

# Words.
REDO_COMMIT: Final = 0
REDO_ZBYTES: Final = 1
# Bytes.
REDO_ROW: Final = 32
REDO_ZPAGE: Final = REDO_ROW + ROW_BYTES
REDO_BYTES: Final = 2 * FRAME_BYTES

assert REDO_ZPAGE + PAGE_BYTES <= REDO_BYTES


class Redo:
    """The mapping, as core.hot uses it."""

    def __init__(self, map_memory: MapMemory) -> None:
        mapping = map_memory("redo", REDO_BYTES)
        if mapping.needs_reserve and not mapping.reserve(0, REDO_BYTES):
            raise OSError(errno.ENOSPC, "no room for the record of an overwrite")
        self.view = mapping.view
        self.words = self.view.cast("Q")
        # The record without its commit: the row, and room for the zpage.
        self.row = self.view[REDO_ROW:REDO_ZPAGE]
        self.zpage = self.view[REDO_ZPAGE : REDO_ZPAGE + PAGE_BYTES]


def replay(redo: memoryview, rows: memoryview, arena: memoryview, blocks: memoryview) -> int:
    """Do what was under way again; return its row, 0 if there was nothing.

    That it was done in part, or has been done again before, makes no difference.  A record that
    can't be true is left out: what it is about is judged as it stands.

    Args:
        redo: The bytes of that mapping.
        rows: Those of the rows.
        arena: Those of the arena.
        blocks: The words of blocks.
    """
    words = redo.cast("Q")
    row, zbytes = words[REDO_COMMIT], words[REDO_ZBYTES]
    if not row:
        return 0
    start = _place_of_zpage(redo, zbytes, arena, blocks) if zbytes else 0
    if start is None or not FIRST_ROW <= row < len(rows) // ROW_BYTES:
        row = 0
    else:
        arena[start : start + zbytes] = redo[REDO_ZPAGE : REDO_ZPAGE + zbytes]
        rows[row * ROW_BYTES : (row + 1) * ROW_BYTES] = redo[REDO_ROW:REDO_ZPAGE]
    words[REDO_COMMIT] = 0
    return row


def _place_of_zpage(
    redo: memoryview, zbytes: int, arena: memoryview, blocks: memoryview
) -> int | None:
    """Return where in the arena the zpage of a record belongs; None if there is no such slot."""
    _, _, _, location, packed, *_ = ROW.unpack_from(redo, REDO_ROW)
    block, slot = location >> SLOT_SHIFT, location & SLOT_MASK
    if zbytes != packed & ZPAGE_BYTES_MASK or not 0 < block < len(blocks):
        return None
    _, _, chunks = unpack_block(blocks[block])
    if chunks >= CLASSES or slot >= SLOTS_OF_CLASS[chunks] or zbytes > chunks * CHUNK_BYTES:
        return None
    start = (block << BLOCK_SHIFT) + slot * chunks * CHUNK_BYTES
    return start if start + zbytes <= len(arena) else None
