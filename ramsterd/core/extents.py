"""Long runs of pages, leaf by leaf: what stands in them, and dropping them a bounded piece at a time.

A run of a disk may have a million pages, most of them holes.  Holes cost nothing here, where whole leaves are
missing, and what is there is bounded by the caller.  Functions over a `Store`, each a transaction.
"""

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import groupby, islice
from typing import TypeAlias

from ramsterd.core.page import PoolId
from ramsterd.core.store import Store
from ramsterd.core.table import HOLE, LEAF_PAGES, LEAF_SHIFT, LOST, ZERO
from ramsterd.core.tmem import check_run


class PageStatus(enum.IntEnum):
    """What is known of a page without looking into it."""

    HOLE = HOLE
    ZERO = ZERO
    # A row, wherever its zpage is; or lost, which is not zeros.
    DATA = LOST


assert max(HOLE, ZERO) < LOST

# A status, and how many pages in a row have it.
StatusRun: TypeAlias = tuple[PageStatus, int]


def status(
    store: Store,
    pool_id: PoolId,
    object_id: bytes,
    index: int,
    count: int,
    *,
    runs_max: int,
    leaves_max: int,
) -> list[StatusRun]:
    """Return runs that differ from their neighbours, from the first page of a run on, at least one.

    They cover less than the run when there are more of them than `runs_max`, or more leaves than `leaves_max`.
    """
    check_run(index, count)
    page_object = store.pools[pool_id].find_object(object_id)
    if page_object is None:
        return [(PageStatus.HOLE, count)]
    runs: list[StatusRun] = []
    position, end = index, index + count
    for leaf_count, base in enumerate(page_object.bases(index, count)):
        if leaf_count == leaves_max:
            return runs[:runs_max]
        start, stop = _cut(base, index, end)
        _append(runs, PageStatus.HOLE, start - position)
        address, _ = store.table.find(page_object, start, stop - start)
        entries = store.table.entries[address : address + stop - start].tolist()
        if min(entries) >= LOST:
            _append(runs, PageStatus.DATA, len(entries))
        else:
            for kind, group in groupby(min(entry, LOST) for entry in entries):
                _append(runs, PageStatus(kind), sum(1 for _ in group))
        position = stop
        if len(runs) > runs_max:
            return runs[:runs_max]
    _append(runs, PageStatus.HOLE, end - position)
    return runs[:runs_max]


def count_pages(
    store: Store, pool_id: PoolId, object_id: bytes, index: int, count: int
) -> int | None:
    """Return how many pages of a run there are, wherever they are; None if the object has none at all."""
    check_run(index, count)
    page_object = store.pools[pool_id].find_object(object_id)
    if page_object is None:
        return None
    pages = 0
    for base in page_object.bases(index, count):
        start, stop = _cut(base, index, index + count)
        address, run = store.table.find(page_object, start, stop - start)
        pages += run - store.table.entries[address : address + run].tolist().count(HOLE)
    return pages


def leaf_starts(
    store: Store, pool_id: PoolId, object_id: bytes, index: int, count: int
) -> list[int]:
    """Return the first index of each leaf that a run touches: where `LEAF_PAGES` may be flushed at a time."""
    check_run(index, count)
    page_object = store.pools[pool_id].find_object(object_id)
    if page_object is None:
        return []
    return [base << LEAF_SHIFT for base in page_object.bases(index, count)]


def flush_slice(
    store: Store, pool_id: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
) -> int:
    """Drop pages from the start of a run until about `pages_max` were dropped; return how far that is.

    At most LEAF_PAGES more are dropped; the answer is `count` when nothing is left.
    """
    check_run(index, count)
    page_object = store.pools[pool_id].find_object(object_id)
    if page_object is None:
        return count
    end, dropped = index + count, 0
    for base in page_object.bases(index, count):
        start, stop = _cut(base, index, end)
        dropped += store.flush(pool_id, object_id, start, stop - start)
        if dropped >= pages_max:
            return stop - index
    return count


def flush_ranges(
    store: Store, pool_id: PoolId, object_id: bytes, ranges: Sequence[tuple[int, int]]
) -> int:
    """Drop the pages in these (first, last) ranges, which ascend and share nothing; return how many there were.

    However wide the ranges are, each leaf is looked at once.
    """
    page_object = store.pools[pool_id].find_object(object_id)
    if page_object is None:
        return 0
    leaves = page_object.leaves
    if sum((last >> LEAF_SHIFT) - (first >> LEAF_SHIFT) + 1 for first, last in ranges) <= len(
        leaves
    ):
        return sum(
            store.flush(pool_id, object_id, first, last - first + 1) for first, last in ranges
        )
    bases, flushed = sorted(leaves), 0
    for first, last in ranges:
        begin = bisect_left(bases, first >> LEAF_SHIFT)
        for base in bases[begin : bisect_right(bases, last >> LEAF_SHIFT)]:
            start, stop = _cut(base, first, last + 1)
            flushed += store.flush(pool_id, object_id, start, stop - start)
    return flushed


def flush_some(store: Store, pool_id: PoolId, leaves_max: int) -> int:
    """Flush up to `leaves_max` leaves of a pool, of any of its objects; return how many pages they had."""
    objects = store.pools[pool_id].objects
    flushed = 0
    while objects and leaves_max > 0:
        object_id, page_object = next(iter(objects.items()))
        bases = list(islice(page_object.leaves, leaves_max))
        leaves_max -= len(bases)
        for base in bases:
            flushed += store.flush(pool_id, object_id, base << LEAF_SHIFT, LEAF_PAGES)
    return flushed


def _cut(base: int, start: int, end: int) -> tuple[int, int]:
    """Return the first and the end index of what a leaf has of a run."""
    return max(start, base << LEAF_SHIFT), min(end, (base << LEAF_SHIFT) + LEAF_PAGES)


def _append(runs: list[StatusRun], kind: PageStatus, count: int) -> None:
    if runs and runs[-1][0] is kind:
        runs[-1] = kind, runs[-1][1] + count
    elif count:
        runs.append((kind, count))
