"""The reserve: free memory that is resident before it is needed.  Pure.

When a machine begins to swap, its kernel has no memory left, and a daemon that asks it for some
waits for the very swap that it serves.  So a node that serves swap keeps whole blocks warm, of
`wanted_bytes` together, and with them the frames that rows, nodes of the page table and columns of blocks will take
for pages that fill these blocks.  A burst of so many bytes then needs no frame of the kernel, and no
peer: remotify begins early enough for the reserve to lie below the budget (`Room.set_reserve`).

Frames are made resident outside the loop, for that may wait (`Mapping.populate`, in a thread of
pagepath.warming): `next_work` says which, and `end_work` comes when it is done.  What is
used up is made resident again piece by piece, as memory goes free.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, Mapping, Place
from ramsterd.core.counters import ReserveStatistics
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.rows import ROW_BYTES
from ramsterd.core.size_classes import BLOCK_SHIFT
from ramsterd.core.table_words import ENTRY_BYTES
from ramsterd.core.versions import Versions

# Of the arena at once: the thread is not busy for long.
WORK_BYTES_MAX: Final = 4 << 20
# Some blocks have more slots than a whole one has for raw pages, up to twice as many.  Leaves are
# mostly full, for the kernel fills clusters of its swap area, but not all are.
PAGES_PER_PAGE: Final = 2
LEAVES_PER_LEAF: Final = 4


@dataclass(frozen=True, slots=True)
class ReserveWork:
    """What is to be made resident: runs of frames as (mapping, start, length) in bytes, of which some are these blocks."""

    runs: list[tuple[Mapping, int, int]]
    blocks: list[int]

    def populate(self) -> bool:
        """Do it, in whatever thread; return whether there was room for all."""
        return all(mapping.populate(start, length) for mapping, start, length in self.runs)


class Reserve:
    """See the module's text."""

    def __init__(self, versions: Versions) -> None:
        self._rows, self._nodes = versions.rows, versions.table.nodes
        self._tables, self._zbud = versions.tables, versions.zbud
        self._memory = versions.zbud.memory
        # What the frames that tables take next were chosen for, and how many these are.
        self._chosen_for: tuple[int, ...] = ()
        self._tables_bytes = 0
        self._is_short = False
        self._populated_total = self._refused_total = 0

    @property
    def wanted_bytes(self) -> int:
        """How many bytes of blocks are to be warm; set by `Room.set_reserve`."""
        return self._memory.reserve_bytes

    def next_work(self) -> ReserveWork | None:
        """Return what is missing, of at most `WORK_BYTES_MAX` in blocks; None if nothing is."""
        wanted_bytes = self.wanted_bytes
        if not wanted_bytes:
            self._chosen_for, self._tables_bytes = (), 0
            return None
        blocks = self._memory.begin_warming(WORK_BYTES_MAX >> BLOCK_SHIFT)
        places = set(self._zbud.places(blocks))
        changed = (wanted_bytes, self._rows.frames_changed, self._nodes.frames_changed)
        if changed != self._chosen_for:
            self._chosen_for = changed
            next_places = self._next_places()
            self._tables_bytes = len(next_places) * FRAME_BYTES
            places |= next_places
        if not places:
            return None
        runs = _runs(places)
        runs += [
            (self._memory.mapping, block << BLOCK_SHIFT, self._memory.block_bytes(block))
            for block in blocks
        ]
        return ReserveWork(runs, blocks)

    def end_work(self, work: ReserveWork, *, are_resident: bool) -> None:
        """The work is done, or there was no room for all of it."""
        self._memory.end_warming(work.blocks, are_resident=are_resident)
        if are_resident:
            self._populated_total += sum(length for _, _, length in work.runs)
        else:
            self._chosen_for = ()  # once more
            self._refused_total += 1
        self._is_short = not are_resident

    def _next_places(self) -> set[Place]:
        """Return the frames that the tables will take for the reserve's pages."""
        pages = self.wanted_bytes // PAGE_BYTES * PAGES_PER_PAGE
        rows = 1 + pages * ROW_BYTES // FRAME_BYTES
        nodes = 1 + pages * ENTRY_BYTES * LEAVES_PER_LEAF // FRAME_BYTES
        free = (self._tables.bytes_max - self._tables.used_bytes) // FRAME_BYTES
        if free < 2 * (rows + nodes):  # they share what is left
            rows, nodes = max(0, free // 4), max(0, free // 8)
        return {*self._rows.next_places(rows), *self._nodes.next_places(nodes)}

    def statistics(self) -> ReserveStatistics:
        """Return a snapshot."""
        return ReserveStatistics(
            wanted_bytes=self.wanted_bytes,
            resident_bytes=self._memory.ready_bytes,
            tables_bytes=self._tables_bytes,
            is_short=self._is_short,
            populated_bytes_total=self._populated_total,
            refused_total=self._refused_total,
        )


def _runs(places: Iterable[Place]) -> list[tuple[Mapping, int, int]]:
    """Return frames as runs (mapping, start, length) in bytes."""
    frames: dict[Mapping, list[int]] = {}
    for mapping, frame in places:
        frames.setdefault(mapping, []).append(frame)
    runs: list[tuple[Mapping, int, int]] = []
    for mapping, numbers in frames.items():
        numbers.sort()
        first = 0
        for each in range(1, len(numbers) + 1):
            if each == len(numbers) or numbers[each] != numbers[each - 1] + 1:
                count = each - first
                runs.append((mapping, numbers[first] * FRAME_BYTES, count * FRAME_BYTES))
                first = each
    return runs
