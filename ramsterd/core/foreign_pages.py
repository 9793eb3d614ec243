"""Foreign pages: zpages that others' nodes put here, still compressed, under their owner's serials.

A pool of foreign pages has one object, in which a page's index is its serial.  Functions over the
store's parts, each a transaction like its own operations.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.page import INDEX_MAX, PoolId
from ramsterd.core.pools import Pool
from ramsterd.core.room import Room
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES
from ramsterd.core.size_classes import CHUNK_BYTES
from ramsterd.core.store import Store
from ramsterd.core.table import LEAF_PAGES, LEAF_SHIFT, PageObject
from ramsterd.core.twin_hold import Column
from ramsterd.core.versions import Versions

FOREIGN_OBJECT: Final = b""
# What looking for the next leaf costs, in units of work.
_LEAF_UNITS: Final = 8


def put_zpages(
    store: Store,
    pool_id: PoolId,
    serials: Column,
    checksums: Column,
    packed: Column,
    body: memoryview,
) -> int:
    """Keep foreign zpages under their owner's serials; return how many, from the start, found room.

    Serials (above 0), packed numbers and lengths against `body` were checked by the parser.  A
    serial that is here already is left alone: the same serial is the same bytes.
    """
    pool, twin, count = store.pools[pool_id], store.hold_twin, len(serials)
    page_object = pool.make_object(FOREIGN_OBJECT)
    columns = serials, checksums, packed
    store.work["foreign put"] += 2 * count
    # Python goes on with more pages each time that the twin comes no further.
    stored, start, each = 0, 0, count if twin is None else 1
    while stored < count:
        if twin is not None:
            before = stored
            stored, start = twin.put(pool, page_object, columns, body, stored, start)
            if stored > before:
                each = 1
                continue
        end = min(stored + each, count)
        stored, start = _put_some(store.room, pool, page_object, columns, body, stored, end, start)
        if stored < end:
            break
        each *= 2
    store.versions.forget_if_empty(pool, page_object)
    return stored


def _put_some(
    room: Room,
    pool: Pool,
    page_object: PageObject,
    columns: tuple[Column, Column, Column],
    body: memoryview,
    stored: int,
    end: int,
    start: int,
) -> tuple[int, int]:
    """Keep the zpages from `stored` to below `end`, which start at `start`; return up to which there was room, and where that starts."""
    versions = room.versions
    family, table, zbud, rows = pool.family, versions.table, versions.zbud, versions.rows
    stacks = zbud.stacks(family)
    stored_bytes, kept = 0, 0
    for serial, checksum, code in zip(*(each[stored:end] for each in columns), strict=True):
        zbytes = code & ZPAGE_BYTES_MASK
        address, _ = room.make_entries(pool, page_object, serial, 1)
        if not address:
            break
        if not table.entries[address]:
            chunks = -(-zbytes // CHUNK_BYTES)
            leaf = address >> LEAF_SHIFT
            # An eviction must not take away the leaf that we are writing into.
            table.pin(leaf)
            row = room.find_row(family)
            stack = stacks[chunks]
            location = stack.pop() if stack else room.find_slot(family, chunks)
            if not (row and location):
                room.undo_put(row, location)
                table.unpin(leaf)
                break
            zbud.fill(location, row, body[start : start + zbytes])
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
    versions.account(family, kept, stored_bytes)
    return stored, start


def answer_get(
    store: Store, pool_ids: tuple[PoolId, PoolId], serials: Column
) -> tuple[bytes, bytes] | None:
    """Return what GET_PAGES is answered (remote.wire), table and zpages, copied; of a page in both pools that in the first.

    None: that is not for the compiled loops, but for `get_zpages`.
    """
    twin = store.hold_twin
    if twin is None:
        return None
    first, second = (store.pools[pool_id].find_object(FOREIGN_OBJECT) for pool_id in pool_ids)
    answer = twin.get(first, second, serials)
    if answer is not None:
        store.work["foreign get"] += len(serials)
    return answer


def drop_ranges(
    store: Store,
    pool_id: PoolId,
    firsts: Column,
    lasts: Column,
    done: int,
    *,
    below: int,
    units_max: int,
) -> int:
    """Drop the pages in (first, last) ranges of serials, from the range at `done` on; return how many ranges.

    That ends at one that reaches `below`, and after `units_max` units of work; or at once, where
    ranges are not for the compiled loops: drop one as any run of pages (core.extents).
    """
    pool, twin = store.pools[pool_id], store.hold_twin
    page_object = pool.find_object(FOREIGN_OBJECT)
    if twin is None or page_object is None:
        return 0
    return twin.drop(pool, page_object, firsts, lasts, done, below, units_max)


def get_zpages(
    versions: Versions, pool_id: PoolId, serials: Sequence[int]
) -> tuple[list[int], list[memoryview]]:
    """Return, for each serial, its packed number (0: not here), and the zpages of those that are.

    The zpages are views of the arena: copy or send them before anything else changes the store.
    """
    page_object = versions.pools[pool_id].find_object(FOREIGN_OBJECT)
    if page_object is None:
        return [0] * len(serials), []
    zbud, entries, find = versions.zbud, versions.table.entries, versions.table.find
    packed, pieces = [], []
    versions.work["foreign get"] += len(serials)
    for serial in serials:
        row = entries[find(page_object, serial, 1)[0]]
        if row < FIRST_ROW:
            packed.append(0)
            continue
        _, _, _, location, code, _, _, _ = ROW.unpack_from(versions.rows.view, row * ROW_BYTES)
        offset = zbud.offset(location)
        packed.append(code)
        pieces.append(zbud.arena[offset : offset + (code & ZPAGE_BYTES_MASK)])
    return packed, pieces


def next_serials(
    versions: Versions, pool_ids: Iterable[PoolId], first: int
) -> tuple[list[int], int]:
    """Return the serials of these pools from `first` on that stand in one leaf, ascending, and up to where these are all.

    A leaf has 64 pages at most.  No serials, and `INDEX_MAX`: there are no more.
    """
    pieces = []
    for pool_id in pool_ids:
        versions.work["list"] += _LEAF_UNITS
        page_object = versions.pools[pool_id].find_object(FOREIGN_OBJECT)
        if page_object is not None:
            piece = versions.table.next_piece(page_object, first, INDEX_MAX + 1)
            if piece is not None:
                pieces.append(piece)
    if not pieces:
        return [], INDEX_MAX
    stop = min(index for index, _, _ in pieces) | LEAF_PAGES - 1
    serials = [
        serial
        for index, count, leaf in pieces
        if index <= stop
        for serial, row in enumerate(versions.table.entries_of(leaf, index, count), index)
        if row >= FIRST_ROW
    ]
    versions.work["list"] += len(serials) >> 3
    return (serials if len(pieces) == 1 else sorted(set(serials))), min(stop, INDEX_MAX)
