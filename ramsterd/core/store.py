"""The local store: pools of pages, compressed into an arena under a hard budget.

Every operation takes a run of pages and is a transaction: synchronous, with no await in sight.  The store knows
no other node; of a page that is elsewhere it keeps the row (serial, checksum, holder ids) and says so.

A stored zpage is immutable: a put makes a new serial and drops the row of the old one.  If the dropped version
has holders, they are owed a flush: `take_owed()` hands these serials out, by holder.

Order when memory is short: free slots, foreign ephemeral blocks, clean copies, ephemeral blocks, and then no room: the
caller remotifies `oldest(OWN_PERSISTENT)` or waits.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from config.model import PoolCodec
from ramsterd.core.arena import MapMemory
from ramsterd.core.codec import (
    PACKED_FILL,
    PACKED_RAW,
    WORD_BYTES,
    WORDS_PER_PAGE,
    ZPAGE_BYTES_MASK,
    ZPAGE_BYTES_MAX,
    checksum_of,
    decode_page,
    is_same_filled,
)
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE, CorruptPage, PoolId, PoolKind
from ramsterd.core.rows import (
    ADDRESS,
    CHECKSUM,
    FIRST_ROW,
    HALVES_PER_ROW,
    HOLDERS,
    LOCATION,
    NO_HOLDER,
    PACKED,
    QUARTERS_PER_ROW,
    ROW,
    ROW_BYTES,
    WORDS_PER_ROW,
    Rows,
)
from ramsterd.core.table import HOLE, LEAF_PAGES, LEAF_SHIFT, LOST, ZERO, PageObject, PageTable
from ramsterd.core.tmem import Pool, Pools, check_run
from ramsterd.core.zbud import (
    BLOCK_SHIFT,
    CHUNK_BYTES,
    LEAVING,
    SLOT_MASK,
    SLOT_SHIFT,
    Family,
    Zbud,
    ZbudStatistics,
)

_ZEROS: Final = memoryview(ZERO.to_bytes(4, sys.byteorder) * LEAF_PAGES).cast("I")
# Bytes to chunks, rounded up, as a shift: the put path runs this for each page.
_CHUNK_SHIFT: Final = CHUNK_BYTES.bit_length() - 1
_CHUNK_ROUND: Final = CHUNK_BYTES - 1
_WORD_SHIFT: Final = WORD_BYTES.bit_length() - 1
# Clean blocks that one put adopts on its way to a slot: each costs some 50 us.
ADOPTED_BLOCKS_MAX: Final = 8
_LAST_WORD: Final = WORDS_PER_PAGE - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Sizes of the mappings, and the budget with its watermarks (fractions)."""

    budget_bytes: int
    budget_bytes_max: int
    pages_max: int
    high_watermark: float = 0.92
    low_watermark: float = 0.85


@dataclass(frozen=True, slots=True)
class RunOfPages:
    """What a get found: `pages[i]` is None for a hole, for a lost page and for one that is elsewhere."""

    pages: list[bytes | None]
    # (position in the run, row) of each page that only peers hold.
    elsewhere: list[tuple[int, int]]
    lost_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatistics:
    """One consistent snapshot; counts of pages unless the name says otherwise."""

    zbud: ZbudStatistics
    zpages: dict[Family, int]
    zpage_bytes: dict[Family, int]
    rows: int
    rows_max: int
    pools: int
    put_total: int
    put_zero_total: int
    put_same_filled_total: int
    put_raw_total: int
    put_zpage_bytes_total: int
    get_local_total: int
    get_elsewhere_total: int
    get_hole_total: int
    get_lost_total: int
    flushed_total: int
    # Ephemeral pages dropped to make room, all and those of others.
    evicted_total: int
    evicted_foreign_total: int
    corrupt_total: int
    lost_total: int


class Counters:
    """Plain counts since start; `statistics()` publishes them under the same names with `_total`."""

    def __init__(self) -> None:
        self.put = 0
        self.put_zero = 0
        self.put_same_filled = 0
        self.put_raw = 0
        self.put_zpage_bytes = 0
        self.get_local = 0
        self.get_elsewhere = 0
        self.get_hole = 0
        self.get_lost = 0
        self.flushed = 0
        self.evicted = 0
        self.evicted_foreign = 0
        self.corrupt = 0
        self.lost = 0


