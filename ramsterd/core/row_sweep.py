"""A sweep of the row table: the pages that a holder keeps are found, and lost with it if it has ended.

A holder that lives may lack some: remote.holders.reconcile finds out which.

A slice of rows at a time, for there may be millions; remote.holders.row_sweeps says when.
Functions over the store's parts, each a transaction like its own operations.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ramsterd.core.page import PoolKind
from ramsterd.core.room import Room
from ramsterd.core.rows import Rows
from ramsterd.core.versions import Versions

# Rows that are passed over cost a unit of work for so many.
ROWS_PER_UNIT_SHIFT: Final = 4
# Rows whose columns are searched at once where not all of what is found may be wanted.
ROWS_AT_A_TIME: Final = 2048


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
    room: Room, holder: int, first_row: int, rows_count: int, *, pages_max: int = 1 << 32
) -> Swept:
    """Sweep a slice of the row table for a dead holder: forget it, and lose the pages that only it had.

    A page that is here too is kept: its block becomes ours alone.  The slice ends early when about
    `pages_max` pages have changed.
    """
    versions, rows = room.versions, room.versions.rows
    end = _slice_end(rows, first_row, rows_count)
    lost, changed, persistent, thinned = 0, 0, 0, list[int]()
    for row in each_held_by(versions, (holder,), first_row, end):
        if changed >= pages_max:
            return Swept(row, lost, thinned, persistent)
        if holder not in rows.holders(row):
            continue  # adopted with a page before it
        if block := versions.block_of(row):
            adopted = room.adopt_block(block, dead_holder=holder)
            persistent += adopted  # what is clean is persistent
            changed += adopted
            continue
        changed += 1
        rows.remove_holder(row, holder)
        if rows.first_holder(row):
            persistent += 1
            thinned.append(row)
        else:
            persistent += versions.lose(row)
            lost += 1
    return Swept(end if end < rows.high else 0, lost, thinned, persistent)


def find_held_by(versions: Versions, holder: int, first_row: int, rows_count: int) -> Swept:
    """Sweep a slice of the row table for a holder that is down: its pages may be at risk, and none is lost."""
    end = _slice_end(versions.rows, first_row, rows_count)
    thinned = rows_held_by(versions, (holder,), first_row, end)
    return Swept(end if end < versions.rows.high else 0, 0, thinned)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A slice of a sweep for what a holder lacks: the row to go on from (0 at the end), and what became of pages.

    `persistent` were promised to be kept; `lost` are those that nobody else has, and `thinned` the
    rows of the others.
    """

    next_row: int
    pages: int
    persistent: int
    lost: int
    thinned: list[int]


def serials_held_by(
    versions: Versions, holder: int, first_row: int, rows_count: int
) -> tuple["array[int]", int]:
    """Return the serials in a slice of rows that name a holder, and the row to go on from.

    0 at the end.
    """
    end = _slice_end(versions.rows, first_row, rows_count)
    serials = array(
        "Q", map(versions.rows.serial, rows_held_by(versions, (holder,), first_row, end))
    )
    return serials, end if end < versions.rows.high else 0


def forget_missing(
    room: Room,
    holder: int,
    missing: Sequence[int],
    first_row: int,
    rows_count: int,
    *,
    pages_max: int = 1 << 32,
) -> Forgotten:
    """Sweep a slice of the row table for versions that a holder lacks: it is none of their holders any more.

    A page that is here too becomes ours alone, with its block.  The slice ends early when
    `pages_max` pages have changed.

    Args:
        room: Whose rows these are.
        holder: Lives, and has other pages.
        missing: The serials, ascending.
        first_row: Where the slice begins.
        rows_count: How many rows are looked at.
        pages_max: How many pages may change.
    """
    versions, rows = room.versions, room.versions.rows
    end = _slice_end(rows, first_row, rows_count)
    pages, persistent, lost, thinned = 0, 0, 0, list[int]()
    for row in each_held_by(versions, (holder,), first_row, end):
        serial = rows.serial(row)
        at = bisect_left(missing, serial)
        if at == len(missing) or missing[at] != serial or holder not in rows.holders(row):
            continue  # it has the page; or that was adopted with a page before it
        if pages == pages_max:
            return Forgotten(row, pages, persistent, lost, thinned)
        pages += 1
        persistent += versions.kind_of(row) is PoolKind.PERSISTENT
        rows.remove_holder(row, holder)
        if versions.block_of(row):
            room.adopt_clean(row)
        elif rows.first_holder(row):
            thinned.append(row)
        else:
            lost += versions.lose(row)
    return Forgotten(end if end < rows.high else 0, pages, persistent, lost, thinned)


def _slice_end(rows: Rows, first_row: int, rows_count: int) -> int:
    return min(first_row + rows_count, rows.high)


def rows_held_by(versions: Versions, holders: Iterable[int], first_row: int, end: int) -> list[int]:
    """Return the rows from `first_row` to below `end` that name one of these holders."""
    found = versions.rows.held_by(holders, first_row, end)
    versions.work["sweep"] += len(found) + (max(0, end - first_row) >> ROWS_PER_UNIT_SHIFT)
    return found


def each_held_by(
    versions: Versions, holders: Collection[int], first_row: int, end: int
) -> Iterator[int]:
    """Yield the same, looking no further than is asked: who stops early has not paid for all of them."""
    for first in range(first_row, end, ROWS_AT_A_TIME):
        yield from rows_held_by(versions, holders, first, min(first + ROWS_AT_A_TIME, end))
