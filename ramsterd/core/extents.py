"""Long runs of pages, leaf by leaf: what stands in them, and zeros or nothing put in their place, a bounded piece at a time.

A run of a disk may have a billion pages, most of them holes or zeros.  These cost nothing here,
where whole leaves of them are, and what else is there is bounded by the caller.  Functions over a
`Store`, each a transaction.
"""

import enum
from collections.abc import Callable
from itertools import groupby
from typing import Final, TypeAlias

from ramsterd.core.page import INDEX_MAX, PoolId
from ramsterd.core.pools import Pool, check_run
from ramsterd.core.replace import PIECE_UNITS, replace_piece, replace_run
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.slices import Steps
from ramsterd.core.store import Store
from ramsterd.core.table import HOLE, LEAF_PAGES, LEAF_SHIFT, LOST, ZERO, PageObject
from ramsterd.core.table_words import FILLED

# Pages of a pool dropped in one step, after which others may have their turn.
_DROPPED_PAGES: Final = 64
NO_BOUND: Final = 1 << 62


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

    They cover less than the run when there are more of them than `runs_max`, or more leaves than
    `leaves_max`.
    """
    check_run(index, count)
    page_object = store.pools[pool_id].find_object(object_id)
    if page_object is None:
        return [(PageStatus.HOLE, count)]
    runs: list[StatusRun] = []
    position = index
    for pieces, (start, run, leaf) in enumerate(store.table.pieces(page_object, index, count)):
        if pieces == leaves_max:
            return runs[:runs_max]
        _append(runs, PageStatus.HOLE, start - position)
        if leaf == ZERO:
            _append(runs, PageStatus.ZERO, run)
        else:
            _append_leaf(runs, store.table.entries_of(leaf, start, run).tolist())
        position = start + run
        if len(runs) > runs_max:
            return runs[:runs_max]
    _append(runs, PageStatus.HOLE, index + count - position)
    return runs[:runs_max]


def count_pages(
    store: Store, pool_id: PoolId, object_id: bytes, index: int, count: int
) -> int | None:
    """Return how many pages of a run there are, wherever they are.

    None if the object has none at all.
    """
    check_run(index, count)
    page_object = store.pools[pool_id].find_object(object_id)
    if page_object is None:
        return None
    return sum(
        run if leaf == ZERO else run - store.table.entries_of(leaf, start, run).tolist().count(HOLE)
        for start, run, leaf in store.table.pieces(page_object, index, count)
    )


def put_zeros(
    store: Store,
    pool_id: PoolId,
    object_id: bytes,
    index: int,
    count: int,
    *,
    steps_max: int = NO_BOUND,
) -> int:
    """Make a run read as zeros.

    Return how many pages, counted from the start, that was done for.

    It is less than `count` if there was no room to note more, or after `steps_max` leaves, or
    larger parts of a disk that were taken in one step.
    """
    check_run(index, count)
    pool = store.pools[pool_id]
    page_object = pool.make_object(object_id)
    done, steps = 0, 0
    while done < count and steps < steps_max:
        at, left = index + done, count - done
        steps += 1
        filled = store.table.fill(page_object, at, left, ZERO) if pool.is_disk else 0
        filled = filled or _put_zeros_in_leaf(store, pool, page_object, at, left)
        if not filled:
            break
        done += filled
    store.versions.forget_if_empty(pool, page_object)
    store.counters.put += done
    store.counters.put_zero += done
    store.counters.put_zeroed += done
    store.work["zero"] += PIECE_UNITS * steps
    return done


def _put_zeros_in_leaf(
    store: Store, pool: Pool, page_object: PageObject, index: int, count: int
) -> int:
    address, run = store.room.make_entries(pool, page_object, index, count)
    if not address:
        return 0
    leaf = address >> LEAF_SHIFT
    before = store.table.entries[address : address + run].tolist()
    for place, row in enumerate(before, address):
        if row >= FIRST_ROW:
            store.table.entries[place] = ZERO
            store.versions.drop_row(row)
    store.table.entries[address : address + run] = FILLED[ZERO][:run]
    store.table.count_pages(leaf, before.count(HOLE))
    store.work["zero"] += run
    if pool.is_disk:
        store.table.fold(leaf)
    return run


def flush_slice(
    store: Store, pool_id: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
) -> tuple[int, int]:
    """Drop about `pages_max` pages from the start of a run.

    Return how far that is, and how many pages there were.

    At most a leaf more is touched; all of the run is done if it is no longer than `pages_max`.
    """
    pool = store.pools[pool_id]
    if count <= pages_max:  # as most runs
        dropped = replace_run(store.versions, pool, object_id, index, count, HOLE)
        store.versions.counters.flushed += dropped
        return count, dropped
    check_run(index, count)
    page_object = pool.find_object(object_id)
    if page_object is None:
        return count, 0
    dropped, touched, pieces, reached = 0, 0, 0, count
    for start, run, leaf in store.table.pieces(page_object, index, count):
        if touched >= pages_max:
            reached = start - index
            break
        now = replace_piece(store.versions, page_object, start, run, leaf, HOLE)
        dropped += now
        # A piece has a page at least; of zeros without entries there may be any number, for the
        # price of one leaf.
        touched += max(1, min(now, LEAF_PAGES))
        pieces += 1
    store.versions.forget_if_empty(pool, page_object)
    store.versions.counters.flushed += dropped
    store.work["flush"] += PIECE_UNITS * pieces + touched
    return reached, dropped


def flush_some(store: Store, pool_id: PoolId, pages_max: int) -> int:
    """Drop about `pages_max` pages of a pool, of any of its objects.

    Return how many.  0: there are none any more.
    """
    objects, flushed, touched = store.pools[pool_id].objects, 0, 0
    while objects and touched < pages_max:
        object_id = next(reversed(objects))
        _, dropped = flush_slice(
            store, pool_id, object_id, 0, INDEX_MAX + 1, pages_max=pages_max - touched
        )
        flushed += dropped
        touched += 1 + dropped
    return flushed


def drop_pool(store: Store, pool_id: PoolId, on_dropped: Callable[[int], None]) -> Steps:
    """End a pool at once, so that none of its pages is read again; the steps drop them (core.slices)."""
    store.end_pool(pool_id)
    return _drop_pages(store, pool_id, on_dropped)


def _drop_pages(store: Store, pool_id: PoolId, on_dropped: Callable[[int], None]) -> Steps:
    work = store.work
    before = work["flush"]
    while dropped := flush_some(store, pool_id, _DROPPED_PAGES):
        on_dropped(dropped)
        yield work["flush"] - before
        before = work["flush"]
    store.destroy_pool(pool_id)
    yield 1


def _append_leaf(runs: list[StatusRun], entries: list[int]) -> None:
    if min(entries) >= LOST:
        _append(runs, PageStatus.DATA, len(entries))
        return
    for kind, group in groupby(min(entry, LOST) for entry in entries):
        _append(runs, PageStatus(kind), sum(1 for _ in group))


def _append(runs: list[StatusRun], kind: PageStatus, count: int) -> None:
    if runs and runs[-1][0] is kind:
        runs[-1] = kind, runs[-1][1] + count
    elif count:
        runs.append((kind, count))
