"""The row table: 32 bytes for each stored page, wherever the page is.

A row lives from the put to the flush of one version of one page.  While the page moves between this node and
its holders only `location` and the holders change.  Layout of a row, native byte order:

    serial u64 | checksum u64 | address u32 | location u32 | packed u16 | holder u16 * 3

`serial` 0 marks a free row, whose address field links to the next free one of its frame (core.frames).
`location` 0 means that the zpage is not here.  `packed` is the codec and the length (core.codec).  A holder is a
holder id (remote.holders), 0 for none after the last.  Rows are columns over one mapping: the loops of core.hot use
`ROW` and the view directly.
"""

import struct
from typing import Final

from config.limits import COPIES_MAX
from ramsterd.core.arena import FRAME_BYTES, MapMemory
from ramsterd.core.frames import FramedItems, TableMemory

ROW: Final = struct.Struct("=QQIIHHHH")
ROW_BYTES: Final = 32
NO_HOLDER: Final = 0
FRAME_ROWS: Final = FRAME_BYTES // ROW_BYTES
# Rows 0 to 2 would look like the entries HOLE, ZERO and LOST (core.table).
FIRST_ROW: Final = 3

# Where fields stand, in units of the cast view: `words[row * 4 + SERIAL]`.
WORDS_PER_ROW: Final = 4
SERIAL: Final = 0
CHECKSUM: Final = 1
HALVES_PER_ROW: Final = 8
ADDRESS: Final = 4
LOCATION: Final = 5
QUARTERS_PER_ROW: Final = 16
PACKED: Final = 12
HOLDERS: Final = 13

assert ROW.size == ROW_BYTES
assert HOLDERS + COPIES_MAX == QUARTERS_PER_ROW


class Rows(FramedItems):
    """Allocates rows; knows nothing of what they mean."""

    def __init__(self, map_memory: MapMemory, memory: TableMemory, rows_max: int) -> None:
        mapping = map_memory("rows", rows_max * ROW_BYTES)
        self.view = mapping.view
        self.words = self.view.cast("Q")
        self.halves = self.view.cast("I")
        self.quarters = self.view.cast("H")
        self.rows_max = rows_max
        super().__init__(
            mapping,
            memory,
            frame_shift=FRAME_ROWS.bit_length() - 1,
            items_max=rows_max,
            first_item=FIRST_ROW,
            link_shift=HALVES_PER_ROW.bit_length() - 1,
            link_place=ADDRESS,
        )

    def free(self, item: int) -> None:
        """Give a row back."""
        self.words[item * WORDS_PER_ROW + SERIAL] = 0
        FramedItems.free(self, item)

    def serial(self, row: int) -> int:
        """Return the serial of a row; 0 if it is free."""
        return self.words[row * WORDS_PER_ROW + SERIAL]

    def location(self, row: int) -> int:
        """Return where the zpage is in the arena; 0 if it is not."""
        return self.halves[row * HALVES_PER_ROW + LOCATION]

    def holders(self, row: int) -> list[int]:
        """Return the holder ids of a row."""
        start = row * QUARTERS_PER_ROW + HOLDERS
        return [holder for holder in self.quarters[start : start + COPIES_MAX] if holder]

    def remove_holder(self, row: int, holder: int) -> None:
        """Forget a holder of a row; the first holder is 0 only if there is none."""
        start = row * QUARTERS_PER_ROW + HOLDERS
        left = [each for each in self.holders(row) if each != holder]
        for place in range(COPIES_MAX):
            self.quarters[start + place] = left[place] if place < len(left) else 0
