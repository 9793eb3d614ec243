"""The stored versions of pages: where each one is, and how it ends.

A put makes a version: a row with its serial, in the arena a slot with its zpage, and later perhaps
copies at holders.  Here is what happens to one version at a time: its page is dropped, lost, or
given up here because it is elsewhere.  If a version that ends has holders, they are owed a flush:
`take_owed()` hands these serials out, by holder.

How many copies a page should have is in core.copies, what finds room for a version in core.room,
and runs of pages are in core.store.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ramsterd.core.arena import MapMemory
from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.counters import Counters
from ramsterd.core.family import Family
from ramsterd.core.frames import TableMemory
from ramsterd.core.page import PoolKind
from ramsterd.core.pools import Pool, Pools
from ramsterd.core.redo import Redo
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES, Rows
from ramsterd.core.size_classes import SLOT_SHIFT
from ramsterd.core.table import HOLE, LEAF_SHIFT, LOST, PageObject, PageTable
from ramsterd.core.work import Work
from ramsterd.core.zbud import Zbud

if TYPE_CHECKING:
    from ramsterd.compiled._loops import Loops

# A store for a handful of pages needs the directories of far-off indexes, too.
NODES_MIN: Final = 64
NO_SERIAL_LIMIT: Final = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Sizes of the mappings, and the budget with its watermarks (fractions)."""

    budget_bytes: int
    budget_bytes_max: int
    pages_max: int
    # Bytes of all tables together: rows, nodes and objects of the page table.
    tables_bytes_max: int = 1 << 48
    high_watermark: float = 0.92
    low_watermark: float = 0.85


