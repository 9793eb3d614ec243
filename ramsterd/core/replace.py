"""Pages that end: holes, or LOST, stand in their place.

A run may have a billion pages, most of them zeros that have no entry of their own: the page table
takes those by the largest parts that it can.  Functions over `Versions`.
"""

from typing import Final

from ramsterd.core.pools import Pool, check_run
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.table import FIRST_ADDRESS, HOLE, LEAF_PAGES, LEAF_SHIFT, ZERO, PageObject
from ramsterd.core.versions import Versions

# To find a leaf, or the next one however far away, costs as much as so many pages of it.
PIECE_UNITS: Final = 4


def replace_run(
    versions: Versions, pool: Pool, object_id: bytes, index: int, count: int, entry: int
) -> int:
    """Drop the pages of a run and leave `entry` (HOLE or LOST) in their place; holes stay holes."""
    check_run(index, count)
    page_object = pool.find_object(object_id)
    if page_object is None:
        return 0
    address, run = versions.table.find(page_object, index, count)
    if run == count and (not address or address >= FIRST_ADDRESS):  # as most runs: in one leaf
        leaf = address >> LEAF_SHIFT
        dropped = _replace_in_leaf(versions, leaf, index, count, entry) if address else 0
    else:
        dropped = sum(
            replace_piece(versions, page_object, *piece, entry)
            for piece in versions.table.pieces(page_object, index, count)
        )
    versions.forget_if_empty(pool, page_object)
    versions.work["flush"] += PIECE_UNITS + dropped
    return dropped


def replace_piece(
    versions: Versions, page_object: PageObject, index: int, count: int, leaf: int, entry: int
) -> int:
    """Drop what `table.next_piece` found and leave `entry` in its place.

    Return how many pages that was.

    The caller forgets the object if that was all of it.
    """
    if leaf != ZERO:
        return _replace_in_leaf(versions, leaf, index, count, entry)
    # Zeros without entries: the table takes the largest parts that it can, and copies a leaf for
    # what is less.
    dropped, end = 0, index + count
    while index < end:
        filled = versions.table.fill(page_object, index, end - index, HOLE) if not entry else 0
        if filled:
            dropped += filled
        else:
            address, filled = versions.table.make(page_object, index, end - index)
            if not address:
                break  # on a disk they may as well stay zeros
            dropped += _replace_in_leaf(versions, address >> LEAF_SHIFT, index, filled, entry)
        index += filled
    return dropped


def _replace_in_leaf(versions: Versions, leaf: int, index: int, count: int, entry: int) -> int:
    first = leaf << LEAF_SHIFT | index & (LEAF_PAGES - 1)
    dropped = 0
    for address, before in enumerate(versions.table.entries[first : first + count].tolist(), first):
        if before == HOLE:
            continue
        versions.table.entries[address] = entry
        if before >= FIRST_ROW:
            versions.drop_row(before)
        dropped += 1
    if entry == HOLE and dropped:
        versions.table.count_hole(first, dropped)
    return dropped
