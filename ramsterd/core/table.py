"""The page table: an entry of 4 bytes for each page of each object, in leaves of 64.

As tmem's object tree: an object's pages are found through small arrays that exist only where there are
pages.  All leaves lie in one mapping, so that an *address* (leaf * 64 + place) names an entry in 32 bits,
and a leaf knows its object and first index, so that an address leads back to the handle.

An entry is HOLE, ZERO (a page of zeros, which needs no row), LOST, or the number of a row.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ramsterd.core.arena import MapMemory
from ramsterd.core.page import PoolId

HOLE: Final = 0
ZERO: Final = 1
# The last copy is gone, or a put that would have replaced it was refused.  Reads fail until put or flush.
LOST: Final = 2

LEAF_SHIFT: Final = 6
LEAF_PAGES: Final = 1 << LEAF_SHIFT
_LEAF_MASK: Final = LEAF_PAGES - 1
_ENTRY_BYTES: Final = 4


@dataclass(slots=True, eq=False)
class PageObject:
    """A group of pages inside a pool: from `index >> 6` to the number of a leaf."""

    pool: PoolId
    object_id: bytes
    leaves: dict[int, int] = field(default_factory=dict)

    def bases(self, index: int, count: int) -> Iterable[int]:
        """Return `index >> 6` of each leaf that a run touches, in order, by whichever way is shorter."""
        first, last = index >> LEAF_SHIFT, (index + count - 1) >> LEAF_SHIFT
        if last - first < len(self.leaves):
            return (base for base in range(first, last + 1) if base in self.leaves)
        return sorted(base for base in self.leaves if first <= base <= last)


class PageTable:
    """All entries of all objects."""

    def __init__(self, map_memory: MapMemory, leaves_max: int) -> None:
        self._mapping = map_memory("entries", leaves_max * LEAF_PAGES * _ENTRY_BYTES)
        self.entries = self._mapping.view.cast("I")
        self.leaves_max = leaves_max
        # How many were ever given back.
        self.leaves_freed = 0
        # Leaf 0 stays empty: it stands for every leaf that does not exist.
        self.leaf_used = array("B", [0])
        self._leaf_object: list[PageObject | None] = [None]
        self._leaf_base = array("Q", [0])
        self._free_leaves = array("I")

    @property
    def leaves_used(self) -> int:
        """How many leaves there are."""
        return len(self._leaf_object) - 1 - len(self._free_leaves)

    def find(self, page_object: PageObject, index: int, count: int) -> tuple[int, int]:
        """Return (address, run): the entries of the first `run` pages of a run; address 0 if they are holes."""
        place = index & _LEAF_MASK
        run = min(count, LEAF_PAGES - place)
        leaf = page_object.leaves.get(index >> LEAF_SHIFT, 0)
        return (leaf << LEAF_SHIFT | place if leaf else 0), run

    def make(self, page_object: PageObject, index: int, count: int) -> tuple[int, int]:
        """As `find`, but make the leaf where there is none; address 0 if `leaves_max` are in use."""
        address, run = self.find(page_object, index, count)
        if address:
            return address, run
        leaf = self._alloc_leaf(page_object, index >> LEAF_SHIFT)
        return (leaf << LEAF_SHIFT | index & _LEAF_MASK if leaf else 0), run

    def count_hole(self, address: int, holes: int = 1) -> None:
        """Note that `holes` entries of the leaf at `address` became HOLE; an empty leaf goes away."""
        leaf = address >> LEAF_SHIFT
        used = self.leaf_used[leaf] - holes
        self.leaf_used[leaf] = used
        if not used:
            self.drop_empty_leaf(leaf)

    def drop_empty_leaf(self, leaf: int) -> None:
        """Forget a leaf without pages."""
        page_object = self._leaf_object[leaf]
        assert page_object is not None
        assert self.leaf_used[leaf] == 0
        del page_object.leaves[self._leaf_base[leaf]]
        self._leaf_object[leaf] = None
        self._free_leaves.append(leaf)
        self.leaves_freed += 1

    def is_leaf_used(self, leaf: int) -> bool:
        """Whether a leaf belongs to an object."""
        return self._leaf_object[leaf] is not None

    def handle(self, address: int) -> tuple[PageObject, int]:
        """Return the object and the index of the entry at `address`."""
        leaf = address >> LEAF_SHIFT
        page_object = self._leaf_object[leaf]
        assert page_object is not None, "a row points at a leaf that is gone"
        return page_object, self._leaf_base[leaf] << LEAF_SHIFT | address & _LEAF_MASK

    def _alloc_leaf(self, page_object: PageObject, base: int) -> int:
        if self._free_leaves:
            leaf = self._free_leaves.pop()
            self._leaf_object[leaf] = page_object
            self._leaf_base[leaf] = base
        else:
            leaf = len(self._leaf_object)
            if leaf >= self.leaves_max:
                return 0
            self._leaf_object.append(page_object)
            self._leaf_base.append(base)
            self.leaf_used.append(0)
        page_object.leaves[base] = leaf
        return leaf