class Versions:
    """All versions of a node, ours and foreign ones, and the columns that they stand in."""

    def __init__(self, map_memory: MapMemory, limits: StoreLimits) -> None:
        self.tables = TableMemory(limits.tables_bytes_max)
        self.rows = Rows(map_memory, self.tables, limits.pages_max + FIRST_ROW)
        # Address space for four pages in each leaf, directories counted: `tables_bytes_max` ends
        # before that.
        self.table = PageTable(map_memory, self.tables, max(NODES_MIN, limits.pages_max // 4))
        self.zbud = Zbud(
            map_memory,
            budget_bytes=limits.budget_bytes,
            budget_bytes_max=limits.budget_bytes_max,
        )
        self.redo = Redo(map_memory)
        self.pools = Pools()
        self.counters = Counters()
        self.work = Work(self.counters)
        self.zpages = [0] * len(Family)
        self.zpage_bytes = [0] * len(Family)
        # The newest serial, and up to which they may be used.
        self.serial_last = 0
        self.serial_limit = NO_SERIAL_LIMIT
        self._reserve_serials: Callable[[int], int] | None = None
        # See `note_thinned`.
        self._thinned: list[int] = []
        self._owed: dict[int, list[int]] = {}
        # Whether rows were noted since `take_thinned`, and whether a holder keeps versions that it
        # was not said to be owed a flush for.  Each pass asks: both are the same objects for ever.
        self.has_thinned: Callable[[], int] = self._thinned.__len__
        self.has_owed: Callable[[], int] = self._owed.__len__
        # The compiled loops over all this (core.twin); None: Python does all.
        self.loops: Loops | None = None
        # Whether some pool wants to know which of its pages no peer has (Pool.unsaved).
        self.tracks_unsaved = False

    # What is known of a version.

    def pool_of(self, row: int) -> Pool:
        """Return the pool of a row's page."""
        page_object, _ = self.table.handle(self.rows.address(row))
        return self.pools[page_object.pool]

    def pools_of(self, rows: Iterable[int]) -> list[Pool]:
        """Return the pools that the pages of some rows are in, each once."""
        handle = self.table.handle
        # Rows of a block stand in few leaves.
        leaves = {address >> LEAF_SHIFT for address in self.rows.addresses(rows)}
        return [
            self.pools[pool] for pool in {handle(leaf << LEAF_SHIFT)[0].pool for leaf in leaves}
        ]

    def kind_of(self, row: int) -> PoolKind:
        """Return the kind of the pool that a row's page is in."""
        return self.pool_of(row).kind

    def leaf_of(self, row: int) -> int:
        """Return the leaf of the page table that a row's page is in."""
        return self.rows.address(row) >> LEAF_SHIFT

    def block_of(self, row: int) -> int:
        """Return the block that a row's zpage is in; 0 if it is not here."""
        return self.rows.location(row) >> SLOT_SHIFT

    def zbytes(self, row: int) -> int:
        """Return how long a row's zpage is, wherever it is."""
        return self.rows.packed(row) & ZPAGE_BYTES_MASK

    def zpage(self, row: int) -> memoryview:
        """Return a row's zpage, which is here: a view of the arena, until anything else changes the store."""
        start = self.zbud.offset(self.rows.location(row))
        return self.zbud.arena[start : start + self.zbytes(row)]

    def tables_resident_bytes(self) -> int:
        """Count what `tables` has counted.  Walks all frames."""
        return self.rows.resident_bytes() + self.table.resident_bytes()

    def note_moved(self, block: int, rows: Iterable[int]) -> None:
        """These rows are in a block of persistent pages from now on, without a put."""
        for pool in self.pools_of(rows) if self.tracks_unsaved else ():
            if pool.unsaved is not None:
                pool.unsaved.blocks.add(block)
                pool.unsaved.moved.add(block)

    # How it ends.

    def drop_row(self, row: int) -> None:
        """Free a row that no entry names any more, and its slot; its holders are owed a flush."""
        version = self.version(row)
        self.rows.free(row)
        self.end_version(version)

    def version(self, row: int) -> tuple[int, ...]:
        """Return all fields of a row, as `end_version` wants them once the row has others."""
        return ROW.unpack_from(self.rows.view, row * ROW_BYTES)

    def end_version(self, version: tuple[int, ...]) -> None:
        """A version is named by no row any more: its slot is free, and its holders are owed a flush."""
        serial, _, _, location, packed, first, second, third = version
        if location:
            family = self.zbud.family_of_block[location >> SLOT_SHIFT]
            self.account(family, -1, -(packed & ZPAGE_BYTES_MASK))
            self.zbud.free(location)
        if first:
            for holder in (first, second, third):
                if holder:
                    self.owe(holder, serial)

    def end_all(self, versions: Iterable[tuple[int, ...]]) -> None:
        """Several versions end, most of which were at one holder only."""
        owed = self._owed
        for version in versions:
            if version[3] or version[6]:
                self.end_version(version)
            else:
                owed.setdefault(version[5], []).append(version[0])

    def forget_local(self, row: int) -> None:
        """Free the slot of a row; the page is elsewhere only."""
        location = self.rows.location(row)
        self.account(self.zbud.family_of_block[location >> SLOT_SHIFT], -1, -self.zbytes(row))
        self.rows.set_location(row, 0)
        self.zbud.free(location)

    def forget_leaving(self, block: int) -> int:
        """The pages of a clean block that is leaving are elsewhere only; return how many."""
        done = None if self.loops is None else self.loops.forget(block)
        if done is None:
            rows, zbytes = self.zbud.rows(block), 0
            for row in rows:
                self.rows.set_location(row, 0)
                zbytes += self.zbytes(row)
            done = len(rows), zbytes
        pages, zbytes = done
        self.account(Family.OWN_CLEAN, -pages, -zbytes)
        return pages

    def lose(self, row: int) -> bool:
        """The last copy of a page is gone.  Return whether that is a loss: an ephemeral page is a miss."""
        address = self.rows.address(row)
        page_object, _ = self.table.handle(address)
        pool = self.pools[page_object.pool]
        is_loss = pool.family == Family.OWN_PERSISTENT
        if is_loss:
            self.table.entries[address] = LOST
            self.counters.lost += 1
            pool.tally.lost_total += 1
        else:
            self.make_hole(address)
        self.drop_row(row)
        return is_loss

    def on_corrupt(self, row: int) -> bool:
        """The zpage here is not what was stored.  Return whether a peer has the page.

        If none has, a persistent page is lost and an ephemeral one a hole.
        """
        self.counters.corrupt += 1
        if self.rows.first_holder(row):
            self.forget_local(row)
            self.note_thinned((row,))
            return True
        self.lose(row)
        return False

    def give_up_copy(self, row: int, holder: int) -> None:
        """A page needs its copy at a holder no more: that is owed a flush."""
        self.rows.remove_holder(row, holder)
        self.owe(holder, self.rows.serial(row))

    def lose_refused(self, row: int, holder: int) -> None:
        """The only holder of a page has refused it: the page is gone, and nobody is owed a flush of what it never had."""
        self.rows.remove_holder(row, holder)
        self.lose(row)

    def note_thinned(self, rows: Iterable[int]) -> None:
        """These are here no more, while the copies that peers have may be too few: rebuild takes them."""
        self._thinned += rows

    def take_thinned(self) -> list[int]:
        """Return the rows that were noted since the last call."""
        thinned = self._thinned.copy()
        self._thinned.clear()
        return thinned

    def owe(self, holder: int, serial: int) -> None:
        """Note that a holder keeps a version that nobody will ask for again."""
        serials = self._owed.get(holder)
        if serials is None:
            self._owed[holder] = [serial]
        else:
            serials.append(serial)

    def take_owed(self) -> dict[int, list[int]]:
        """Return the serials dropped since the last call, by holder id."""
        owed = self._owed.copy()
        self._owed.clear()
        return owed

    # Serials.

    def limit_serials(self, limit: int, reserve: Callable[[int], int]) -> None:
        """Use none beyond a limit before `reserve` was asked: it gets the newest serial and returns a new limit."""
        self.serial_limit, self._reserve_serials = limit, reserve

    def reserve_serials(self, count: int) -> None:
        """Have so many serials to use; for a put that would pass the limit."""
        assert self._reserve_serials is not None
        self.serial_limit = self._reserve_serials(self.serial_last)
        assert self.serial_last + count <= self.serial_limit, "all serials were used"

    def take_serials(self, count: int) -> list[int]:
        """Return so many serials that no page has or will have: for pages that no row names."""
        if self.serial_last + count > self.serial_limit:
            self.reserve_serials(count)
        first, self.serial_last = self.serial_last + 1, self.serial_last + count
        return list(range(first, self.serial_last + 1))

    def adopt(self, zpages: Iterable[int], zpage_bytes: Iterable[int], *, serial_last: int) -> None:
        """An earlier process has left so many zpages of each family, with so many bytes, and has used these serials."""
        for family, (count, zbytes) in enumerate(zip(zpages, zpage_bytes, strict=True)):
            self.account(family, count, zbytes)
        self.serial_last = serial_last

    # What stands around it.

    def account(self, family: int, zpages: int, zbytes: int) -> None:
        """So many zpages of a family, with so many bytes, are here more than before; or less."""
        self.zpages[family] += zpages
        self.zpage_bytes[family] += zbytes

    def change_family(self, block: int, family: Family, zpages: int, zbytes: int) -> None:
        """All zpages of a block, so many with so many bytes, become what another family is."""
        before = self.zbud.family_of_block[block]
        self.account(before, -zpages, -zbytes)
        self.account(family, zpages, zbytes)
        self.zbud.change_family(block, family)

    def make_hole(self, address: int) -> None:
        """A page is there no more, and its object neither if it was the last."""
        page_object, _ = self.table.handle(address)
        self.table.entries[address] = HOLE
        self.table.count_hole(address)
        self.forget_if_empty(self.pools[page_object.pool], page_object)

    def forget_if_empty(self, pool: Pool, page_object: PageObject) -> None:
        """Forget an object without pages."""
        if not page_object.root:
            pool.objects.pop(page_object.object_id, None)
            if not pool.objects:
                pool.tally.settled_total = pool.tally.lost_total