# What may be dropped, in this order: what its owner can miss and is not even ours; copies; what may vanish.
DROPPED_FIRST: Final = (Family.FOREIGN_EPHEMERAL, Family.OWN_CLEAN, Family.OWN_EPHEMERAL)
# Whose blocks may be evicted to make room for a zpage of a family, in this order.  Persistent displaces ephemeral,
# never the reverse; what is foreign never displaces what is ours, clean copies apart.
_EVICTED_FOR: Final = {
    Family.OWN_PERSISTENT: DROPPED_FIRST,
    Family.OWN_EPHEMERAL: DROPPED_FIRST,
    Family.OWN_CLEAN: (),
    Family.FOREIGN_PERSISTENT: (Family.FOREIGN_EPHEMERAL, Family.OWN_CLEAN),
    Family.FOREIGN_EPHEMERAL: (Family.FOREIGN_EPHEMERAL,),
}
assert set(_EVICTED_FOR) == set(Family)


class Store:
    """The pages of this node.  `core.traffic` moves zpages in and out of it, still compressed."""

    def __init__(self, map_memory: MapMemory, limits: StoreLimits) -> None:
        self.limits = limits
        self.rows = Rows(map_memory, limits.pages_max + FIRST_ROW)
        # One page in eight of each leaf is the sparsest use that does not run out of leaves first.
        self.table = PageTable(map_memory, max(16, limits.pages_max // 8))
        self.zbud = Zbud(
            map_memory,
            budget_bytes=limits.budget_bytes,
            budget_bytes_max=limits.budget_bytes_max,
        )
        self.pools = Pools()
        self.counters = Counters()
        self.zpages = [0] * len(Family)
        self.zpage_bytes = [0] * len(Family)
        self._serial = 0
        self._owed: dict[int, list[int]] = {}
        # Holder ids without a link: their copies do not count as long as there is a choice.
        self.unreachable_holders: set[int] = set()
        # How many clean blocks ever became ours alone.
        self.adopted_blocks = 0
        # The most copies that any pool ever wanted.
        self.copies_max = 1

    # Pools.

    def new_pool(
        self,
        kind: PoolKind,
        name: str,
        *,
        copies: int = 1,
        codec: PoolCodec = PoolCodec.LZ4,
        is_foreign: bool = False,
    ) -> PoolId:
        """Make a pool, whose pages are on `copies` peers when they are not here.

        Raises:
            PoolsExhausted: There are too many.
            CodecMissing: The library of the codec is not installed.
        """
        self.copies_max = max(self.copies_max, copies)
        return self.pools.new(kind, name, copies=copies, codec=codec, is_foreign=is_foreign).pool

    def set_copies(self, pool_id: PoolId, copies: int) -> None:
        """From now on the pages of a pool are on so many peers when they leave; what has left is the caller's to mend."""
        self.pools[pool_id].copies = copies
        self.copies_max = max(self.copies_max, copies)

    def destroy_pool(self, pool_id: PoolId) -> int:
        """Flush all pages of a pool and forget it; return how many there were."""
        pool = self.pools[pool_id]
        flushed = sum(self.flush_object(pool_id, object_id) for object_id in list(pool.objects))
        self.pools.remove(pool_id)
        return flushed

    def pages_of(self, pool_id: PoolId) -> int:
        """Return how many pages of a pool there are, wherever they are.  Walks its leaves."""
        used = self.table.leaf_used
        return sum(
            used[leaf]
            for page_object in self.pools[pool_id].objects.values()
            for leaf in page_object.leaves.values()
        )

    # Runs of pages.

    def put(self, pool_id: PoolId, object_id: bytes, index: int, pages: memoryview) -> int:
        """Store a run; return how many pages, counted from the start, were stored before room ran out.

        `pages` is a whole number of pages back to back, copied before this returns.  The pages from the
        returned count on are as they were before.
        """
        count = len(pages) // PAGE_BYTES
        assert count * PAGE_BYTES == len(pages)
        check_run(index, count)
        pool = self.pools[pool_id]
        page_object = pool.make_object(object_id)
        stored = 0
        while stored < count:
            address, run = self.make_entries(pool, page_object, index + stored, count - stored)
            if not address:
                break
            leaf = address >> LEAF_SHIFT
            # An eviction must not take away the leaf that we are writing into.
            self.table.leaf_used[leaf] += 1
            done = self._put_extent(pool, address, run, pages[stored * PAGE_BYTES :])
            self.table.count_hole(address)
            stored += done
            if done < run:
                break
        self.forget_if_empty(pool, page_object)
        self.counters.put += stored
        return stored

    def _put_extent(  # noqa: PLR0912, PLR0915  one loop: each page would pay for each call
        self, pool: Pool, address: int, run: int, pages: memoryview
    ) -> int:
        """Put the pages of one leaf.  The hot loop: everything it touches is a local name.

        A page that is overwritten keeps its row, whose serial is new: all that knows the old version compares serials.
        It keeps its slot too if the new zpage is of the same class, unless the block is on its way to a peer.
        """
        family, compress, tag = pool.family, pool.compressor.compress, pool.compressor.tag
        entries, alloc_row, counters = self.table.entries, self.rows.alloc, self.counters
        arena, slot_rows, pack_row, unpack_row, row_view = (
            self.zbud.arena, self.zbud.slot_rows, ROW.pack_into, ROW.unpack_from, self.rows.view,
        )  # fmt: skip
        # Slots of versions that were replaced: given back in one go, and before anything looks for room.
        freed: list[int] = []
        stacks, chunks_of_block, block_state = (
            self.zbud.stacks(family), self.zbud.chunks_of_block, self.zbud.state,
        )  # fmt: skip
        words = pages[: run * PAGE_BYTES].cast("Q")
        serial, zbytes_stored, zpages_stored, start = self._serial, 0, 0, 0
        zpages_freed, zbytes_freed = 0, 0
        done = run
        for place in range(address, address + run):
            page = pages[start : start + PAGE_BYTES]
            word = start >> _WORD_SHIFT
            start += PAGE_BYTES
            if words[word] == words[word + _LAST_WORD] and is_same_filled(page):
                self._give_back(freed)  # to find a row may evict
                if not self._put_filled(family, place, words[word], serial + 1):
                    done = place - address
                    break
                serial += 1
                continue
            zpage = compress(page)
            zbytes = len(zpage)
            packed = tag | zbytes
            if zbytes > ZPAGE_BYTES_MAX:
                zpage, zbytes, packed = page, PAGE_BYTES, PACKED_RAW
                counters.put_raw += 1
            chunks = (zbytes + _CHUNK_ROUND) >> _CHUNK_SHIFT
            row = before = entries[place]
            location = old_location = old_packed = holder = 0
            if before >= FIRST_ROW:
                _, _, _, old_location, old_packed, holder, _, _ = unpack_row(
                    row_view, row * ROW_BYTES
                )
                old_block = old_location >> SLOT_SHIFT
                if (
                    chunks_of_block[old_block] == chunks
                    and not holder
                    and block_state[old_block] != LEAVING
                ):
                    location = old_location
            if not location:
                if before < FIRST_ROW and not (row := alloc_row()):
                    self._give_back(freed)
                    row = self.find_row(family)
                stack = stacks[chunks]
                if stack:
                    location = stack.pop()
                else:
                    self._give_back(freed)
                    location = self.find_slot(family, chunks)
                    if (
                        entries[place] != before
                    ):  # evicted for the slot, so at least its row is free
                        row, before = alloc_row(), HOLE
                if not (row and location):
                    self.undo_put(row if before < FIRST_ROW else 0, location)
                    done = place - address
                    break
            if before < FIRST_ROW:
                entries[place] = row
                self.table.leaf_used[address >> LEAF_SHIFT] += not before
            elif holder:
                self._vacate(row)
            elif old_location:
                zbytes_freed += old_packed & ZPAGE_BYTES_MASK
                zpages_freed += 1
                if location != old_location:
                    freed.append(old_location)
            block = location >> SLOT_SHIFT
            offset = (block << BLOCK_SHIFT) + (location & SLOT_MASK) * (
                chunks_of_block[block] << _CHUNK_SHIFT
            )
            arena[offset : offset + zbytes] = zpage
            slot_rows[location] = row
            serial += 1
            zbytes_stored += zbytes
            zpages_stored += 1
            pack_row(
                row_view,
                row * ROW_BYTES,
                serial,
                checksum_of(page),
                place,
                location,
                packed,
                0,
                0,
                0,
            )
        self._give_back(freed)
        self._serial = serial
        # Without a holder, the old versions were of the same family.
        self.zpages[family] += zpages_stored - zpages_freed
        self.zpage_bytes[family] += zbytes_stored - zbytes_freed
        counters.put_zpage_bytes += zbytes_stored
        return done

    def _give_back(self, freed: list[int]) -> None:
        self.zbud.free_many(freed)
        freed.clear()

    def _put_filled(self, family: Family, place: int, word: int, serial: int) -> bool:
        """Put a page all of whose words are equal; return whether there was room to note it."""
        before = self.table.entries[place]
        if not word:
            row = ZERO
            if before >= FIRST_ROW:
                self.drop_row(before)
            self.counters.put_zero += 1
        else:
            row = before if before >= FIRST_ROW else self.rows.alloc() or self.find_row(family)
            if not row:
                return False
            if before >= FIRST_ROW:
                self._vacate(before)
            ROW.pack_into(
                self.rows.view, row * ROW_BYTES, serial, word, place, 0, PACKED_FILL, 0, 0, 0
            )
            self.counters.put_same_filled += 1
        self.table.entries[place] = row
        self.table.leaf_used[place >> LEAF_SHIFT] += not before
        return True

    def get(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> RunOfPages:
        """Return a run of pages; those that are elsewhere are named by their rows."""
        check_run(index, count)
        page_object = self.pools[pool_id].find_object(object_id)
        pages: list[bytes | None] = []
        elsewhere: list[tuple[int, int]] = []
        lost_count = 0
        while page_object is not None and len(pages) < count:
            address, run = self.table.find(page_object, index + len(pages), count - len(pages))
            if address:
                lost_count += self._get_extent(address, run, pages, elsewhere)
            else:
                pages.extend([None] * run)
        if page_object is None:
            pages = [None] * count
        self.counters.get_hole += pages.count(None) - lost_count - len(elsewhere)
        self.counters.get_lost += lost_count
        self.counters.get_elsewhere += len(elsewhere)
        return RunOfPages(pages, elsewhere, lost_count)

    def _get_extent(
        self,
        address: int,
        run: int,
        pages: list[bytes | None],
        elsewhere: list[tuple[int, int]],
    ) -> int:
        """Get the pages of one leaf; return how many are lost."""
        arena, chunks_of_block, row_view = (
            self.zbud.arena,
            self.zbud.chunks_of_block,
            self.rows.view,
        )
        pages_before, lost, local = len(pages), 0, 0
        for row in self.table.entries[address : address + run].tolist():
            page: bytes | None = None
            if row >= FIRST_ROW:
                _, checksum, _, location, packed, _, _, _ = ROW.unpack_from(
                    row_view, row * ROW_BYTES
                )
                if location or packed == PACKED_FILL:
                    block = location >> SLOT_SHIFT
                    offset = (block << BLOCK_SHIFT) + (location & SLOT_MASK) * (
                        chunks_of_block[block] << _CHUNK_SHIFT
                    )
                    zpage = arena[offset : offset + (packed & ZPAGE_BYTES_MASK)]
                    try:
                        page = decode_page(packed, zpage, checksum)
                        local += 1
                    except CorruptPage:
                        if self.on_corrupt(row):
                            elsewhere.append((len(pages), row))
                        elif self.table.entries[address + len(pages) - pages_before] == LOST:
                            lost += 1
                else:
                    elsewhere.append((len(pages), row))
            elif row == ZERO:
                page = ZERO_PAGE
                local += 1
            elif row == LOST:
                lost += 1
            pages.append(page)
        self.counters.get_local += local
        return lost

    def put_zeros(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> int:
        """Make a run read as zeros; return how many pages, counted from the start, there was room to note."""
        check_run(index, count)
        pool = self.pools[pool_id]
        page_object = pool.make_object(object_id)
        done = 0
        while done < count:
            address, run = self.make_entries(pool, page_object, index + done, count - done)
            if not address:
                break
            before = self.table.entries[address : address + run].tolist()
            self.table.entries[address : address + run] = _ZEROS[:run]
            self.table.leaf_used[address >> LEAF_SHIFT] += before.count(HOLE)
            for row in before:
                if row >= FIRST_ROW:
                    self.drop_row(row)
            done += run
        self.forget_if_empty(pool, page_object)
        self.counters.put += done
        self.counters.put_zero += done
        return done

    def refuse(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> None:
        """A put of this run was refused for good: what stood there before must not be readable any more.

        Pages of a persistent pool answer PageLost until they are put or flushed; ephemeral ones are a miss.
        Where there was nothing, nothing changes.
        """
        is_persistent = self.pools[pool_id].kind is PoolKind.PERSISTENT
        hidden = self._replace_pages(
            pool_id, object_id, index, count, LOST if is_persistent else HOLE
        )
        self.counters.lost += hidden if is_persistent else 0

    def flush(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> int:
        """Drop a run: it is a hole from now on.  Return how many pages there were."""
        dropped = self._replace_pages(pool_id, object_id, index, count, HOLE)
        self.counters.flushed += dropped
        return dropped

    def flush_object(self, pool_id: PoolId, object_id: bytes) -> int:
        """Drop all pages of an object; return how many there were."""
        page_object = self.pools[pool_id].find_object(object_id)
        if page_object is None:
            return 0
        return sum(
            self.flush(pool_id, object_id, base << LEAF_SHIFT, LEAF_PAGES)
            for base in list(page_object.leaves)
        )

    # Rows.

    @property
    def serial_last(self) -> int:
        """The newest serial."""
        return self._serial

    def locations(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> list[int]:
        """Return where the zpages of a run are in the arena, as far as they are here."""
        check_run(index, count)
        page_object = self.pools[pool_id].find_object(object_id)
        found: list[int] = []
        done = 0
        while page_object is not None and done < count:
            address, run = self.table.find(page_object, index + done, count - done)
            if address:
                rows = self.table.entries[address : address + run].tolist()
                found += (self.rows.location(row) for row in rows if row >= FIRST_ROW)
            done += run
        return [location for location in found if location]

    def serial_of(self, pool_id: PoolId, object_id: bytes, index: int) -> int:
        """Return the serial of the version that a page has now; 0 for holes, zeros and lost pages."""
        page_object = self.pools[pool_id].find_object(object_id)
        if page_object is None:
            return 0
        address, _ = self.table.find(page_object, index, 1)
        row = self.table.entries[address] if address else HOLE
        return self.rows.serial(row) if row >= FIRST_ROW else 0

    def drop_row(self, row: int) -> None:
        """Free a row and its slot; its holders are owed a flush.  The entry is the caller's."""
        self._vacate(row)
        self.rows.free(row)

    def _vacate(self, row: int) -> None:
        """Free the slot of a row, whose page is to be replaced or dropped; its holders are owed a flush."""
        serial, _, _, location, packed, first, second, third = ROW.unpack_from(
            self.rows.view, row * ROW_BYTES
        )
        if location:
            family = self.zbud.family_of_block[location >> SLOT_SHIFT]
            self.zpages[family] -= 1
            self.zpage_bytes[family] -= packed & ZPAGE_BYTES_MASK
            self.zbud.free(location)
        if first:
            for holder in (first, second, third):
                if holder:
                    self.owe(holder, serial)

    def owe(self, holder: int, serial: int) -> None:
        """Note that a holder keeps a version that nobody will ask for again."""
        serials = self._owed.get(holder)
        if serials is None:
            self._owed[holder] = [serial]
        else:
            serials.append(serial)

    def take_owed(self) -> dict[int, list[int]]:
        """Return the serials dropped since the last call, by holder id."""
        owed, self._owed = self._owed, {}
        return owed

    def kind_of(self, row: int) -> PoolKind:
        """Return the kind of the pool that a row's page is in."""
        page_object, _ = self.table.handle(self.rows.halves[row * HALVES_PER_ROW + ADDRESS])
        return self.pools[page_object.pool].kind

    def lose(self, row: int) -> bool:
        """The last copy of a page is gone.  Return whether that is a loss: an ephemeral page is a miss."""
        address = self.rows.halves[row * HALVES_PER_ROW + ADDRESS]
        page_object, _ = self.table.handle(address)
        pool = self.pools[page_object.pool]
        self.drop_row(row)
        if pool.family == Family.OWN_PERSISTENT:
            self.table.entries[address] = LOST
            self.counters.lost += 1
            return True
        self._make_hole(address)
        return False

    def forget_local(self, row: int) -> None:
        """Free the slot of a row; the page is elsewhere only."""
        place = row * HALVES_PER_ROW + LOCATION
        location = self.rows.halves[place]
        family = self.zbud.family_of_block[location >> SLOT_SHIFT]
        self.zpages[family] -= 1
        self.zpage_bytes[family] -= self.packed(row) & ZPAGE_BYTES_MASK
        self.rows.halves[place] = 0
        self.zbud.free(location)

    def packed(self, row: int) -> int:
        """Return the codec and length of a row."""
        return self.rows.quarters[row * QUARTERS_PER_ROW + PACKED]

    def checksum(self, row: int) -> int:
        """Return the checksum of a row's page."""
        return self.rows.words[row * WORDS_PER_ROW + CHECKSUM]

    def on_corrupt(self, row: int) -> bool:
        """The zpage here is not what was stored.  Return whether a peer has the page.

        If none has, a persistent page is lost and an ephemeral one a hole.
        """
        self.counters.corrupt += 1
        if self.rows.quarters[row * QUARTERS_PER_ROW + HOLDERS]:
            self.forget_local(row)
            return True
        self.lose(row)
        return False

    # Memory.

    def find_slot(self, family: Family, chunks: int) -> int:
        """Return a slot when the open block has none: reopen, make or evict a block; 0 if there is no room.

        A clean block that must be kept is adopted instead of evicted, which makes no room: after a few of those a
        put had better wait.
        """
        location = self.zbud.refill(family, chunks)
        adopted_before = self.adopted_blocks
        while not location and self.adopted_blocks - adopted_before < ADOPTED_BLOCKS_MAX:
            victim = self._oldest_victim(family)
            if victim is None:
                return 0
            self.evict_block(victim)
            location = self.zbud.refill(family, chunks)
        return location

    def find_row(self, family: Family) -> int:
        """Return a row when all are in use: evict pages for it; 0 if there are none to evict."""
        row = 0
        while not row and self._evict_pages_for(family):
            row = self.rows.alloc()
        return row

    def make_entries(
        self, pool: Pool, page_object: PageObject, index: int, count: int
    ) -> tuple[int, int]:
        """As `table.make`, but evict pages when all leaves are in use."""
        address, run = self.table.make(page_object, index, count)
        while not address and self._evict_pages_for(pool.family):
            # The eviction may have taken the last page of the object that we are about to fill.
            pool.objects[page_object.object_id] = page_object
            address, run = self.table.make(page_object, index, count)
        return address, run

    def _evict_pages_for(self, family: Family) -> bool:
        """Evict a block for its rows and entries, which dropping a clean copy would not free."""
        for victims in _EVICTED_FOR[family]:
            block = self.zbud.oldest(victims)
            if block is not None and victims is not Family.OWN_CLEAN:
                self.evict_block(block)
                return True
        return False

    def adopt_block(self, block: int, *, dead_holder: int = NO_HOLDER) -> int:
        """A clean block becomes ours alone: its holders are owed a flush, except one that is dead.

        A copy at a peer is given up only for one here that is what was put; a damaged one here is dropped instead.

        Returns:
            How many pages it has.
        """
        self.adopted_blocks += 1
        for row in self.zbud.rows(block):
            if self.rows.holders(row) not in ([], [dead_holder]) and not self._is_intact(row):
                self.counters.corrupt += 1
                self.rows.remove_holder(row, dead_holder)
                self.forget_local(row)
        if self.zbud.is_free(block):
            return 0
        rows = self.zbud.rows(block)
        for row in rows:
            for holder in self.rows.holders(row):
                self.rows.remove_holder(row, holder)
                if holder != dead_holder:
                    self.owe(holder, self.rows.serial(row))
        zbytes = sum(self.packed(row) & ZPAGE_BYTES_MASK for row in rows)
        self.change_family(block, Family.OWN_PERSISTENT, len(rows), zbytes)
        return len(rows)

    def _is_intact(self, row: int) -> bool:
        """Whether the zpage of a row, which is here, is what was put."""
        packed, start = self.packed(row), self.zbud.offset(self.rows.location(row))
        zpage = self.zbud.arena[start : start + (packed & ZPAGE_BYTES_MASK)]
        try:
            decode_page(packed, zpage, self.checksum(row))
        except CorruptPage:
            return False
        return True

    def change_family(self, block: int, family: Family, zpages: int, zbytes: int) -> None:
        """All zpages of a block, so many with so many bytes, become what another family is."""
        before = self.zbud.family_of_block[block]
        for each, sign in ((before, -1), (family, 1)):
            self.zpages[each] += sign * zpages
            self.zpage_bytes[each] += sign * zbytes
        self.zbud.change_family(block, family)

    def pool_of(self, row: int) -> Pool:
        """Return the pool of a row's page."""
        page_object, _ = self.table.handle(self.rows.halves[row * HALVES_PER_ROW + ADDRESS])
        return self.pools[page_object.pool]

    def copies_of(self, rows: Iterable[int]) -> int:
        """Return on how many peers a block with these rows must be kept, when it is not kept here."""
        return max((self.pool_of(row).copies for row in rows), default=1)

    def lacks_copies(self, block: int) -> bool:
        """Whether some page of a clean block has fewer holders that can be asked than it should: they may have died."""
        rows, unreachable = self.zbud.rows(block), self.unreachable_holders
        if not unreachable and self.copies_max == 1:
            return False
        copies = self.copies_of(rows)
        return any(
            sum(holder not in unreachable for holder in self.rows.holders(row)) < copies
            for row in rows
        )

    def evict_block(self, block: int) -> None:
        """Drop the zpages of a clean or ephemeral block; a clean one that lacks copies elsewhere is adopted instead."""
        family = Family(self.zbud.family_of_block[block])
        assert family not in {Family.OWN_PERSISTENT, Family.FOREIGN_PERSISTENT}
        if family is Family.OWN_CLEAN and self.lacks_copies(block):
            self.adopt_block(block)
            return
        self.zbud.begin_leaving(block)
        for row in self.zbud.rows(block):
            if family is Family.OWN_CLEAN:
                self.forget_local(row)
            else:
                address = self.rows.halves[row * HALVES_PER_ROW + ADDRESS]
                self.drop_row(row)
                self._make_hole(address)
                self.counters.evicted += 1
                self.counters.evicted_foreign += family is Family.FOREIGN_EPHEMERAL
        self.zbud.end_leaving(block)

    def _oldest_victim(self, family: Family) -> int | None:
        for victims in _EVICTED_FOR[family]:
            block = self.zbud.oldest(victims)
            if block is not None:
                return block
        return None

    def is_above(self, watermark: float) -> bool:
        """Whether what is in use exceeds a fraction of the budget; warm blocks are room, not use."""
        return self.zbud.used_bytes > watermark * self.zbud.budget_bytes

    def evict_some(self, families: Iterable[Family], down_to_bytes: int, blocks_max: int) -> int:
        """Evict the oldest blocks of these families, in this order, as long as more than `down_to_bytes` are resident.

        Returns:
            How many blocks, at most `blocks_max`.
        """
        evicted = 0
        for family in families:
            while (
                evicted < blocks_max
                and self.zbud.resident_bytes > down_to_bytes
                and (block := self.zbud.oldest(family)) is not None
            ):
                self.evict_block(block)
                evicted += 1
        return evicted

    def set_budget(self, budget_bytes: int) -> None:
        """Change the budget.  What is over it leaves as the caller evicts and remotifies."""
        assert 0 < budget_bytes <= self.limits.budget_bytes_max
        self.zbud.budget_bytes = budget_bytes
        # First what nobody uses, or pages would be evicted for it.
        self.zbud.trim()

    # What is true.

    def statistics(self) -> StoreStatistics:
        """Return a snapshot."""
        counters = {f"{name}_total": value for name, value in vars(self.counters).items()}
        return StoreStatistics(
            zbud=self.zbud.statistics(),
            zpages={family: self.zpages[family] for family in Family},
            zpage_bytes={family: self.zpage_bytes[family] for family in Family},
            rows=self.rows.used,
            rows_max=self.rows.rows_max,
            pools=sum(1 for _ in self.pools),
            **counters,
        )

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks everything."""
        self.zbud.check_invariants()
        rows_seen = 0
        zpages = [0] * len(Family)
        zbytes = [0] * len(Family)
        for pool in self.pools:
            for page_object in pool.objects.values():
                assert page_object.leaves, "an object without pages"
                for base, leaf in page_object.leaves.items():
                    first = leaf << LEAF_SHIFT
                    entries = self.table.entries[first : first + LEAF_PAGES].tolist()
                    assert LEAF_PAGES - entries.count(HOLE) == self.table.leaf_used[leaf] > 0
                    assert self.table.handle(first) == (page_object, base << LEAF_SHIFT)
                    for address, row in enumerate(entries, first):
                        if row < FIRST_ROW:
                            continue
                        rows_seen += 1
                        family = self._check_row(pool, address, row)
                        if family is not None:
                            zpages[family] += 1
                            zbytes[family] += self.packed(row) & ZPAGE_BYTES_MASK
        assert rows_seen == self.rows.used
        assert zpages == self.zpages
        assert zbytes == self.zpage_bytes
        assert sum(zpages) == self.zbud.slots_used(), "a slot that no row knows of"

    def _check_row(self, pool: Pool, address: int, row: int) -> Family | None:
        """Assert that row, entry and slot agree; return the family of the zpage, None if it is not here."""
        assert self.rows.serial(row) > 0
        assert self.rows.halves[row * HALVES_PER_ROW + ADDRESS] == address
        location = self.rows.location(row)
        holders = self.rows.holders(row)
        if not location:
            assert holders or self.packed(row) == PACKED_FILL, "a page that is nowhere"
            return None
        assert self.zbud.slot_rows[location] == row
        family = Family(self.zbud.family_of_block[location >> SLOT_SHIFT])
        assert family is (Family.OWN_CLEAN if holders else pool.family)
        return family

    # Entries.

    def _make_hole(self, address: int) -> None:
        page_object, _ = self.table.handle(address)
        self.table.entries[address] = HOLE
        self.table.count_hole(address)
        self.forget_if_empty(self.pools[page_object.pool], page_object)

    def forget_if_empty(self, pool: Pool, page_object: PageObject) -> None:
        """Forget an object without pages."""
        if not page_object.leaves:
            pool.objects.pop(page_object.object_id, None)

    def undo_put(self, row: int, location: int) -> None:
        """Give back what a put took before it found that there is no room for all of it."""
        if row:
            self.rows.free(row)
        if location:
            self.zbud.free(location)

    def _replace_pages(
        self, pool_id: PoolId, object_id: bytes, index: int, count: int, entry: int
    ) -> int:
        """Drop the pages of a run and leave `entry` (HOLE or LOST) in their place; holes stay holes."""
        check_run(index, count)
        pool = self.pools[pool_id]
        page_object = pool.find_object(object_id)
        if page_object is None:
            return 0
        dropped = 0
        for base in _leaf_bases(page_object, index, count):
            leaf = page_object.leaves[base]
            start = max(index, base << LEAF_SHIFT)
            end = min(index + count, (base + 1) << LEAF_SHIFT)
            dropped += self._replace_in_leaf(leaf, start, end - start, entry)
        self.forget_if_empty(pool, page_object)
        return dropped

    def _replace_in_leaf(self, leaf: int, index: int, count: int, entry: int) -> int:
        first = leaf << LEAF_SHIFT | index & (LEAF_PAGES - 1)
        dropped = 0
        for address, before in enumerate(self.table.entries[first : first + count].tolist(), first):
            if before == HOLE:
                continue
            if before >= FIRST_ROW:
                self.drop_row(before)
            self.table.entries[address] = entry
            dropped += 1
        if entry == HOLE and dropped:
            self.table.count_hole(first, dropped)
        return dropped

    # What quotas and work in slices need to know (ramsterd.tmemd).

    def count_pages(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> int | None:
        """Return how many pages of a run there are, wherever they are; None if the object has none at all."""
        check_run(index, count)
        page_object = self.pools[pool_id].find_object(object_id)
        if page_object is None:
            return None
        pages = 0
        for base in _leaf_bases(page_object, index, count):
            leaf = page_object.leaves[base] << LEAF_SHIFT
            start = leaf + max(index - (base << LEAF_SHIFT), 0)
            end = leaf + min(index + count - (base << LEAF_SHIFT), LEAF_PAGES)
            pages += end - start - self.table.entries[start:end].tolist().count(HOLE)
        return pages

    def leaf_starts(self, pool_id: PoolId, object_id: bytes, index: int, count: int) -> list[int]:
        """Return the first index of each leaf that a run touches: where `LEAF_PAGES` may be flushed at a time."""
        check_run(index, count)
        page_object = self.pools[pool_id].find_object(object_id)
        if page_object is None:
            return []
        return [base << LEAF_SHIFT for base in _leaf_bases(page_object, index, count)]

    def objects_of(self, pool_id: PoolId) -> int:
        """Return how many objects of a pool have pages."""
        return len(self.pools[pool_id].objects)

    def flush_some(self, pool_id: PoolId, leaves_max: int) -> int:
        """Flush up to `leaves_max` leaves of a pool, of any of its objects; return how many pages they had."""
        objects = self.pools[pool_id].objects
        flushed = 0
        while objects and leaves_max > 0:
            object_id, page_object = next(iter(objects.items()))
            bases = list(islice(page_object.leaves, leaves_max))
            leaves_max -= len(bases)
            for base in bases:
                flushed += self.flush(pool_id, object_id, base << LEAF_SHIFT, LEAF_PAGES)
        return flushed


def _leaf_bases(page_object: PageObject, index: int, count: int) -> Iterable[int]:
    """Return the bases of an object's leaves that a run touches, by whichever way is shorter."""
    first, last = index >> LEAF_SHIFT, (index + count - 1) >> LEAF_SHIFT
    leaves = page_object.leaves
    if last - first < len(leaves):
        return [base for base in range(first, last + 1) if base in leaves]
    return [base for base in leaves if first <= base <= last]
