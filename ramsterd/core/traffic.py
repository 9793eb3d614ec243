"""Zpages in and out of the store, still compressed: what remotify, fetch and foreign pages need.

Functions over a `Store`, each a transaction like the store's own operations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES
from ramsterd.core.store import Store
from ramsterd.core.table import LEAF_SHIFT
from ramsterd.core.zbud import CHUNK_BYTES, Family

FOREIGN_OBJECT = b""
# Rows that are passed over cost a unit of work for so many.
ROWS_PER_UNIT_SHIFT: Final = 4


@dataclass(frozen=True, slots=True)
class Leaving:
    """The zpages of a block on its way to a peer: four parallel lists, and the bytes back to back."""

    block: int
    rows: list[int]
    serials: list[int]
    checksums: list[int]
    packed: list[int]
    body: bytes


def begin_leaving(store: Store, block: int) -> Leaving:
    """Take a block off the lists and copy what it holds; its pages stay readable."""
    zbud = store.zbud
    zbud.begin_leaving(block)
    rows = zbud.rows(block)
    store.work["send"] += 8 + len(rows)
    serials, checksums, packed_list, pieces = [], [], [], []
    for row in rows:
        serial, checksum, _, location, packed, _, _, _ = ROW.unpack_from(
            store.rows.view, row * ROW_BYTES
        )
        serials.append(serial)
        checksums.append(checksum)
        packed_list.append(packed)
        offset = zbud.offset(location)
        pieces.append(zbud.arena[offset : offset + (packed & ZPAGE_BYTES_MASK)])
    return Leaving(block, rows, serials, checksums, packed_list, b"".join(pieces))


def return_leaving(store: Store, leaving: Leaving) -> None:
    """The peer did not take the block: it stays, as the oldest of its family."""
    store.zbud.return_leaving(leaving.block)


def end_leaving(store: Store, leaving: Leaving, *holders: int) -> list[int]:
    """Peers hold the block: free it here.  Return the serials that were overtaken meanwhile.

    A page whose row still has the serial that was sent is now held by `holders` only.  One that was put
    again or flushed on the way is not: the holders keep a version that nobody will ask for.
    """
    current, overtaken = _still_current(store, leaving)
    for row in current:
        store.forget_local(row)
        store.rows.set_holders(row, holders)
    store.zbud.end_leaving(leaving.block)
    return overtaken


def keep_leaving(store: Store, leaving: Leaving, *holders: int) -> list[int]:
    """Peers hold the block, and it stays here too, as a clean one.  Return the serials that were overtaken."""
    current, overtaken = _still_current(store, leaving)
    zbytes = 0
    for row in current:
        store.rows.set_holders(row, holders)
        zbytes += store.zbytes(row)
    store.zbud.return_leaving(leaving.block)
    if current:
        store.change_family(leaving.block, Family.OWN_CLEAN, len(current), zbytes)
    return overtaken


def _still_current(store: Store, leaving: Leaving) -> tuple[list[int], list[int]]:
    """Return the rows that are as they were sent, and the serials of those that are not."""
    current, overtaken = [], []
    store.work["sent"] += len(leaving.rows)
    for row, serial in zip(leaving.rows, leaving.serials, strict=True):
        # The serial alone would not do: a row that was freed may serve a foreign page with the same serial by now.
        # But nothing new is put into a block that is leaving.
        is_here = store.block_of(row) == leaving.block
        if is_here and store.rows.serial(row) == serial:
            current.append(row)
        else:
            overtaken.append(serial)
    return current, overtaken


def install(store: Store, row: int, zpage: bytes | memoryview) -> bool:
    """Localify: keep a fetched zpage, if there is room below the high watermark.

    A persistent page becomes a clean copy of what its holder keeps.  An ephemeral one is ours alone again, and its
    holder is owed a flush: a copy there would be a promise that nobody gives.

    The caller has verified the zpage against the row and the serial against the one that it asked for.  A page
    that came home meanwhile, by another fetch, is left as it is.
    """
    if store.rows.location(row) or store.is_above(store.limits.high_watermark):
        return False
    is_ephemeral = store.kind_of(row) is PoolKind.EPHEMERAL
    family, zbytes = Family.OWN_EPHEMERAL if is_ephemeral else Family.OWN_CLEAN, len(zpage)
    chunks = -(-zbytes // CHUNK_BYTES)
    stack = store.zbud.stacks(family)[chunks]
    # Nothing is evicted for a page that is safe where it is.
    location = stack.pop() if stack else store.zbud.refill(family, chunks)
    if not location:
        return False
    store.work["install"] += 2
    _fill(store, location, row, zpage)
    store.rows.set_location(row, location)
    store.account(family, 1, zbytes)
    if is_ephemeral:
        for holder in store.rows.holders(row):
            store.rows.remove_holder(row, holder)
            store.owe(holder, store.rows.serial(row))
    return True


def adopt_oldest(store: Store) -> int:
    """The oldest clean block becomes ours alone, and its holders are owed a flush.  Return how many pages, 0 if none."""
    block = store.zbud.oldest(Family.OWN_CLEAN)
    if block is None:
        return 0
    return store.adopt_block(block)


@dataclass(frozen=True, slots=True)
class Swept:
    """A slice of a sweep: the row to go on from (0 at the end), how many pages were lost, and whose copies are fewer.

    `persistent` counts the pages that lost a copy and were promised to keep it.
    """

    next_row: int
    lost: int
    thinned: list[int]
    persistent: int = 0


def lose_held_by(
    store: Store, holder: int, first_row: int, rows_count: int, *, pages_max: int = 1 << 32
) -> Swept:
    """Sweep a slice of the row table for a dead holder: forget it, and lose the pages that only it had.

    A page that is here too is kept: its block becomes ours alone.  The slice ends early when about `pages_max` pages
    have changed.
    """
    end = _slice_end(store, first_row, rows_count)
    lost, changed, persistent, thinned = 0, 0, 0, list[int]()
    for row in rows_held_by(store, (holder,), first_row, end):
        if changed >= pages_max:
            return Swept(row, lost, thinned, persistent)
        if holder not in store.rows.holders(row):
            continue  # adopted with a page before it
        if block := store.block_of(row):
            adopted = store.adopt_block(block, dead_holder=holder)
            persistent += adopted  # what is clean is persistent
            changed += adopted
            continue
        changed += 1
        store.rows.remove_holder(row, holder)
        if store.rows.first_holder(row):
            persistent += 1
            thinned.append(row)
        else:
            persistent += store.lose(row)
            lost += 1
    return Swept(end if end < store.rows.high else 0, lost, thinned, persistent)


def find_held_by(store: Store, holder: int, first_row: int, rows_count: int) -> Swept:
    """Sweep a slice of the row table for a holder that is down: its pages may be at risk, and none is lost."""
    end = _slice_end(store, first_row, rows_count)
    thinned = rows_held_by(store, (holder,), first_row, end)
    return Swept(end if end < store.rows.high else 0, 0, thinned)


def _slice_end(store: Store, first_row: int, rows_count: int) -> int:
    return min(first_row + rows_count, store.rows.high)


def rows_held_by(store: Store, holders: Iterable[int], first_row: int, end: int) -> list[int]:
    """Return the rows from `first_row` to below `end` that name one of these holders."""
    found = store.rows.held_by(holders, first_row, end)
    store.work["sweep"] += len(found) + (max(0, end - first_row) >> ROWS_PER_UNIT_SHIFT)
    return found


def put_zpages(
    store: Store,
    pool_id: PoolId,
    serials: Sequence[int],
    checksums: Sequence[int],
    packed: Sequence[int],
    body: memoryview,
) -> int:
    """Keep foreign zpages under their owner's serials; return how many, from the start, found room.

    Serials (above 0), packed numbers and lengths against `body` were checked at the door.  A serial that is here already is left alone: the same
    serial is the same bytes.
    """
    pool = store.pools[pool_id]
    page_object = pool.make_object(FOREIGN_OBJECT)
    family, table, zbud, rows = pool.family, store.table, store.zbud, store.rows
    stacks = zbud.stacks(family)
    start, stored, stored_bytes, kept = 0, 0, 0, 0
    store.work["foreign put"] += 2 * len(serials)
    for serial, checksum, code in zip(serials, checksums, packed, strict=True):
        zbytes = code & ZPAGE_BYTES_MASK
        address, _ = store.make_entries(pool, page_object, serial, 1)
        if not address:
            break
        if not table.entries[address]:
            chunks = -(-zbytes // CHUNK_BYTES)
            leaf = address >> LEAF_SHIFT
            # An eviction must not take away the leaf that we are writing into.
            table.pin(leaf)
            row = store.find_row(family)
            stack = stacks[chunks]
            location = stack.pop() if stack else store.find_slot(family, chunks)
            if not (row and location):
                store.undo_put(row, location)
                table.unpin(leaf)
                break
            _fill(store, location, row, body[start : start + zbytes])
            ROW.pack_into(
                rows.view, row * ROW_BYTES, serial, checksum, address, location, code, 0, 0, 0
            )
            table.entries[address] = row
            table.count_pages(leaf, 1)
            table.unpin(leaf)
            kept += 1
            stored_bytes += zbytes
        start += zbytes
        stored += 1
    store.account(family, kept, stored_bytes)
    store.forget_if_empty(pool, page_object)
    return stored


def get_zpages(
    store: Store, pool_id: PoolId, serials: Sequence[int]
) -> tuple[list[int], list[memoryview]]:
    """Return, for each serial, its packed number (0: not here), and the zpages of those that are.

    The zpages are views of the arena: copy or send them before anything else changes the store.
    """
    page_object = store.pools[pool_id].find_object(FOREIGN_OBJECT)
    if page_object is None:
        return [0] * len(serials), []
    zbud, entries, find = store.zbud, store.table.entries, store.table.find
    packed, pieces = [], []
    store.work["foreign get"] += len(serials)
    for serial in serials:
        row = entries[find(page_object, serial, 1)[0]]
        if row < FIRST_ROW:
            packed.append(0)
            continue
        _, _, _, location, code, _, _, _ = ROW.unpack_from(store.rows.view, row * ROW_BYTES)
        offset = zbud.offset(location)
        packed.append(code)
        pieces.append(zbud.arena[offset : offset + (code & ZPAGE_BYTES_MASK)])
    return packed, pieces


def _fill(store: Store, location: int, row: int, zpage: bytes | memoryview) -> None:
    zbud = store.zbud
    offset = zbud.offset(location)
    zbud.arena[offset : offset + len(zpage)] = zpage
    zbud.slot_rows[location] = row
