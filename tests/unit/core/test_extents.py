"""What stands in long runs, and dropping them in slices: against page by page."""

import random

import pytest

from ramsterd.core import extents
from ramsterd.core.extents import PageStatus, StatusRun
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.store import Store
from ramsterd.core.table import HOLE, LEAF_PAGES, LOST, ZERO
from tests.unit.core.disk import OBJECT
from tests.unit.core.made_pages import joined, make_fill, make_page

HUGE = 1 << 20
PLENTY = 1 << 20


def put(store: Store, pool: PoolId, index: int, *pages: bytes) -> None:
    assert store.put(pool, OBJECT, index, joined(list(pages))) == len(pages)


def runs_of(store: Store, pool: PoolId, index: int, count: int) -> list[StatusRun]:
    return extents.status(store, pool, OBJECT, index, count, runs_max=PLENTY, leaves_max=PLENTY)


def page_by_page(store: Store, pool: PoolId, index: int, count: int) -> list[StatusRun]:
    """The same, the slow way."""
    page_object = store.pools[pool].find_object(OBJECT)
    runs: list[StatusRun] = []
    for each in range(index, index + count):
        address = store.table.find(page_object, each, 1)[0] if page_object else 0
        entry = store.table.entries[address] if address else HOLE
        kind = {HOLE: PageStatus.HOLE, ZERO: PageStatus.ZERO}.get(entry, PageStatus.DATA)
        if runs and runs[-1][0] is kind:
            runs[-1] = kind, runs[-1][1] + 1
        else:
            runs.append((kind, 1))
    return runs


def test_an_object_that_is_not_there_is_one_hole(store: Store, pool: PoolId) -> None:
    assert runs_of(store, pool, 5, HUGE) == [(PageStatus.HOLE, HUGE)]


def test_data_zeros_and_holes_are_told_apart_and_lost_pages_are_data(
    store: Store, pool: PoolId
) -> None:
    put(store, pool, 10, make_page(900), make_fill(7), make_page(0), make_page(0))
    put(store, pool, 14, make_page(900, seed=1))
    store.refuse(pool, OBJECT, 14, 1)
    assert runs_of(store, pool, 0, 20) == [
        (PageStatus.HOLE, 10),
        (PageStatus.DATA, 2),
        (PageStatus.ZERO, 2),
        (PageStatus.DATA, 1),
        (PageStatus.HOLE, 5),
    ]


def test_runs_go_on_across_leaves(store: Store, pool: PoolId) -> None:
    put(store, pool, 0, *[make_page(100, seed=each) for each in range(3 * LEAF_PAGES)])
    assert runs_of(store, pool, 0, 4 * LEAF_PAGES) == [
        (PageStatus.DATA, 3 * LEAF_PAGES),
        (PageStatus.HOLE, LEAF_PAGES),
    ]
    assert runs_of(store, pool, 3, LEAF_PAGES) == [(PageStatus.DATA, LEAF_PAGES)]


def test_a_status_ends_at_its_bounds_and_never_before_the_first_run(
    store: Store, pool: PoolId
) -> None:
    for index in range(0, 4 * LEAF_PAGES, 2):
        put(store, pool, index, make_page(100, seed=index))
    runs = extents.status(store, pool, OBJECT, 0, HUGE, runs_max=5, leaves_max=PLENTY)
    assert runs == page_by_page(store, pool, 0, 5)
    runs = extents.status(store, pool, OBJECT, 0, HUGE, runs_max=1, leaves_max=1)
    assert runs == [(PageStatus.DATA, 1)]
    runs = extents.status(store, pool, OBJECT, 1, HUGE, runs_max=PLENTY, leaves_max=2)
    assert sum(count for _, count in runs) == 2 * LEAF_PAGES - 1


