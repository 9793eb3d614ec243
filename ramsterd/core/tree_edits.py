"""How the trees of the page table change: each time by one store, before which nothing is seen of it.

That one names a root or a node, or takes the name away.  Nodes are whole before they are named, and
free only when they are not: so a process that ends at any point leaves a tree as it was, or as it
was to be (docs/design/0015).
"""

from typing import Final

from ramsterd.core.nodes import Nodes
from ramsterd.core.objects import Objects, PageObject
from ramsterd.core.table_words import (
    FIRST_NODE,
    HOLE,
    LEAF_PAGES,
    LEAF_SHIFT,
    ZERO,
    unpack_place,
)

_LEAF_MASK: Final = LEAF_PAGES - 1
# The address of no entry of a directory: the node is the root.
_ROOT: Final = 0


class TreeEdits:
    """Makes and drops the nodes of trees.  A node stands at a shift: each of its entries covers 1 << shift pages."""

    def __init__(self, nodes: Nodes, objects: Objects) -> None:
        self._nodes, self._objects = nodes, objects
        self._entries = nodes.entries
        self._used_entries = nodes.used_entries

    def path(self, page_object: PageObject, index: int, shift: int) -> list[int]:
        """Return the addresses of the entries that lead to a page, the root's first, down to a shift."""
        path, node, covered = [], page_object.root, page_object.shift
        while covered >= shift:
            path.append(node << LEAF_SHIFT | index >> covered & _LEAF_MASK)
            node = self._entries[path[-1]]
            covered -= LEAF_SHIFT
        return path

    def levels_to_raise(self, page_object: PageObject, index: int) -> int:
        """Return by how much a tree must grow to cover an index."""
        levels, shift, prefix = 0, page_object.shift + LEAF_SHIFT, page_object.prefix
        while index >> shift != prefix:
            levels, shift, prefix = levels + 1, shift + LEAF_SHIFT, prefix >> LEAF_SHIFT
        return levels

    # Growing.

    def own(self, page_object: PageObject, index: int, shift: int) -> int:
        """Have the node on the way to a page that stands at a shift be the object's own, and what leads there.

        Return the node; 0, and change nothing, if there is no room.
        """
        if not page_object.root:
            return self._own_first(page_object, index)
        if raised := self.levels_to_raise(page_object, index):
            return self._raise(page_object, index, shift, raised)
        node, covered, address = page_object.root, page_object.shift, _ROOT
        while node >= FIRST_NODE and covered > shift:
            address = node << LEAF_SHIFT | index >> covered & _LEAF_MASK
            node = self._entries[address]
            covered -= LEAF_SHIFT
        if node >= FIRST_NODE:
            return node
        nodes = self._nodes.take(1 + (covered - shift) // LEAF_SHIFT)
        if nodes is None:
            return 0
        self._make_all(nodes, page_object, shift, index, node)
        if address == _ROOT:
            self._objects.set_root(page_object, nodes[-1], page_object.shift, page_object.prefix)
        else:
            self._entries[address] = nodes[-1]
            self._used_entries[address >> LEAF_SHIFT] += node == HOLE
        return nodes[0]

    def begin_with_zeros(self, page_object: PageObject, index: int, bits: int) -> bool:
        """Have an object without pages have zeros, as many as so many bits of an index cover.

        Return whether it has.
        """
        if not self._objects.add(page_object):
            return False
        self._objects.set_root(page_object, ZERO, bits - LEAF_SHIFT, index >> bits)
        return True

    def _own_first(self, page_object: PageObject, index: int) -> int:
        """Give an object its first leaf."""
        if not self._objects.add(page_object):
            return 0
        nodes = self._nodes.take(1)
        if nodes is None:
            self._objects.remove(page_object)
            return 0
        self._make_all(nodes, page_object, 0, index, HOLE)
        self._objects.set_root(page_object, nodes[0], 0, index >> LEAF_SHIFT)
        return nodes[0]

    def _raise(self, page_object: PageObject, index: int, shift: int, raised: int) -> int:
        """Put directories above the root, and lead down to a node at a shift that it does not cover."""
        before = page_object.shift + LEAF_SHIFT
        top = page_object.shift + LEAF_SHIFT * raised
        to_index = (top - shift) // LEAF_SHIFT
        nodes = self._nodes.take(raised + to_index)
        if nodes is None:
            return 0
        down, up = nodes[:to_index], nodes[to_index:]
        self._make_all(down, page_object, shift, index, HOLE)
        self._make_all(
            up, page_object, before, page_object.prefix << before, HOLE, page_object.root
        )
        root = up[-1]
        if down:
            self._entries[root << LEAF_SHIFT | index >> top & _LEAF_MASK] = down[-1]
            self._used_entries[root] += 1
        self._objects.set_root(page_object, root, top, index >> top + LEAF_SHIFT)
        return down[0] if down else root

    def _make_all(
        self,
        nodes: list[int],
        page_object: PageObject,
        shift: int,
        index: int,
        shared: int,
        below: int = HOLE,
    ) -> None:
        """Make nodes that lead to a page: copies of a shared one, the first at a shift, and each below the next."""
        for node in nodes:
            self._nodes.make(node, page_object, shift, index, shared, below)
            below = node
            shift += LEAF_SHIFT

    # Shrinking.

    def replace(self, page_object: PageObject, node: int, shared: int) -> None:
        """Have a shared node stand where a node stands, which goes, as do directories that name nothing else."""
        level, base = unpack_place(self._nodes.places[node])
        shift = LEAF_SHIFT * (level + 1)
        self.put_shared(page_object, self.path(page_object, base << shift, shift), shared)

    def put_shared(self, page_object: PageObject, path: list[int], shared: int) -> None:
        """Have the last entry of a path name a shared node.

        Directories that name nothing else go away.
        """
        gone: list[int] = []
        while path and self._nodes.is_full_but_for(path[-1], shared):
            gone.append(self._entries[path.pop()])
        if path:
            address = path[-1]
            before = self._entries[address]
            self._entries[address] = shared
            self._used_entries[address >> LEAF_SHIFT] += (shared != HOLE) - (before != HOLE)
        else:
            before = page_object.root
            self._objects.set_root(page_object, shared, page_object.shift, page_object.prefix)
        for node in (before, *gone):
            if node >= FIRST_NODE:
                self._nodes.free(node)
