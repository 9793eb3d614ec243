"""A sweep of the row table: the pages that a holder keeps are found, and lost with it if it has ended.

A slice of rows at a time, for there may be millions; remote.holders.row_sweeps says when.
Functions over the store's parts, each a transaction like its own operations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ramsterd.core.room import Room
from ramsterd.core.rows import Rows
from ramsterd.core.versions import Versions

# Rows that are passed over cost a unit of work for so many.
ROWS_PER_UNIT_SHIFT: Final = 4


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

    A page that is here too is kept: its block becomes ours alone.  The slice ends early when about `pages_max` pages
    have changed.
    """
    versions, rows = room.versions, room.versions.rows
    end = _slice_end(rows, first_row, rows_count)
    lost, changed, persistent, thinned = 0, 0, 0, list[int]()
    for row in rows_held_by(versions, (holder,), first_row, end):
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


def _slice_end(rows: Rows, first_row: int, rows_count: int) -> int:
    return min(first_row + rows_count, rows.high)


def rows_held_by(versions: Versions, holders: Iterable[int], first_row: int, end: int) -> list[int]:
    """Return the rows from `first_row` to below `end` that name one of these holders."""
    found = versions.rows.held_by(holders, first_row, end)
    versions.work["sweep"] += len(found) + (max(0, end - first_row) >> ROWS_PER_UNIT_SHIFT)
    return found
