"""Which nodes the page tables of a kept memory reach.  Pure.

Each object's tree is walked from its root word.  A node has a record of its own (object, level,
base), and counts only if the place that names it is the one that its record says: so no node is
reached twice, and a walk ends.  What no root reaches was being made or dropped when the process
ended, and is free.

A record that contradicts its parent is nothing that a crash leaves: then nobody knows what the
object had, and its pool is lost as a whole.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ramsterd.core.adoption import FoundObject, FoundTable
from ramsterd.core.family import Family
from ramsterd.core.frames import Flags
from ramsterd.core.page import INDEX_MAX, OBJECT_ID_BYTES_MAX
from ramsterd.core.table_words import (
    FIRST_NODE,
    HOLE,
    LEAF_PAGES,
    LEAF_SHIFT,
    LEVELS,
    NODE_OBJECT,
    NODE_PLACE,
    NODE_WORDS,
    OBJECT,
    OBJECT_BYTES,
    ZERO,
    is_root_of_zeros,
    pack_place,
    unpack_place,
    unpack_root,
)
from ramsterd.kept.layout import Span
from ramsterd.kept.names import KeptPool

# What a node is, in `Trees.kinds`; else it is a leaf, of a pool of that family.
NOT_REACHED: Final = 255
DIRECTORY: Final = 254
assert max(Family) < DIRECTORY
_IS_REACHED: Final = bytes(kind != NOT_REACHED for kind in range(256))


@dataclass(slots=True)
class Trees:
    """What the walk found; columns by node."""

    kinds: bytearray
    # Of directories: how many entries are not HOLE.
    used_entries: bytearray
    # Of leaves: the index of the first page.
    first_index: "array[int]"
    objects: list[FoundObject] = field(default_factory=list)
    # Pools that are lost, and why.
    damaged: dict[int, str] = field(default_factory=dict)

    def leaves(self) -> list[int]:
        """Return the leaves."""
        return [node for node, kind in enumerate(self.kinds) if kind < DIRECTORY]

    def table(self, leaf_used: Flags) -> FoundTable:
        """Return the same as core adopts it, with how many entries of each leaf are not HOLE."""
        leaves, used_entries = self.leaves(), bytearray(self.used_entries)
        for leaf in leaves:
            used_entries[leaf] = leaf_used[leaf]
        return FoundTable(
            objects=self.objects,
            nodes_used=self.kinds.translate(_IS_REACHED),
            used_entries=used_entries,
            leaves=leaves,
        )


class _DamagedTree(Exception):
    """The message says what is wrong."""


def walk_trees(
    objects: memoryview,
    nodes: memoryview,
    entries: memoryview,
    pools: Mapping[int, KeptPool],
    *,
    object_spans: Iterable[Span],
    nodes_count: int,
) -> Trees:
    """Walk the trees of all objects.

    Args:
        objects: The items of `layout.OBJECT`.
        nodes: The words of nodes, as 64-bit words.
        entries: The page table, as 32-bit words.
        pools: Whose objects count.  All others are being dropped.
        object_spans: The objects whose memory is there.
        nodes_count: Node numbers are below this.
    """
    walk = _Walk(nodes, entries, nodes_count)
    for number in (each for first, stop in object_spans for each in range(first, stop)):
        root, pool_number, id_bytes, object_id, _ = OBJECT.unpack_from(
            objects, number * OBJECT_BYTES
        )
        if not root:
            continue
        pool = pools.get(pool_number)
        if pool is None:
            # A pool is noted before its first object is made, and until its last is gone.
            problem = f"object {number}: of pool {pool_number}, which was never made"
            for each in pools:
                walk.found.damaged.setdefault(each, problem)
            continue
        if pool.is_ended:
            continue
        try:
            walk.add(number, pool, object_id, id_bytes, root)
        except _DamagedTree as error:
            walk.found.damaged.setdefault(pool_number, f"object {number}: {error}")
    walk.drop_damaged()
    return walk.found


class _Walk:
    def __init__(self, nodes: memoryview, entries: memoryview, nodes_count: int) -> None:
        self._nodes = nodes
        self._entries = entries
        self._nodes_count = nodes_count
        # By pool.
        self._reached: dict[int, list[int]] = {}
        self._known: set[tuple[int, bytes]] = set()
        self.found = Trees(
            kinds=bytearray([NOT_REACHED]) * nodes_count,
            used_entries=bytearray(nodes_count),
            first_index=array("Q", bytes(8 * nodes_count)),
        )

    def add(
        self, number: int, pool: KeptPool, id_field: bytes, id_bytes: int, root_word: int
    ) -> None:
        """Walk the tree of an object.

        Raises:
            _DamagedTree: The object contradicts itself or another.
        """
        if id_bytes > OBJECT_ID_BYTES_MAX:
            raise _DamagedTree(f"an id of {id_bytes} bytes")
        object_id = id_field[:id_bytes]
        if any(id_field[id_bytes:]):
            raise _DamagedTree(f"bytes behind its id of {id_bytes} bytes")
        if (pool.pool, object_id) in self._known:
            raise _DamagedTree(f"a second one with id {object_id.hex()!r}")
        self._known.add((pool.pool, object_id))
        node, place = unpack_root(root_word)
        if is_root_of_zeros(root_word):
            level, base = _check_place(place)
            if not pool.is_disk:
                raise _DamagedTree("zeros without entries, and no disk")
            zeros = 1 << LEAF_SHIFT * (level + 1)
            found = FoundObject(number, pool.pool, object_id, ZERO, level, base, zeros)
        else:
            level, base = _check_place(self._place_of(node, number))
            zeros = self._descend(number, pool, node)
            found = FoundObject(number, pool.pool, object_id, node, level, base, zeros)
        self.found.objects.append(found)

    def drop_damaged(self) -> None:
        """Reach nothing of pools that are lost."""
        damaged = self.found.damaged
        for pool in damaged:
            for node in self._reached.pop(pool, ()):
                self.found.kinds[node] = NOT_REACHED
        self.found.objects = [each for each in self.found.objects if each.pool not in damaged]

    def _place_of(self, node: int, number: int) -> int:
        """Return the place of a node of an object."""
        if not FIRST_NODE <= node < self._nodes_count:
            raise _DamagedTree(f"node {node} of {self._nodes_count}")
        owner = self._nodes[node * NODE_WORDS + NODE_OBJECT]
        if owner != number:
            raise _DamagedTree(f"node {node}, which is of object {owner}")
        place: int = self._nodes[node * NODE_WORDS + NODE_PLACE]
        return place

    def _descend(self, number: int, pool: KeptPool, root: int) -> int:
        """Note all nodes of a tree; return how many pages its directories say are zeros."""
        reached = self._reached.setdefault(pool.pool, [])
        found, family, zeros, to_do = self.found, int(pool.family), 0, [root]
        while to_do:
            node = to_do.pop()
            reached.append(node)
            level, base = unpack_place(self._nodes[node * NODE_WORDS + NODE_PLACE])
            if not level:
                found.kinds[node] = family
                found.first_index[node] = base << LEAF_SHIFT
                continue
            found.kinds[node] = DIRECTORY
            start = node << LEAF_SHIFT
            below = self._entries[start : start + LEAF_PAGES].tolist()
            found.used_entries[node] = LEAF_PAGES - below.count(HOLE)
            for child_place, child in enumerate(below):
                if child == ZERO:
                    zeros += 1 << LEAF_SHIFT * level
                elif child:
                    expected = pack_place(level - 1, base << LEAF_SHIFT | child_place)
                    if self._place_of(child, number) != expected:
                        raise _DamagedTree(f"node {child}, which stands elsewhere")
                    to_do.append(child)
        if zeros and not pool.is_disk:
            raise _DamagedTree("zeros without entries, and no disk")
        return zeros


def _check_place(place: int) -> tuple[int, int]:
    level, base = unpack_place(place)
    if level >= LEVELS or base << LEAF_SHIFT * (level + 1) > INDEX_MAX:
        raise _DamagedTree(f"level {level} and base {base}")
    return level, base
