"""The objects of all pools: groups of pages, each with the root of a tree.

An object has a number, and a record of 64 bytes in a mapping of its own (core.table_words), as long
as it has pages.  The record's root word says what the object has: while it is 0, nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory
from ramsterd.core.frames import FramedItems, TableMemory
from ramsterd.core.page import PoolId
from ramsterd.core.table_words import (
    ENTRY_BYTES,
    FIRST_OBJECT,
    HOLE,
    LEAF_SHIFT,
    OBJECT,
    OBJECT_BYTES,
    OBJECT_LINK,
    OBJECT_POOL,
    OBJECT_ROOT,
    WORD_BYTES,
    ZERO,
    pack_root_of_zeros,
)

# What an object takes beside its nodes and its record: a PageObject, its id, its place in the
# pool's dict.
OBJECT_HEAP_BYTES: Final = 384
_FRAME_OBJECTS: Final = FRAME_BYTES // OBJECT_BYTES
_WORDS_PER_OBJECT: Final = OBJECT_BYTES // WORD_BYTES
_HALVES_PER_OBJECT: Final = OBJECT_BYTES // ENTRY_BYTES


@dataclass(slots=True, eq=False)
class Tally:
    """How many pages the objects of a pool have together, and how many of them may be lost."""

    pages: int = 0
    # Pages that were lost, ever; and how many of these are known to be put anew or flushed.
    lost_total: int = 0
    settled_total: int = 0

    @property
    def lost(self) -> int:
        """Return how many pages are lost at most: what was put over a lost page is not counted one by one."""
        return min(self.pages, self.lost_total - self.settled_total)


@dataclass(slots=True, eq=False)
class PageObject:
    """A group of pages inside a pool, and the root of their tree."""

    pool: PoolId
    object_id: bytes
    tally: Tally = field(default_factory=Tally)
    # HOLE: there are no pages.
    root: int = HOLE
    # An entry of the root covers 1 << shift pages; 0: the root is a leaf.
    shift: int = 0
    # The root covers the pages whose index >> shift + LEAF_SHIFT is this.
    prefix: int = 0
    # That of its record; 0 while there is none.
    number: int = 0

    @property
    def root_word(self) -> int:
        """Return what its record says of the root."""
        if self.root == ZERO:
            return pack_root_of_zeros(self.shift // LEAF_SHIFT, self.prefix)
        return self.root


class Objects:
    """The records of all objects with pages."""

    def __init__(self, map_memory: MapMemory, memory: TableMemory, objects_max: int) -> None:
        mapping = map_memory("objects", objects_max * OBJECT_BYTES)
        self._view = mapping.view
        self._words = mapping.view.cast("Q")
        self._halves = mapping.view.cast("I")
        self._memory = memory
        self._items = FramedItems(
            mapping,
            memory,
            frame_shift=_FRAME_OBJECTS.bit_length() - 1,
            items_max=objects_max,
            first_item=FIRST_OBJECT,
            link_shift=_HALVES_PER_OBJECT.bit_length() - 1,
            link_place=OBJECT_LINK,
        )

    @property
    def used(self) -> int:
        """How many objects have pages."""
        return self._items.used

    def resident_bytes(self) -> int:
        """Count what objects take.  Walks all frames."""
        return self._items.resident_bytes() + OBJECT_HEAP_BYTES * self.used

    def add(self, page_object: PageObject) -> bool:
        """Give an object a record, without pages yet; return whether there was room for it."""
        if not self._memory.take(OBJECT_HEAP_BYTES):
            return False
        number = self._items.alloc()
        if not number:
            self._memory.give(OBJECT_HEAP_BYTES)
            return False
        object_id = page_object.object_id
        OBJECT.pack_into(
            self._view, number * OBJECT_BYTES, 0, page_object.pool, len(object_id), object_id, 0
        )
        page_object.number = number
        return True

    def set_root(self, page_object: PageObject, root: int, shift: int, prefix: int) -> None:
        """All pages of an object are what a tree has from now on, in one store.

        HOLE: it has none, and no record.
        """
        page_object.root, page_object.shift, page_object.prefix = root, shift, prefix
        at = page_object.number * _WORDS_PER_OBJECT + OBJECT_ROOT
        self._words[at] = page_object.root_word
        if not root:
            self.remove(page_object)

    def remove(self, page_object: PageObject) -> None:
        """Free the record of an object without pages."""
        number, page_object.number = page_object.number, 0
        self._halves[number * _HALVES_PER_OBJECT + OBJECT_POOL] = 0
        self._items.free(number)
        self._memory.give(OBJECT_HEAP_BYTES)

    def record(self, number: int) -> tuple[int, int, bytes]:
        """Return the root word, pool and id of an object as they stand in its record."""
        root, pool, id_bytes, object_id, _ = OBJECT.unpack_from(self._view, number * OBJECT_BYTES)
        return root, pool, object_id[:id_bytes]

    def adopt(self, page_objects: Iterable[PageObject]) -> None:
        """Go on with these objects, which an earlier process left; see `FramedItems.adopt`."""
        numbers = [each.number for each in page_objects]
        used = bytearray(1 + max(numbers, default=0))
        for number in numbers:
            used[number] = 1
        self._items.adopt(used)
        self._memory.adopt(OBJECT_HEAP_BYTES * len(numbers))

    def check_invariants(self) -> None:
        """Assert what must be true between calls."""
        self._items.check_invariants()
