"""The row table: 32 bytes for each stored page, wherever the page is.

A row lives from the put to the flush of one version of one page.  While the page moves between this
node and its holders only `location` and the holders change.  Layout of a row, native byte order:

    serial u64 | checksum u64 | address u32 | location u32 | packed u16 | holder u16 * 3

`serial` 0 marks a free row, whose address field links to the next free one of its frame
(core.frames).  `location` 0 means that the zpage is not here.  `packed` is the codec and the length
(core.codec).  A holder is a holder id (remote.holders), 0 for none after the last.  Rows are
columns over one mapping.  A caller that wants a field asks for it by name; the loops of core that
read or write whole rows use `ROW` and the view directly.  Nobody outside core does either
(tests/repository).
"""

import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
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

# Where fields stand, in units of the cast view: `_words[row * 4 + SERIAL]`.
WORDS_PER_ROW: Final = 4
SERIAL: Final = 0
CHECKSUM: Final = 1
HALVES_PER_ROW: Final = 8
ADDRESS: Final = 4
LOCATION: Final = 5
QUARTERS_PER_ROW: Final = 16
PACKED: Final = 12
HOLDERS: Final = 13
# `packed` and all holders are one word: a store of it never leaves a holder named twice, or by no
# field.
TAIL: Final = 3
_TAIL: Final = struct.Struct("=4H")

assert ROW.size == ROW_BYTES
assert HOLDERS + COPIES_MAX == QUARTERS_PER_ROW
assert TAIL * QUARTERS_PER_ROW == PACKED * WORDS_PER_ROW


def pack_tail(packed: int, holders: Sequence[int]) -> int:
    """Return the last word of a row."""
    none = (NO_HOLDER,) * (COPIES_MAX - len(holders))
    return int.from_bytes(_TAIL.pack(packed, *holders, *none), sys.byteorder)


class Rows(FramedItems):
    """Allocates rows; knows nothing of what they mean."""

    def __init__(self, map_memory: MapMemory, memory: TableMemory, rows_max: int) -> None:
        mapping = map_memory("rows", rows_max * ROW_BYTES)
        self.view = mapping.view
        self._words = self.view.cast("Q")
        self._halves = self.view.cast("I")
        self._quarters = self.view.cast("H")
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
        self._words[item * WORDS_PER_ROW + SERIAL] = 0
        FramedItems.free(self, item)

    # Columns.

    def serial(self, row: int) -> int:
        """Return the serial of a row; 0 if it is free."""
        return self._words[row * WORDS_PER_ROW + SERIAL]

    def checksum(self, row: int) -> int:
        """Return the checksum of a row's page."""
        return self._words[row * WORDS_PER_ROW + CHECKSUM]

    def address(self, row: int) -> int:
        """Return where the entry of a row's page is in the page table."""
        return self._halves[row * HALVES_PER_ROW + ADDRESS]

    def location(self, row: int) -> int:
        """Return where the zpage is in the arena; 0 if it is not."""
        return self._halves[row * HALVES_PER_ROW + LOCATION]

    def set_location(self, row: int, location: int) -> None:
        """The zpage is somewhere else in the arena from now on; 0: it is not there."""
        self._halves[row * HALVES_PER_ROW + LOCATION] = location

    def packed(self, row: int) -> int:
        """Return the codec and length of a row."""
        return self._quarters[row * QUARTERS_PER_ROW + PACKED]

    # Holders.

    def first_holder(self, row: int) -> int:
        """Return a holder id of a row, or `NO_HOLDER` if it has none."""
        return self._quarters[row * QUARTERS_PER_ROW + HOLDERS]

    def has_several_holders(self, row: int) -> bool:
        """Whether a row has more than one holder."""
        return self._quarters[row * QUARTERS_PER_ROW + HOLDERS + 1] != NO_HOLDER

    def holders(self, row: int) -> list[int]:
        """Return the holder ids of a row."""
        start = row * QUARTERS_PER_ROW + HOLDERS
        return [holder for holder in self._quarters[start : start + COPIES_MAX] if holder]

    def is_held_by(self, row: int, serial: int, holder: int) -> bool:
        """Whether a row still has the version that a holder was sent, and names that holder."""
        return self.serial(row) == serial and holder in self.holders(row)

    def set_holders(self, row: int, holders: Sequence[int]) -> None:
        """The page of a row is kept by these from now on, and by nobody else; in one store."""
        self._words[row * WORDS_PER_ROW + TAIL] = pack_tail(self.packed(row), holders)

    def remove_holder(self, row: int, holder: int) -> None:
        """Forget a holder of a row; the first holder is 0 only if there is none."""
        self.set_holders(row, [each for each in self.holders(row) if each != holder])

    # Many rows.

    def serials(self, rows: Iterable[int]) -> list[int]:
        """Return the serial of each row."""
        words = self._words
        return [words[row * WORDS_PER_ROW + SERIAL] for row in rows]

    def addresses(self, rows: Iterable[int]) -> list[int]:
        """Return where the entry of each row's page is in the page table."""
        halves = self._halves
        return [halves[row * HALVES_PER_ROW + ADDRESS] for row in rows]

    def are_elsewhere(self, rows: Sequence[int], serials: list[int]) -> bool:
        """Whether rows have these serials, and none of them has its zpage here."""
        return self.serials(rows) == serials and not any(map(self.location, rows))

    def whereabouts(self, rows: Iterable[int]) -> list[tuple[int, tuple[int, ...]]]:
        """Return the serial and the holders of each row; behind the last, `NO_HOLDER`."""
        unpack, view = ROW.unpack_from, self.view
        fields = [unpack(view, row * ROW_BYTES) for row in rows]
        return [(each[0], each[5:]) for each in fields]

    def live(self) -> Iterator[int]:
        """Yield the rows in use.  Walks all of them."""
        for first, stop in self.live_spans(FIRST_ROW, self.high):
            yield from (row for row in range(first, stop) if self.serial(row))

    def held_by(self, holders: Iterable[int], first_row: int, end: int) -> list[int]:
        """Return the rows from `first_row` to below `end` that name one of these holders.

        Whole columns are searched at once, so that rows which name none cost 40 ns.
        """
        found = set[int]()
        for first, stop in self.live_spans(max(first_row, FIRST_ROW), end):
            for place in range(COPIES_MAX):
                start = first * QUARTERS_PER_ROW + HOLDERS + place
                column = self._quarters[start : stop * QUARTERS_PER_ROW : QUARTERS_PER_ROW]
                values = column.tolist()
                for holder in holders:
                    at = -1
                    for _ in range(values.count(holder)):
                        at = values.index(holder, at + 1)
                        found.add(first + at)
        return sorted(row for row in found if self.serial(row))
