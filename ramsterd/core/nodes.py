"""The nodes that page tables are made of: 64 entries of 4 bytes, handed out from one mapping (core.frames).

Two are **shared** and never written: node HOLE has 64 entries HOLE, node ZERO 64 entries ZERO
(core.table says what for).  Each other node in use has a record in another mapping, which says
where in which object it stands.  Beside each node stands what is used of it, and for a leaf the
object that it belongs to.
"""

from array import array
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, MapMemory, Place
from ramsterd.core.frames import Flags, FramedItems, TableMemory
from ramsterd.core.frames_beside import FramesBeside
from ramsterd.core.objects import PageObject
from ramsterd.core.table_words import (
    ENTRY_BYTES,
    FILLED,
    FIRST_NODE,
    HOLE,
    LEAF_PAGES,
    LEAF_SHIFT,
    NODE_BYTES,
    NODE_OBJECT,
    NODE_PLACE,
    NODE_WORDS,
    NODES_MAX,
    WORD_BYTES,
    ZERO,
    pack_place,
)

_FRAME_NODES: Final = FRAME_BYTES // NODE_BYTES
_RECORD_BYTES: Final = NODE_WORDS * WORD_BYTES
# How many records are in one frame, and of how many frames of nodes.
_FRAME_RECORDS: Final = FRAME_BYTES // _RECORD_BYTES
_FRAMES_PER_FRAME: Final = _FRAME_RECORDS // _FRAME_NODES
_SIDE_BYTES: Final = 1 + 8


class Nodes:
    """All nodes of all objects."""

    def __init__(self, map_memory: MapMemory, memory: TableMemory, nodes_max: int) -> None:
        nodes_max = min(nodes_max, NODES_MAX)
        mapping = map_memory("entries", nodes_max * NODE_BYTES)
        records = map_memory("nodes", nodes_max * _RECORD_BYTES)
        self.entries = mapping.view.cast("I")
        words = records.view.cast("Q")
        # Of each node: its place, which for a leaf is the index >> LEAF_SHIFT; and the number of
        # its object.
        self.places = words[NODE_PLACE::NODE_WORDS]
        self.objects = words[NODE_OBJECT::NODE_WORDS]
        self._records = FramesBeside(records, _FRAMES_PER_FRAME.bit_length() - 1)
        self._items = FramedItems(
            mapping,
            memory,
            frame_shift=_FRAME_NODES.bit_length() - 1,
            items_max=nodes_max,
            first_item=FIRST_NODE,
            link_shift=LEAF_SHIFT,
            side_bytes=_FRAME_NODES * _SIDE_BYTES,
            beside=self._records,
        )
        # Of each node: how many entries are not HOLE; and the object of a leaf, or None.
        self.used_entries = array("B")
        self.page_object: list[PageObject | None] = []
        self._fit_columns()
        for shared in (HOLE, ZERO):
            self._fill(shared, shared)

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

    @property
    def frames_changed(self) -> int:
        """How often a frame of nodes came or went."""
        return self._items.frames_changed

    def next_places(self, count: int) -> list[Place]:
        """Return the frames of memory that come next, of about so many frames of nodes."""
        return self._items.next_places(count)

    def take(self, count: int) -> list[int] | None:
        """Return so many nodes to make, or None if there is no room for all."""
        nodes: list[int] = []
        while len(nodes) < count and (node := self._items.alloc()):
            nodes.append(node)
        self._fit_columns()
        if len(nodes) == count:
            return nodes
        for node in nodes:
            self.free(node)
        return None

    def make(
        self, node: int, page_object: PageObject, shift: int, index: int, shared: int, below: int
    ) -> None:
        """Make a node that nobody names yet: a copy of a shared one, but for the node below, if there is one.

        Its entries cover `shift` bits of an index; the node below has this one.
        """
        self._fill(node, shared)
        if below:
            self.entries[node << LEAF_SHIFT | index >> shift & LEAF_PAGES - 1] = below
            self.used_entries[node] += not shared
        self.places[node] = pack_place(shift // LEAF_SHIFT, index >> shift + LEAF_SHIFT)
        self.objects[node] = page_object.number
        if not shift:
            self.page_object[node] = page_object

    def free(self, node: int) -> None:
        """Give back a node that nobody names any more."""
        self.objects[node] = 0
        self.page_object[node] = None
        self._items.free(node)
        self._fit_columns()

    def _fill(self, node: int, shared: int) -> None:
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

    def is_full_but_for(self, address: int, shared: int) -> bool:
        """Whether the node at an address would be a copy of a shared one, if the entry there was."""
        others = self.used_entries[address >> LEAF_SHIFT] - (self.entries[address] != HOLE)
        if not shared or others < LEAF_PAGES - 1:
            return not shared and not others
        place = address & LEAF_PAGES - 1
        entries = self.entries[address - place : address - place + LEAF_PAGES]
        full = FILLED[shared]
        return entries[:place] == full[:place] and entries[place + 1 :] == full[place + 1 :]

    def next_used(self, node: int, place: int) -> int:
        """Return the first place from `place` on whose entry is not HOLE.

        LEAF_PAGES if there is none.
        """
        start = node << LEAF_SHIFT
        rest = self.entries[start + place : start + LEAF_PAGES].tobytes()
        return place + (len(rest) - len(rest.lstrip(b"\0"))) // ENTRY_BYTES

    def adopt(self, used: Flags, used_entries: Flags) -> None:
        """Go on with the nodes that an earlier process left.

        See `FramedItems.adopt`.  Which are leaves is not known yet.

        Args:
            used: By node.
            used_entries: By node; how many entries are not HOLE.
        """
        self._items.adopt(used)
        self._fit_columns()
        high = self._items.high
        used, used_entries = (each[:high].ljust(high, b"\0") for each in (used, used_entries))
        self.used_entries[FIRST_NODE:] = array("B", used_entries[FIRST_NODE:])
        for frame in self._records.there():
            first = frame * _FRAME_RECORDS
            for node, number in enumerate(
                self.objects[first : first + _FRAME_RECORDS].tolist(), first
            ):
                if number and not (node < high and used[node]):
                    self.objects[node] = 0

    def empty(self) -> list[int]:
        """Return the nodes in use all of whose entries are HOLE.  Walks all."""
        return [
            node
            for first, stop in self._items.live_spans(FIRST_NODE, self._items.high)
            for node in range(first, stop)
            if self.objects[node] and not self.used_entries[node]
        ]

    def check_invariants(self) -> None:
        """Assert what must be true between calls."""
        self._items.check_invariants()
        assert len(self.used_entries) == len(self.page_object) == self._items.high
        for shared in (HOLE, ZERO):
            assert self.is_full_of(shared, shared), "a shared node was written"

    def _fit_columns(self) -> None:
        """Have the columns beside the nodes as long as nodes may be in use."""
        high, known = self._items.high, len(self.used_entries)
        if known < high:
            self.used_entries.frombytes(bytes(high - known))
            self.page_object.extend([None] * (high - known))
        elif known > high:
            del self.used_entries[high:]
            del self.page_object[high:]
