"""The compiled loops over the pages of others, as core.foreign_pages calls them (see core.twin).

They serve what is everyday, or say how far they came; a page that needs a leaf, a row, a slot or an
eviction is for Python, and so is a range with anything but pages of its owner that are whole.
"""

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ramsterd.core.lru import Links
from ramsterd.core.pools import Pool
from ramsterd.core.replace import PIECE_UNITS
from ramsterd.core.size_classes import CLASSES
from ramsterd.core.table import PageObject
from ramsterd.core.versions import Versions

if TYPE_CHECKING:
    from ramsterd.compiled._loops import Loops

# Numbers side by side in the order of this machine: of a frame's table, mostly.
Column: TypeAlias = "memoryview[int] | array[int]"
# To look at a range, beside what is done for its pages.
RANGE_UNITS: Final = 1 + PIECE_UNITS
# What a zpage lacks that has no row: as a class of slots there is none.
WANTS_ROW: Final = -1
_NO_TREE: Final = 0, 0, 0


class Room(NamedTuple):
    """What room.c changes; a family's, but for the rows."""

    stacks: list[list[int]]
    open_block: list[int]
    # Of blocks with free slots, and which is the first list of the family.
    blocks: Links
    first_list: int
    # Of each frame of rows how many are not free, and the first that is; those used in part; the
    # open one.
    frames: "tuple[array[int], array[int]]"
    partial: Links
    open_frame: int


class HoldTwin:
    """The compiled loops of a holder."""

    def __init__(self, versions: Versions, loops: "Loops") -> None:
        self._versions = versions
        self._loops = loops

    def put(
        self,
        pool: Pool,
        page_object: PageObject,
        columns: tuple[Column, Column, Column],
        body: memoryview,
        stored: int,
        start: int,
    ) -> tuple[int, int]:
        """Keep zpages from the one at `stored` on, which starts at `start`; return up to which, and where that starts."""
        versions = self._versions
        while page_object.root:
            done, start, kept, zbytes, wanted, open_frame, handed_out = self._loops.put_zpages(
                page_object.root, page_object.shift, page_object.prefix, *columns, body,
                stored, start, self.room(pool),
            )  # fmt: skip
            stored += done
            versions.rows.note_refilled(open_frame, handed_out)
            versions.account(pool.family, kept, zbytes)
            page_object.tally.pages += kept
            if not (wanted and self._find(pool, wanted)):
                break
        return stored, start

    def room(self, pool: Pool) -> Room:
        """Return where slots and rows are found, and go when they are free."""
        zbud, family = self._versions.zbud, pool.family
        open_block, blocks = zbud.lists_of_room
        frames = self._versions.rows.frames()
        return Room(zbud.stacks(family), open_block[family], blocks, family * CLASSES, *frames)

    def _find(self, pool: Pool, wanted: int) -> bool:
        """Have what the next zpage lacks, a row or a slot of a class, if that takes no eviction."""
        if wanted == WANTS_ROW:
            return self._versions.rows.refill()
        return self._versions.zbud.fill_stack(pool.family, wanted)

    def get(
        self, first: PageObject | None, second: PageObject | None, serials: Column
    ) -> tuple[bytes, bytes] | None:
        """Return the table and the body that GET_PAGES is answered, of pages in one object or another; None if that is for Python."""
        return self._loops.get_zpages(*_tree(first), *_tree(second), serials)

    def drop(
        self,
        pool: Pool,
        page_object: PageObject,
        firsts: Column,
        lasts: Column,
        done: int,
        below: int,
        units_max: int,
    ) -> int:
        """Drop what ranges name from the one at `done` on, for about so many units; return how many ranges."""
        versions = self._versions
        rows, zbud = versions.rows, versions.zbud
        ranges, pages, zbytes, rows_freed, rows_left, slots_left, leaves_left = self._loops.drop(
            page_object.root, page_object.shift, page_object.prefix, firsts, lasts, done, below,
            RANGE_UNITS, units_max, self.room(pool),
        )  # fmt: skip
        versions.account(pool.family, -pages, -zbytes)
        page_object.tally.pages -= pages
        versions.counters.flushed += pages
        versions.work["flush"] += ranges * RANGE_UNITS + pages
        rows.freed += rows_freed
        for row in rows_left:
            rows.free(row)
        if pages:
            zbud.free_many(slots_left)
        for leaf in leaves_left:
            versions.table.drop_empty(leaf)
        versions.forget_if_empty(pool, page_object)
        return ranges


def _tree(page_object: PageObject | None) -> tuple[int, int, int]:
    if page_object is None:
        return _NO_TREE
    return page_object.root, page_object.shift, page_object.prefix
