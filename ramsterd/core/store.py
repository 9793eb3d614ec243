"""The local store: pools of pages, compressed into an arena under a hard budget.

Every operation takes a run of pages and is a transaction: synchronous, with no await in sight.  The
store knows no other node; of a page that is elsewhere it keeps the row (serial, checksum, holder
ids) and says so.

A stored zpage is immutable: a put makes a new version, with a new serial, and the old one ends.

Its parts, each of which knows only those below it:

    Store      here            runs of pages, and their pools; core.hot has the loops of put and get,
                               core.twin the same compiled, for what is everyday
    Room       core.room       finds room for a version, and makes it
    Copies     core.copies     on how many peers pages are to be
    Versions   core.versions   what becomes of one version, and the columns that versions stand in:
                               rows, page table, arena, pools, counters

Whatever else is done is a function or a machine over one of these parts: core.leaving, core.install
and core.foreign_pages move zpages out and in, still compressed; core.extents, core.compact,
core.resize, core.row_sweep and core.scrub say it in their names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from config.limits import COPIES_MAX
from config.model import PoolCodec
from ramsterd import compiled
from ramsterd.core.arena import MapMemory
from ramsterd.core.audit import audit
from ramsterd.core.codec import LZ4
from ramsterd.core.copies import Copies
from ramsterd.core.counters import StoreStatistics
from ramsterd.core.family import Family
from ramsterd.core.hot import get_pages, put_extent
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import PoolIdentity
from ramsterd.core.pools import Pool, Unsaved, check_run
from ramsterd.core.replace import replace_run
from ramsterd.core.reserve import Reserve
from ramsterd.core.room import Room
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.table import (
    HOLE,
    LEAF_SHIFT,
    LOST,
    PIN,
    PageObject,
)
from ramsterd.core.twin import Twin
from ramsterd.core.versions import StoreLimits, Versions


@dataclass(frozen=True, slots=True)
class RunOfPages:
    """What a get found: `pages[i]` is None for a hole, for a lost page and for one that is elsewhere."""

    pages: list[bytes | None]
    # (position in the run, row) of each page that only peers hold.
    elsewhere: list[tuple[int, int]]
    lost_count: int


class Store:
    """The pages of this node."""

    def __init__(self, map_memory: MapMemory, limits: StoreLimits) -> None:
        self.versions = Versions(map_memory, limits)
        self.copies = Copies(self.versions)
        self.room = Room(self.versions, self.copies, limits)
        self.reserve = Reserve(self.versions)
        # None: Python does all.
        self.twin = None if compiled.loops is None else Twin(self.versions, compiled.loops)
        self.hold_twin = None if self.twin is None else self.twin.hold
        # What versions stand in.
        self.rows, self.table, self.zbud = (
            self.versions.rows, self.versions.table, self.versions.zbud,
        )  # fmt: skip
        self.pools = self.versions.pools
        self.work = self.versions.work
        self.counters = self.versions.counters
        self.versions.loops = None if self.twin is None else self.twin.loops

    # Pools.

    def new_pool(
        self,
        kind: PoolKind,
        identity: PoolIdentity,
        *,
        copies: int = 1,
        copies_min: int = COPIES_MAX,
        codec: PoolCodec = PoolCodec.LZ4,
    ) -> PoolId:
        """Make a pool, whose pages are on `copies` peers when they are not here, on `copies_min` while few have room.

        If an earlier process has left one for this identity, that is it, with its pages.

        On a disk (`identity.is_disk`) a put that is refused hides nothing (see `refuse`), and a
        hole reads as zeros: so where no room can be had to note which pages of a leaf of zeros were
        flushed, they stay zeros.

        Raises:
            PoolsExhausted: There are too many.
            CodecMissing: The library of the codec is not installed.
        """
        self.copies.on_wanted(copies)
        pool = self.pools.take_left(kind, identity, codec) or self.pools.new(
            kind, identity, codec=codec
        )
        pool.copies, pool.copies_min = copies, copies_min
        return pool.pool

    def set_copies(self, pool_id: PoolId, copies: int) -> None:
        """From now on the pages of a pool are on so many peers when they leave.

        What has left is the caller's to put right.
        """
        self.pools[pool_id].copies = copies
        self.copies.on_wanted(copies)

    def end_pool(self, pool_id: PoolId) -> None:
        """None of a pool's pages is read again, not even after a restart.

        Drop them, then `destroy_pool`.
        """
        self.pools.end(pool_id)

    def destroy_pool(self, pool_id: PoolId) -> None:
        """Forget a pool whose pages were dropped (core.extents)."""
        self.pools.end(pool_id)
        assert not self.pools[pool_id].objects, "its pages are dropped first"
        self.pools.remove(pool_id)

    def pages_of(self, pool_id: PoolId) -> int:
        """Return how many pages of a pool there are, wherever they are."""
        return self.pools[pool_id].tally.pages

    def lost_pages_of(self, pool_id: PoolId) -> int:
        """Return how many pages of a pool are lost now, at most."""
        return self.pools[pool_id].tally.lost

    def objects_of(self, pool_id: PoolId) -> int:
        """Return how many objects of a pool have pages."""
        return len(self.pools[pool_id].objects)

    # Runs of pages.

    def put(
        self,
        pool_id: PoolId,
        object_id: bytes,
        index: int,
        pages: memoryview,
        *,
        takes_slots: bool = True,
    ) -> int:
        """Store a run.

        Return how many pages, counted from the start, were stored before room ran out.

        `pages` is a whole number of pages back to back, copied before this returns.  The pages from
        the returned count on are as they were before.  Without `takes_slots` only what needs none
        is stored: same-filled pages, and those that fit where their old version stands.
        """
        count = len(pages) // PAGE_BYTES
        assert count * PAGE_BYTES == len(pages)
        check_run(index, count)
        pool = self.pools[pool_id]
        page_object = pool.make_object(object_id)
        twin = self.twin if pool.compressor is LZ4 else None
        # Python goes on with more pages each time that the twin comes no further.
        stored, each = 0, count if twin is None else 1
        while stored < count:
            at, rest = index + stored, pages[stored * PAGE_BYTES :]
            if twin is not None:
                done, needs_slot = twin.put(pool, page_object, at, rest, takes_slots)
                stored, each = stored + done, 1 if done else each
                if needs_slot:
                    break
                if done:
                    continue
            done, run = self._put_in_leaf(
                pool, page_object, at, min(each, count - stored), rest, takes_slots
            )
            stored, each = stored + done, 2 * each
            if done < run or not run:
                break
        if not page_object.root:  # as seldom: without the call
            self.versions.forget_if_empty(pool, page_object)
        self.counters.put += stored
        return stored

    def put_page(self, pool: Pool, object_id: bytes, index: int, page: memoryview) -> bool:
        """Put a page for which the twin had no room at once, as `put` does; return whether there was some."""
        page_object = pool.make_object(object_id)
        stored, _ = self._put_in_leaf(pool, page_object, index, 1, page, takes_slots=True)
        if not page_object.root:
            self.versions.forget_if_empty(pool, page_object)
        self.counters.put += stored
        return stored > 0

    def _put_in_leaf(
        self,
        pool: Pool,
        page_object: PageObject,
        index: int,
        count: int,
        pages: memoryview,
        takes_slots: bool,
    ) -> tuple[int, int]:
        """Put what one leaf has of a run; return how many pages, and how many that were to be."""
        counters, leaf_used = self.counters, self.table.leaf_used
        address, run = self.room.make_entries(pool, page_object, index, count)
        if not address:
            return 0, 0
        leaf, zeros_before = address >> LEAF_SHIFT, counters.put_zero
        # An eviction must not take away the leaf that we are writing into (`table.pin`, without the
        # call).
        leaf_used[leaf] += PIN
        done = put_extent(self.room, pool, address, run, pages, takes_slots)
        leaf_used[leaf] -= PIN
        if not leaf_used[leaf]:
            self.table.drop_empty(leaf)
        elif counters.put_zero != zeros_before and pool.is_disk:
            self.table.fold(leaf)
        if pool.unsaved is not None:
            self._note_unsaved(pool.unsaved, address, done)
        return done, run

    def _note_unsaved(self, unsaved: Unsaved, address: int, count: int) -> None:
        """Note the blocks of pages that were put just now.

        What was evicted meanwhile is in none.
        """
        for row in self.table.entries[address : address + count].tolist():
            if row >= FIRST_ROW and (block := self.versions.block_of(row)):
                unsaved.blocks.add(block)
        unsaved.serial_last = self.versions.serial_last

    def track_unsaved(self, pool_id: PoolId) -> None:
        """From now on know which blocks may have pages of a pool that no peer has."""
        pool = self.pools[pool_id]
        if pool.unsaved is None:
            persistent = self.zbud.blocks_of(Family.OWN_PERSISTENT) if pool.tally.pages else ()
            pool.unsaved = Unsaved(set(persistent), serial_last=self.versions.serial_last)
            self.versions.tracks_unsaved = True

    def get(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> RunOfPages:
        """Return a run of pages; those that are elsewhere are named by their rows."""
        check_run(index, count)
        page_object = self.pools[pool_id].find_object(object_id)
        pages: list[bytes | None] = []
        elsewhere: list[tuple[int, int]] = []
        lost_count, twin, each = 0, self.twin, 1 if self.twin else count
        while page_object is not None and (rest := count - len(pages)) > 0:
            at = index + len(pages)
            if twin is not None:
                lost_count += twin.get(page_object, at, rest, pages, elsewhere)
                if len(pages) == count:
                    break
                at, rest = index + len(pages), min(each, count - len(pages))
                each *= 2
            address, run = self.table.find(page_object, at, rest)
            if address:
                end = address + run
                rows = self.table.entries[address:end].tolist()
                lost_count += get_pages(self.versions, range(address, end), rows, pages, elsewhere)
            else:
                pages.extend([None] * run)
        if page_object is None:
            pages = [None] * count
        self.counters.get_hole += pages.count(None) - lost_count - len(elsewhere)
        self.counters.get_lost += lost_count
        self.counters.get_remote += len(elsewhere)
        return RunOfPages(pages, elsewhere, lost_count)

    def get_each(
        self, pool_id: PoolId, object_id: bytes, indexes: Sequence[int]
    ) -> tuple[RunOfPages, list[int]]:
        """Return pages anywhere in an object, up to the first that is named twice, and the positions of those that are lost."""
        check_run(max(indexes), 1)
        if len(set(indexes)) < len(indexes):
            # The row of a page that is found lost is gone: nothing may come to it again.
            indexes = indexes[: _first_repeated(indexes)]
        page_object = self.pools[pool_id].find_object(object_id)
        pages: list[bytes | None] = []
        elsewhere: list[tuple[int, int]] = []
        lost: list[int] = []
        if page_object is None:
            pages = [None] * len(indexes)
        else:
            indexes, find, entries = list(indexes), self.table.find, self.table.entries
            twin, lost_count = self.twin, 0
            if twin is not None:
                lost_count = twin.get_each(page_object, indexes, pages, elsewhere)
            if rest := indexes[len(pages) :]:
                addresses = [find(page_object, index, 1)[0] for index in rest]
                rows = [entries[address] for address in addresses]
                lost_count += get_pages(self.versions, addresses, rows, pages, elsewhere)
            if lost_count:
                addresses = [find(page_object, index, 1)[0] for index in indexes]
                lost = [at for at, address in enumerate(addresses) if entries[address] == LOST]
        self.counters.get_hole += pages.count(None) - len(lost) - len(elsewhere)
        self.counters.get_lost += len(lost)
        self.counters.get_remote += len(elsewhere)
        return RunOfPages(pages, elsewhere, len(lost)), lost

    def refuse(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> bool:
        """A put of this run was refused for good.

        Return whether that hides what stood there before.

        On a disk all stays as it was.  In any other pool persistent pages answer PageLost until
        they are put or flushed, and ephemeral ones are a miss; where there was nothing, nothing
        changes.
        """
        pool = self.pools[pool_id]
        if pool.is_disk:
            return False
        is_persistent = pool.kind is PoolKind.PERSISTENT
        hidden = replace_run(
            self.versions, pool, object_id, index, count, LOST if is_persistent else HOLE
        )
        if is_persistent:
            self.counters.lost += hidden
            pool.tally.lost_total += hidden
        return True

    # Where a page is, and which version of it.

    def blocks_of(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> list[int]:
        """Return the blocks that the zpages of a run are in, as far as they are here."""
        check_run(index, count)
        page_object = self.pools[pool_id].find_object(object_id)
        found: dict[int, None] = {}  # in the order of the pages
        done = 0
        while page_object is not None and done < count:
            address, run = self.table.find(page_object, index + done, count - done)
            if address:
                rows = self.table.entries[address : address + run].tolist()
                found.update(
                    (self.versions.block_of(row), None) for row in rows if row >= FIRST_ROW
                )
            done += run
        return [block for block in found if block]

    def serial_of(self, pool_id: PoolId, object_id: bytes, index: int) -> int:
        """Return the serial of the version that a page has now.

        0 for holes, zeros and lost pages.
        """
        page_object = self.pools[pool_id].find_object(object_id)
        if page_object is None:
            return 0
        address, _ = self.table.find(page_object, index, 1)
        row = self.table.entries[address] if address else HOLE
        return self.rows.serial(row) if row >= FIRST_ROW else 0

    # What is true.

    def statistics(self) -> StoreStatistics:
        """Return a snapshot."""
        filled = [
            pool for pool in self.pools if pool.family is Family.OWN_PERSISTENT and pool.tally.pages
        ]
        return StoreStatistics(
            zbud=self.zbud.statistics(),
            reserve=self.reserve.statistics(),
            zpages={family: self.versions.zpages[family] for family in Family},
            zpage_bytes={family: self.versions.zpage_bytes[family] for family in Family},
            rows=self.rows.used,
            rows_max=self.rows.rows_max,
            tables_bytes=self.versions.tables.used_bytes,
            tables_bytes_max=self.versions.tables.bytes_max,
            pools=sum(1 for _ in self.pools),
            unreadable_pages=sum(pool.tally.lost for pool in filled),
            copies_wanted=min((pool.copies for pool in filled), default=0),
            **self.counters.totals(),
        )

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks everything."""
        audit(self.versions)


def _first_repeated(indexes: Sequence[int]) -> int:
    """Return the place of the first that stands before it, too."""
    seen = set[int]()
    for place, index in enumerate(indexes):
        if index in seen:
            return place
        seen.add(index)
    return len(indexes)
