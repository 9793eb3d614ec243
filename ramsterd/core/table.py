"""The page table: an entry of 4 bytes for each page of each object, in trees of nodes with 64 entries.

As tmem's object tree.  The lowest nodes, the **leaves**, have the entries of 64 pages; those above are
**directories**, whose entries are the numbers of nodes below.  A tree is as high as its object needs, and begins at
the object's own prefix: an object whose pages are close together is one leaf, wherever they are.

An entry of a leaf is HOLE, ZERO (a page of zeros, which needs no row), LOST, or the number of a row.  Two nodes are
**shared** by all trees and never written: node HOLE has 64 entries HOLE, node ZERO 64 entries ZERO.  As leaves they
are 64 pages of that kind; as directories they lead to themselves, so one entry that names them stands for as many
pages as it covers.  Whoever reads need not know; whoever writes has `make` copy them on the way down.

All nodes lie in one mapping, so that an *address* (leaf * 64 + place) names an entry in 32 bits, and a leaf knows
its object and first index, so that an address leads back to the handle.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from ramsterd.core.arena import MapMemory
from ramsterd.core.frames import TableMemory
from ramsterd.core.nodes import (
    FIRST_NODE,
    HOLE,
    LEAF_PAGES,
    LEAF_SHIFT,
    LOST,
    ZERO,
    Nodes,
    PageObject,
    Tally,
)
from ramsterd.core.page import INDEX_MAX

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
# What an object takes beside its nodes: a PageObject, its id, its place in the pool's dict.
OBJECT_BYTES: Final = 384
# What keeps a leaf whose pages are all taken away, also those that have not been counted yet.
PIN: Final = LEAF_PAGES + 1
# The first index, how many pages, and their leaf; or ZERO, and any number of pages that are zeros.
Piece: TypeAlias = tuple[int, int, int]


class PageTable:
    """All trees of all objects."""

    def __init__(self, map_memory: MapMemory, memory: TableMemory, nodes_max: int) -> None:
        self.nodes = Nodes(map_memory, memory, nodes_max)
        self.entries = self.nodes.entries
        # How many pages a leaf has.
        self.leaf_used = self.nodes.used_entries
        self._memory = memory

    # Looking.

    def find(self, page_object: PageObject, index: int, count: int) -> tuple[int, int]:
        """Return (address, run): the entries of the first `run` pages of a run; address 0 if they are holes.

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

        A piece is what one leaf has of that, or as many zeros as one entry stands for.  It costs some microseconds,
        however far that is.
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
        """Yield what is there of a run, in order; what was yielded may be changed before the next."""
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
        return page_object, self.nodes.base[leaf] << LEAF_SHIFT | address & _LEAF_MASK

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
        self._replace_leaf(leaf, HOLE)

    def count_pages(self, leaf: int, pages: int) -> None:
        """Note that so many entries of a leaf, which were HOLE, are pages."""
        page_object = self.nodes.page_object[leaf]
        assert page_object is not None
        self.leaf_used[leaf] += pages
        page_object.tally.pages += pages

    def count_hole(self, address: int, holes: int = 1) -> None:
        """Note that `holes` entries of the leaf at `address` became HOLE; an empty leaf goes away."""
        leaf = address >> LEAF_SHIFT
        page_object = self.nodes.page_object[leaf]
        assert page_object is not None
        page_object.tally.pages -= holes
        used = self.leaf_used[leaf] - holes
        self.leaf_used[leaf] = used
        if not used:
            self._replace_leaf(leaf, HOLE)

    # Changing.

    def make(self, page_object: PageObject, index: int, count: int) -> tuple[int, int]:
        """As `find`, but to be written: make or copy the leaf where there is none; address 0: no room for it."""
        address, run = self.find(page_object, index, count)
        if address < FIRST_ADDRESS:
            leaf = self._own(page_object, index, 0)
            address = leaf << LEAF_SHIFT | index & _LEAF_MASK if leaf else 0
            if leaf:
                self.nodes.page_object[leaf] = page_object
                self.nodes.base[leaf] = index >> LEAF_SHIFT
        return address, run

    def fill(self, page_object: PageObject, index: int, count: int, shared: int) -> int:
        """Make some pages from `index` on HOLE or ZERO, by one entry; return how many now are, or were already.

        0: there is a leaf of the object's own, which is for the caller; or less than a leaf is asked for; or there
        is no room for the directories that lead there.
        """
        level = _level_of(index, count)
        if not level:
            return 0
        if not page_object.root:
            return self._fill_first(page_object, index, level) if shared else count
        already, bits = self._what_stands(page_object, index, shared)
        if already or not bits:
            return min(count, already)
        # The node that covers so many bits is of the other kind; if that is too much, a part of it is.
        is_whole = level >= bits and page_object.prefix == index >> page_object.shift + LEAF_SHIFT
        level = min(level, bits)
        if not is_whole and not self._own(page_object, index, level):
            return 0
        page_object.tally.pages += (1 << level) if shared else -(1 << level)
        self._put_shared(page_object, self._path(page_object, index, level), shared)
        return 1 << level

    def fold(self, leaf: int) -> None:
        """If all pages of a leaf are zeros, give it back: its directory names the shared one."""
        if self.nodes.is_full_of(leaf, ZERO):
            self._replace_leaf(leaf, ZERO)

    # Trees.

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
            raised = self._levels_to_raise(page_object, index)
            return 0, page_object.shift + LEAF_SHIFT * raised
        first = page_object.prefix << page_object.shift + LEAF_SHIFT
        return (first - index if index < first else INDEX_MAX + 1), 0

    def _shared_above(self, page_object: PageObject, index: int) -> tuple[int, int]:
        """Return the first shared node on the way to an index, or its leaf; and how many bits that covers."""
        node, shift = page_object.root, page_object.shift + LEAF_SHIFT
        while node >= FIRST_NODE and shift > LEAF_SHIFT:
            shift -= LEAF_SHIFT
            node = self.entries[node << LEAF_SHIFT | index >> shift & _LEAF_MASK]
        return node, shift

    def _fill_first(self, page_object: PageObject, index: int, level: int) -> int:
        if not self._memory.take(OBJECT_BYTES):
            return 0
        page_object.root, page_object.shift = ZERO, level - LEAF_SHIFT
        page_object.prefix = index >> level
        page_object.tally.pages += 1 << level
        return 1 << level

    def _path(self, page_object: PageObject, index: int, level: int) -> list[int]:
        """Return where the entries are that lead to what covers `level` bits of an index, the root's first."""
        path, node, shift = [], page_object.root, page_object.shift
        while shift >= level:
            path.append(node << LEAF_SHIFT | index >> shift & _LEAF_MASK)
            node = self.entries[path[-1]]
            shift -= LEAF_SHIFT
        return path

    def _replace_leaf(self, leaf: int, shared: int) -> None:
        page_object, index = self.handle(leaf << LEAF_SHIFT)
        path = self._path(page_object, index, LEAF_SHIFT)
        self.nodes.free(leaf)
        self._put_shared(page_object, path, shared)

    def _put_shared(self, page_object: PageObject, path: list[int], shared: int) -> None:
        """Have the last entry of a path name a shared node; directories that name nothing else go away."""
        while path:
            place = path.pop()
            node, before = place >> LEAF_SHIFT, self.entries[place]
            self.entries[place] = shared
            self.leaf_used[node] += (shared != HOLE) - (before != HOLE)
            if not self.nodes.is_full_of(node, shared):
                return
            self.nodes.free(node)
        page_object.root = shared
        if not shared:
            self._memory.give(OBJECT_BYTES)

    def _levels_to_raise(self, page_object: PageObject, index: int) -> int:
        """Return by how much a tree must grow to cover an index."""
        levels, shift, prefix = 0, page_object.shift + LEAF_SHIFT, page_object.prefix
        while index >> shift != prefix:
            levels, shift, prefix = levels + 1, shift + LEAF_SHIFT, prefix >> LEAF_SHIFT
        return levels

    def _own(self, page_object: PageObject, index: int, level: int) -> int:
        """Make the node whose entries cover `level` bits of an index the object's own, and what leads there.

        Return the node; 0, and change nothing, if there is no room.
        """
        if not page_object.root:
            return self._own_first(page_object, index)
        raised = self._levels_to_raise(page_object, index)
        shift = page_object.shift + LEAF_SHIFT * raised
        missing = raised + (shift - level) // LEAF_SHIFT
        if not raised:
            node = page_object.root
            while node >= FIRST_NODE and shift > level:
                node = self.entries[node << LEAF_SHIFT | index >> shift & _LEAF_MASK]
                shift -= LEAF_SHIFT
            missing = (shift - level) // LEAF_SHIFT + (node < FIRST_NODE)
        nodes = self.nodes.take(missing)
        if nodes is None:
            return 0
        for _ in range(raised):
            self._raise_by(page_object, nodes.pop())
        return self._lead_down(page_object, index, level, nodes)

    def _own_first(self, page_object: PageObject, index: int) -> int:
        """Give an object its first leaf."""
        if not self._memory.take(OBJECT_BYTES):
            return 0
        nodes = self.nodes.take(1)
        if nodes is None:
            self._memory.give(OBJECT_BYTES)
            return 0
        page_object.root, page_object.shift = nodes[0], 0
        page_object.prefix = index >> LEAF_SHIFT
        self.nodes.fill(nodes[0], HOLE)
        return nodes[0]

    def _raise_by(self, page_object: PageObject, node: int) -> None:
        """Put a directory above the root."""
        self.nodes.fill(node, HOLE)
        self.entries[node << LEAF_SHIFT | page_object.prefix & _LEAF_MASK] = page_object.root
        self.leaf_used[node] = 1
        page_object.root = node
        page_object.shift += LEAF_SHIFT
        page_object.prefix >>= LEAF_SHIFT

    def _lead_down(self, page_object: PageObject, index: int, level: int, nodes: list[int]) -> int:
        """Put a node of one's own in the place of each shared one on the way down."""
        shift = page_object.shift
        if page_object.root < FIRST_NODE:
            node = nodes.pop()
            self.nodes.fill(node, page_object.root)
            page_object.root = node
        node = page_object.root
        while shift > level:
            place = node << LEAF_SHIFT | index >> shift & _LEAF_MASK
            below = self.entries[place]
            if below < FIRST_NODE:
                self.leaf_used[node] += below == HOLE
                node = nodes.pop()
                self.nodes.fill(node, below)
                self.entries[place] = node
            else:
                node = below
            shift -= LEAF_SHIFT
        assert not nodes
        return node


def _level_of(index: int, count: int) -> int:
    """Return how many bits of an index the largest node covers that begins there and has at most `count` pages.

    0: not even a leaf.
    """
    level = LEAF_SHIFT
    while not index & (1 << level) - 1 and count >= 1 << level:
        level += LEAF_SHIFT
    return level - LEAF_SHIFT