def test_any_runs_are_what_page_by_page_finds(store: Store, pool: PoolId, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        index, count = rng.randrange(1000), rng.randrange(1, 100)
        match rng.randrange(3):
            case 0:
                pages = [make_page(rng.choice([0, 50]), seed=each) for each in range(count)]
                put(store, pool, index, *pages)
            case 1:
                store.flush(pool, OBJECT, index, count)
            case _:
                store.put_zeros(pool, OBJECT, index, count)
        start, length = rng.randrange(1100), rng.randrange(1, 900)
        assert runs_of(store, pool, start, length) == page_by_page(store, pool, start, length)


@pytest.mark.parametrize("span", [1000, HUGE])
def test_slices_drop_a_bounded_number_of_pages_and_in_the_end_all(
    store: Store, pool: PoolId, span: int
) -> None:
    put(store, pool, 3, *[make_page(100, seed=each) for each in range(900)])
    position, slices = 0, 0
    while position < span:
        before = store.pages_of(pool)
        position += extents.flush_slice(
            store, pool, OBJECT, position, span - position, pages_max=100
        )
        assert before - store.pages_of(pool) < 100 + LEAF_PAGES
        slices += 1
    assert position == span
    assert store.pages_of(pool) == 0
    assert slices == 8
    store.check_invariants()


def test_a_slice_leaves_what_is_outside_of_it(store: Store, pool: PoolId) -> None:
    put(store, pool, 0, *[make_page(100, seed=each) for each in range(300)])
    assert extents.flush_slice(store, pool, OBJECT, 10, 200, pages_max=PLENTY) == 200
    assert runs_of(store, pool, 0, 300) == [
        (PageStatus.DATA, 10),
        (PageStatus.HOLE, 200),
        (PageStatus.DATA, 90),
    ]


def test_lost_pages_are_dropped_too(store: Store, pool: PoolId) -> None:
    put(store, pool, 0, make_page(100))
    store.refuse(pool, OBJECT, 0, 1)
    assert runs_of(store, pool, 0, 1) == [(PageStatus(LOST), 1)]
    extents.flush_slice(store, pool, OBJECT, 0, 1, pages_max=1)
    assert runs_of(store, pool, 0, 1) == [(PageStatus.HOLE, 1)]


def test_pages_of_a_run_are_counted_wherever_they_are(store: Store, pool: PoolId) -> None:
    assert extents.count_pages(store, pool, OBJECT, 0, HUGE) is None
    put(store, pool, 60, *[make_page(100, seed=each) for each in range(10)])
    store.put_zeros(pool, OBJECT, 1000, 3)
    store.refuse(pool, OBJECT, 60, 1)
    assert extents.count_pages(store, pool, OBJECT, 0, HUGE) == 13
    assert extents.count_pages(store, pool, OBJECT, 62, 4) == 4
    assert extents.count_pages(store, pool, OBJECT, 0, 61) == 1
    assert extents.count_pages(store, pool, OBJECT, 200, 100) == 0


def test_leaves_that_a_run_touches_are_told_by_their_first_pages(
    store: Store, pool: PoolId
) -> None:
    assert extents.leaf_starts(store, pool, OBJECT, 0, HUGE) == []
    for index in (1000, 60, 64):
        put(store, pool, index, make_page(100, seed=index))
    assert extents.leaf_starts(store, pool, OBJECT, 0, HUGE) == [0, 64, 960]
    assert extents.leaf_starts(store, pool, OBJECT, 65, 1) == [64]


def test_some_leaves_of_any_object_are_flushed_until_none_is_left(
    store: Store, pool: PoolId
) -> None:
    for index in (0, 64, 128):
        put(store, pool, index, *[make_page(100, seed=each) for each in range(5)])
    store.put(pool, b"another", 0, joined([make_page(100)]))
    assert extents.flush_some(store, pool, 2) == 10
    assert extents.flush_some(store, pool, PLENTY) == 6
    assert extents.flush_some(store, pool, PLENTY) == 0
    assert store.objects_of(pool) == 0
    store.check_invariants()


@pytest.mark.parametrize(
    "ranges",
    [
        [(3, 3), (70, 71)],
        [(0, 5), (130, 1 << 40), (1 << 41, 1 << 42)],
        [(0, 1 << 47)],
        [(64, 127), (128, 130), (131, 1 << 30)],
        [(500, 600)],
    ],
)
def test_ranges_are_flushed_once_however_wide(store: Store, ranges: list[tuple[int, int]]) -> None:
    pool = store.new_pool(PoolKind.PERSISTENT, "disk")
    indexes = [1, 3, 63, 64, 70, 71, 129, 130, 131, 5000, 1 << 41]
    for index in indexes:
        assert store.put(pool, b"", index, joined([make_page(1000, index)])) == 1
    inside = [index for index in indexes if any(first <= index <= last for first, last in ranges)]
    assert extents.flush_ranges(store, pool, b"", ranges) == len(inside)
    left = [index for index in indexes if store.get(pool, b"", index, 1).pages != [None]]
    assert left == [index for index in indexes if index not in inside]
    assert extents.flush_ranges(store, pool, b"", ranges) == 0
    store.check_invariants()
