"""The page table: an entry of 4 bytes for each page of each object, in trees of nodes with 64 entries.

As tmem's object tree.  The lowest nodes, the **leaves**, have the entries of 64 pages; those above
are **directories**, whose entries are the numbers of nodes below.  A tree is as high as its object
needs, and begins at the object's own prefix: an object whose pages are close together is one leaf,
wherever they are.

An entry of a leaf is HOLE, ZERO (a page of zeros, which needs no row), LOST, or the number of a
row.  Two nodes are **shared** by all trees and never written: node HOLE has 64 entries HOLE, node
ZERO 64 entries ZERO.  As leaves they are 64 pages of that kind; as directories they lead to
themselves, so one entry that names them stands for as many pages as it covers.  Readers need not
know; writers have `make` copy them on the way down.

All nodes lie in one mapping, so that an *address* (leaf * 64 + place) names an entry in 32 bits,
and a leaf knows its object and first index, so that an address leads back to the handle.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from ramsterd.core.arena import MapMemory
from ramsterd.core.frames import Flags, TableMemory
from ramsterd.core.nodes import Nodes
from ramsterd.core.objects import Objects, PageObject, Tally
from ramsterd.core.page import INDEX_MAX
from ramsterd.core.table_words import (
    FIRST_NODE,
    HOLE,
    LEAF_PAGES,
    LEAF_SHIFT,
    LOST,
    ZERO,
)
from ramsterd.core.tree_edits import TreeEdits

__all__ = [
    "FIRST_ADDRESS",
    "HOLE",
    "LEAF_PAGES",
    "LEAF_SHIFT",
    "LOST",
    "ZERO",
    "PageObject",
    "PageTable",
    "Piece",
    "Tally",
]

_LEAF_MASK: Final = LEAF_PAGES - 1
# Addresses below this are in a shared node: to be read only.
FIRST_ADDRESS: Final = FIRST_NODE << LEAF_SHIFT
# What keeps a leaf whose pages are all taken away, also those that have not been counted yet.
PIN: Final = LEAF_PAGES + 1
# The first index, how many pages, and their leaf; or ZERO, and any number of pages that are zeros.
Piece: TypeAlias = tuple[int, int, int]


class PageTable:
    """All trees of all objects."""

    def __init__(self, map_memory: MapMemory, memory: TableMemory, nodes_max: int) -> None:
        # An object has a node, but for the few whose pages are all zeros.
        self.objects = Objects(map_memory, memory, nodes_max)
        self.nodes = Nodes(map_memory, memory, nodes_max)
        self.entries = self.nodes.entries
        # How many pages a leaf has.
        self.leaf_used = self.nodes.used_entries
        self._edits = TreeEdits(self.nodes, self.objects)

    def resident_bytes(self) -> int:
        """Count what trees and objects take.  Walks all frames."""
        return self.objects.resident_bytes() + self.nodes.resident_bytes()

    # Looking.

    def find(self, page_object: PageObject, index: int, count: int) -> tuple[int, int]:
        """Return (address, run): the entries of the first `run` pages of a run.

        Address 0 if they are holes.

        Below FIRST_ADDRESS they are to be read only.
        """
        shift = page_object.shift
        node = page_object.root if index >> shift + LEAF_SHIFT == page_object.prefix else HOLE
        entries = self.entries
        while shift > 2 * LEAF_SHIFT:
            node = entries[node << LEAF_SHIFT | index >> shift & _LEAF_MASK]
            shift -= LEAF_SHIFT
        # The last two levels without the loop, which every get and put would pay for.
        if shift == 2 * LEAF_SHIFT:
            node = entries[node << LEAF_SHIFT | index >> 2 * LEAF_SHIFT & _LEAF_MASK]
        if shift:
            node = entries[node << LEAF_SHIFT | index >> LEAF_SHIFT & _LEAF_MASK]
        place = index & _LEAF_MASK
        run = LEAF_PAGES - place
        if count < run:  # noqa: PLR1730  min() costs as much as all the rest here
            run = count
        return (node << LEAF_SHIFT | place if node else 0), run

    def next_piece(self, page_object: PageObject, index: int, end: int) -> Piece | None:
        """Return the next pages that are there, from `index` to below `end`, or None: these are all holes.

        A piece is what one leaf has of that, or as many zeros as one entry stands for.  It costs
        some microseconds, however far that is.
        """
        shift, first = page_object.shift, page_object.prefix << page_object.shift + LEAF_SHIFT
        index = max(index, first)
        end = min(end, first + (LEAF_PAGES << shift))
        node = page_object.root
        # The (node, shift) of directories on the way down to where we are.
        above: list[tuple[int, int]] = []
        while index < end:
            if node == ZERO or (node and not shift):
                # The node covers the pages up to this.
                stop = ((index >> shift + LEAF_SHIFT) + 1) << shift + LEAF_SHIFT
                return index, min(stop, end) - index, node
            place = self.nodes.next_used(node, index >> shift & _LEAF_MASK) if node else LEAF_PAGES
            if place < LEAF_PAGES:
                start = (index >> shift + LEAF_SHIFT << LEAF_SHIFT | place) << shift
                index = max(index, start)
                above.append((node, shift))
                node = self.entries[node << LEAF_SHIFT | place]
                shift -= LEAF_SHIFT
                continue
            # Nothing more here: on with what follows this node.
            index = ((index >> shift + LEAF_SHIFT) + 1) << shift + LEAF_SHIFT
            while above:
                node, shift = above.pop()
                if index >> shift & _LEAF_MASK:
                    break
            else:
                return None
        return None

    def pieces(self, page_object: PageObject, index: int, count: int) -> Iterator[Piece]:
        """Yield what is there of a run, in order.

        What was yielded may be changed before the next.
        """
        end = index + count
        while (piece := self.next_piece(page_object, index, end)) is not None:
            yield piece
            index = piece[0] + piece[1]

    def entries_of(self, leaf: int, index: int, count: int) -> memoryview:
        """Return what a leaf has of a run that it has all of."""
        address = leaf << LEAF_SHIFT | index & _LEAF_MASK
        return self.entries[address : address + count]

    def handle(self, address: int) -> tuple[PageObject, int]:
        """Return the object and the index of the entry at `address`, in a leaf that is not shared."""
        leaf = address >> LEAF_SHIFT
        page_object = self.nodes.page_object[leaf]
        assert page_object is not None, "a row points at a leaf that is gone"
        return page_object, self.nodes.places[leaf] << LEAF_SHIFT | address & _LEAF_MASK

    @property
    def leaves_count(self) -> int:
        """One more than the highest number that a leaf may have; leaf 0 is none."""
        return len(self.leaf_used)

    def leaf_at(self, page_object: PageObject, index: int) -> int:
        """Return the leaf that has the entry of a page; HOLE or ZERO if it is a shared one."""
        return self.find(page_object, index, 1)[0] >> LEAF_SHIFT

    def first_of_leaf(self, leaf: int) -> tuple[PageObject, int]:
        """Return the object and the index of the first entry of a leaf that is not shared."""
        return self.handle(leaf << LEAF_SHIFT)

    def rows_of_leaf(self, leaf: int) -> list[tuple[int, int]]:
        """Return (place, row) of each page in a leaf that has a row."""
        first = leaf << LEAF_SHIFT
        entries = self.entries[first : first + LEAF_PAGES].tolist()
        return [(place, entry) for place, entry in enumerate(entries) if entry > LOST]

    def count_lost(self, leaf: int) -> int:
        """Return how many pages of a leaf are lost."""
        first = leaf << LEAF_SHIFT
        return self.entries[first : first + LEAF_PAGES].tolist().count(LOST)

    def is_leaf_used(self, leaf: int) -> bool:
        """Whether a node is a leaf of an object."""
        return leaf < len(self.nodes.page_object) and self.nodes.page_object[leaf] is not None

    # Counting.

    def pin(self, leaf: int) -> None:
        """Have a leaf stay, whatever pages it loses, until `unpin`; once at a time."""
        self.leaf_used[leaf] += PIN

    def unpin(self, leaf: int) -> None:
        """End `pin`; a leaf without pages goes away."""
        self.leaf_used[leaf] -= PIN
        if not self.leaf_used[leaf]:
            self.drop_empty(leaf)

    def drop_empty(self, leaf: int) -> None:
        """Forget a leaf without pages."""
        page_object = self.nodes.page_object[leaf]
        assert page_object is not None
        self._edits.replace(page_object, leaf, HOLE)

    def count_pages(self, leaf: int, pages: int) -> None:
        """Note that so many entries of a leaf, which were HOLE, are pages."""
        page_object = self.nodes.page_object[leaf]
        assert page_object is not None
        self.leaf_used[leaf] += pages
        page_object.tally.pages += pages

    def count_hole(self, address: int, holes: int = 1) -> None:
        """Note that `holes` entries of the leaf at `address` became HOLE.

        An empty leaf goes away.
        """
        leaf = address >> LEAF_SHIFT
        page_object = self.nodes.page_object[leaf]
        assert page_object is not None
        page_object.tally.pages -= holes
        used = self.leaf_used[leaf] - holes
        self.leaf_used[leaf] = used
        if not used:
            self._edits.replace(page_object, leaf, HOLE)

    # Changing.

    def make(self, page_object: PageObject, index: int, count: int) -> tuple[int, int]:
        """As `find`, but to be written: make or copy the leaf where there is none.

        Address 0: no room for it.
        """
        address, run = self.find(page_object, index, count)
        if address < FIRST_ADDRESS:
            leaf = self._edits.own(page_object, index, 0)
            address = leaf << LEAF_SHIFT | index & _LEAF_MASK if leaf else 0
        return address, run

    def fill(self, page_object: PageObject, index: int, count: int, shared: int) -> int:
        """Make some pages from `index` on HOLE or ZERO, by one entry.

        Return how many now are, or were already.

        0: there is a leaf of the object's own, which is for the caller; or less than a leaf is
            asked for; or there is no room for the directories that lead there.
        """
        level = _level_of(index, count)
        if not level:
            return 0
        if not page_object.root:
            return self._fill_first(page_object, index, level) if shared else count
        already, bits = self._what_stands(page_object, index, shared)
        if already or not bits:
            return min(count, already)
        # The node that covers so many bits is of the other kind; if that is too much, a part of it
        # is.
        is_whole = level >= bits and page_object.prefix == index >> page_object.shift + LEAF_SHIFT
        level = min(level, bits)
        if not is_whole and not self._edits.own(page_object, index, level):
            return 0
        page_object.tally.pages += (1 << level) if shared else -(1 << level)
        path = self._edits.path(page_object, index, level)
        self._edits.put_shared(page_object, path, shared)
        return 1 << level

    def fold(self, leaf: int) -> None:
        """If all pages of a leaf are zeros, give it back: its directory names the shared one."""
        if self.nodes.is_full_of(leaf, ZERO):
            page_object = self.nodes.page_object[leaf]
            assert page_object is not None
            self._edits.replace(page_object, leaf, ZERO)

    def adopt(
        self,
        page_objects: Sequence[PageObject],
        *,
        nodes_used: Flags,
        used_entries: Flags,
        leaves: Iterable[int],
    ) -> None:
        """Go on with the trees that an earlier process left, and count what leaves have.

        A node without entries was being filled, or dropped, when it ended: it goes, and with it an
        object that has no other.  See core.adoption.
        """
        self.objects.adopt(page_objects)
        self.nodes.adopt(nodes_used, used_entries)
        by_number = {each.number: each for each in page_objects}
        for leaf in leaves:
            page_object = self.nodes.page_object[leaf] = by_number[self.nodes.objects[leaf]]
            page_object.tally.pages += self.leaf_used[leaf]
            page_object.tally.lost_total += self.count_lost(leaf)
        for node in self.nodes.empty():
            self._edits.replace(by_number[self.nodes.objects[node]], node, HOLE)

    def check_invariants(self) -> None:
        """Assert what must be true between calls."""
        self.objects.check_invariants()
        self.nodes.check_invariants()

    def _what_stands(self, page_object: PageObject, index: int, shared: int) -> tuple[int, int]:
        """Return (pages from an index on that are of a kind already, 0), or (0, bits that one of the other covers).

        (0, 0): a leaf of the object's own stands there.
        """
        if index >> page_object.shift + LEAF_SHIFT == page_object.prefix:
            node, bits = self._shared_above(page_object, index)
            if node == shared:
                return (1 << bits) - (index & (1 << bits) - 1), 0
            return 0, (bits if node < FIRST_NODE else 0)
        if shared:
            raised = self._edits.levels_to_raise(page_object, index)
            return 0, page_object.shift + LEAF_SHIFT * raised
        first = page_object.prefix << page_object.shift + LEAF_SHIFT
        return (first - index if index < first else INDEX_MAX + 1), 0

    def _shared_above(self, page_object: PageObject, index: int) -> tuple[int, int]:
        """Return the first shared node on the way to an index, or its leaf.

        And how many bits that covers.
        """
        node, shift = page_object.root, page_object.shift + LEAF_SHIFT
        while node >= FIRST_NODE and shift > LEAF_SHIFT:
            shift -= LEAF_SHIFT
            node = self.entries[node << LEAF_SHIFT | index >> shift & _LEAF_MASK]
        return node, shift

    def _fill_first(self, page_object: PageObject, index: int, level: int) -> int:
        if not self._edits.begin_with_zeros(page_object, index, level):
            return 0
        page_object.tally.pages += 1 << level
        return 1 << level


def _level_of(index: int, count: int) -> int:
    """Return how many bits of an index the largest node covers that begins there and has at most `count` pages.

    0: not even a leaf.
    """
    level = LEAF_SHIFT
    while not index & (1 << level) - 1 and count >= 1 << level:
        level += LEAF_SHIFT
    return level - LEAF_SHIFT
