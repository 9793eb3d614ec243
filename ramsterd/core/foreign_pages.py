"""Foreign pages: zpages that others' nodes put here, still compressed, under their owner's serials.

A pool of foreign pages has one object, in which a page's index is its serial.  Functions over the
store's parts, each a transaction like its own operations.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.page import INDEX_MAX, PoolId
from ramsterd.core.room import Room
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES
from ramsterd.core.size_classes import CHUNK_BYTES
from ramsterd.core.table import LEAF_PAGES, LEAF_SHIFT
from ramsterd.core.versions import Versions

FOREIGN_OBJECT: Final = b""
# What looking for the next leaf costs, in units of work.
_LEAF_UNITS: Final = 8


def put_zpages(
    room: Room,
    pool_id: PoolId,
    serials: Sequence[int],
    checksums: Sequence[int],
    packed: Sequence[int],
    body: memoryview,
) -> int:
    """Keep foreign zpages under their owner's serials; return how many, from the start, found room.

    Serials (above 0), packed numbers and lengths against `body` were checked by the parser.  A
    serial that is here already is left alone: the same serial is the same bytes.
    """
    versions = room.versions
    pool = versions.pools[pool_id]
    page_object = pool.make_object(FOREIGN_OBJECT)
    family, table, zbud, rows = pool.family, versions.table, versions.zbud, versions.rows
    stacks = zbud.stacks(family)
    start, stored, stored_bytes, kept = 0, 0, 0, 0
    versions.work["foreign put"] += 2 * len(serials)
    for serial, checksum, code in zip(serials, checksums, packed, strict=True):
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
    versions.forget_if_empty(pool, page_object)
    return stored


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
