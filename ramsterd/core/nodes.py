"""The nodes that page tables are made of: 64 entries of 4 bytes, handed out from one mapping (core.frames).

Two are **shared** and never written: node HOLE has 64 entries HOLE, node ZERO 64 entries ZERO (core.table says what
for).  Beside each node stands what is used of it, and for a leaf the object that it belongs to and where.
"""

import sys
from array import array
from dataclasses import dataclass, field
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory
from ramsterd.core.frames import FramedItems, TableMemory
from ramsterd.core.page import PoolId

HOLE: Final = 0
ZERO: Final = 1
# The last copy is gone, or a put that would have replaced it was refused.  Reads fail until put or flush.
LOST: Final = 2

LEAF_SHIFT: Final = 6
LEAF_PAGES: Final = 1 << LEAF_SHIFT
# Nodes HOLE and ZERO are shared.
FIRST_NODE: Final = 2
_ENTRY_BYTES: Final = 4
_FRAME_NODES: Final = FRAME_BYTES // (LEAF_PAGES * _ENTRY_BYTES)
# Addresses of entries have 32 bits.
NODES_MAX: Final = 1 << 32 - LEAF_SHIFT
_SIDE_BYTES: Final = 1 + 8 + 8

# What a node full of HOLE, and one full of ZERO, holds.
FILLED: Final = tuple(
    memoryview(entry.to_bytes(_ENTRY_BYTES, sys.byteorder) * LEAF_PAGES).cast("I")
    for entry in (HOLE, ZERO)
)


@dataclass(slots=True, eq=False)
class Tally:
    """How many pages the objects of a pool have together."""

    pages: int = 0


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


class Nodes:
    """All nodes of all objects."""

    def __init__(self, map_memory: MapMemory, memory: TableMemory, nodes_max: int) -> None:
        nodes_max = min(nodes_max, NODES_MAX)
        mapping = map_memory("entries", nodes_max * LEAF_PAGES * _ENTRY_BYTES)
        self.entries = mapping.view.cast("I")
        self._items = FramedItems(
            mapping,
            memory,
            frame_shift=_FRAME_NODES.bit_length() - 1,
            items_max=nodes_max,
            first_item=FIRST_NODE,
            link_shift=LEAF_SHIFT,
            side_bytes=_FRAME_NODES * _SIDE_BYTES,
        )
        # Of each node: how many entries are not HOLE; the index >> LEAF_SHIFT of a leaf; and its object, or None.
        self.used_entries = array("B")
        self.base = array("Q")
        self.page_object: list[PageObject | None] = []
        self._fit_columns()
        for shared in (HOLE, ZERO):
            self.fill(shared, shared)

    @property
    def used(self) -> int:
        """How many nodes there are, without the shared ones."""
        return self._items.used

    @property
    def freed(self) -> int:
        """How many nodes were ever given back."""
        return self._items.freed

    def resident_bytes(self) -> int:
        """Count what nodes take.  Walks all frames."""
        return self._items.resident_bytes()

    def take(self, count: int) -> list[int] | None:
        """Return so many nodes to fill, or None if there is no room for all."""
        nodes: list[int] = []
        while len(nodes) < count and (node := self._items.alloc()):
            nodes.append(node)
        self._fit_columns()
        if len(nodes) == count:
            return nodes
        for node in nodes:
            self.free(node)
        return None

    def free(self, node: int) -> None:
        """Give a node back."""
        self.page_object[node] = None
        self._items.free(node)
        self._fit_columns()

    def fill(self, node: int, shared: int) -> None:
        """Make a node a copy of a shared one."""
        start = node << LEAF_SHIFT
        self.entries[start : start + LEAF_PAGES] = FILLED[shared]
        self.used_entries[node] = LEAF_PAGES if shared else 0

    def is_full_of(self, node: int, shared: int) -> bool:
        """Whether a node is a copy of a shared one."""
        if not shared:
            return not self.used_entries[node]
        start = node << LEAF_SHIFT
        return (
            self.used_entries[node] == LEAF_PAGES
            and self.entries[start] == shared
            and self.entries[start : start + LEAF_PAGES] == FILLED[shared]
        )

    def next_used(self, node: int, place: int) -> int:
        """Return the first place from `place` on whose entry is not HOLE; LEAF_PAGES if there is none."""
        start = node << LEAF_SHIFT
        rest = self.entries[start + place : start + LEAF_PAGES].tobytes()
        return place + (len(rest) - len(rest.lstrip(b"\0"))) // _ENTRY_BYTES

    def check_invariants(self) -> None:
        """Assert what must be true between calls."""
        self._items.check_invariants()
        assert len(self.used_entries) == len(self.base) == len(self.page_object) == self._items.high
        for shared in (HOLE, ZERO):
            assert self.is_full_of(shared, shared), "a shared node was written"

    def _fit_columns(self) -> None:
        """Have the columns beside the nodes as long as nodes may be in use."""
        high, known = self._items.high, len(self.base)
        if known < high:
            missing = high - known
            self.used_entries.frombytes(bytes(missing))
            self.base.frombytes(bytes(self.base.itemsize * missing))
            self.page_object.extend([None] * missing)
        elif known > high:
            del self.used_entries[high:]
            del self.base[high:]
            del self.page_object[high:]
