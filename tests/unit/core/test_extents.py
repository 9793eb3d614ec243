"""What stands in long runs, and dropping them in slices: against page by page."""

import random

import pytest

from ramsterd.core import extents
from ramsterd.core.extents import PageStatus, StatusRun
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.replace import PIECE_UNITS
from ramsterd.core.store import Store
from ramsterd.core.table import FIRST_ADDRESS, HOLE, LEAF_PAGES, LOST, ZERO
from tests.helpers.disk import OBJECT
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import joined, make_fill, make_page, make_store

HUGE = 1 << 20
PLENTY = 1 << 20
TIB_PAGES = 1 << 28
# A frame of rows, one of nodes, and an object.
TABLES_OF_ONE_FRAME_EACH = 18_000


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
                drop_run(store, pool, OBJECT, index, count)
            case _:
                extents.put_zeros(store, pool, OBJECT, index, count)
        start, length = rng.randrange(1100), rng.randrange(1, 900)
        assert runs_of(store, pool, start, length) == page_by_page(store, pool, start, length)


@pytest.mark.parametrize("span", [1000, HUGE])
def test_slices_touch_a_bounded_number_of_pages_and_in_the_end_drop_all(
    store: Store, pool: PoolId, span: int
) -> None:
    put(store, pool, 3, *[make_page(100, seed=each) for each in range(900)])
    position, dropped, slices = 0, 0, 0
    while position < span:
        before, touched = store.pages_of(pool), store.work.total()
        reached, now = extents.flush_slice(
            store, pool, OBJECT, position, span - position, pages_max=100
        )
        assert store.work.total() - touched < 100 + LEAF_PAGES + PIECE_UNITS
        assert now == before - store.pages_of(pool)
        position += reached
        dropped += now
        slices += 1
    assert (position, dropped, slices) == (span, 900, 8)
    assert store.pages_of(pool) == 0
    store.check_invariants()


def test_a_slice_leaves_what_is_outside_of_it(store: Store, pool: PoolId) -> None:
    put(store, pool, 0, *[make_page(100, seed=each) for each in range(300)])
    assert extents.flush_slice(store, pool, OBJECT, 10, 200, pages_max=PLENTY) == (200, 200)
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
    extents.put_zeros(store, pool, OBJECT, 1000, 3)
    store.refuse(pool, OBJECT, 60, 1)
    assert extents.count_pages(store, pool, OBJECT, 0, HUGE) == 13
    assert extents.count_pages(store, pool, OBJECT, 62, 4) == 4
    assert extents.count_pages(store, pool, OBJECT, 0, 61) == 1
    assert extents.count_pages(store, pool, OBJECT, 200, 100) == 0


def test_some_pages_of_any_object_are_flushed_until_none_is_left(
    store: Store, pool: PoolId
) -> None:
    for index in (0, 64, 128):
        put(store, pool, index, *[make_page(100, seed=each) for each in range(5)])
    store.put(pool, b"another", 0, joined([make_page(100)]))
    flushed = []
    while store.objects_of(pool):
        flushed.append(extents.flush_some(store, pool, 12))
    assert (len(flushed), sum(flushed)) == (2, 16)
    assert extents.flush_some(store, pool, PLENTY) == 0
    store.check_invariants()


def test_a_pool_is_dropped_in_steps_and_ends_with_the_first(store: Store, pool: PoolId) -> None:
    for index in range(0, 640, 5):
        put(store, pool, index, *[make_page(100, seed=each) for each in range(5)])
    before = store.pages_of(pool)
    dropped: list[int] = []
    steps = extents.drop_pool(store, pool, dropped.append)
    next(steps)
    assert store.pools[pool].is_ended
    while pool in store.pools:
        assert sum(dropped) + store.pages_of(pool) == before
        store.check_invariants()
        next(steps)
    assert list(steps) == []
    assert sum(dropped) == before
    assert len(dropped) > 1
    store.check_invariants()


def test_a_tebibyte_of_zeros_on_a_disk_costs_next_to_nothing(store: Store) -> None:
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    bytes_before, touched = store.versions.tables.used_bytes, store.work.total()
    assert extents.put_zeros(store, disk, OBJECT, 1, TIB_PAGES - 2) == TIB_PAGES - 2
    assert store.versions.tables.used_bytes - bytes_before < 16 << 10
    assert store.work.total() - touched < 5000
    assert store.pages_of(disk) == TIB_PAGES - 2
    store.check_invariants()
    assert runs_of(store, disk, 0, TIB_PAGES) == [
        (PageStatus.HOLE, 1),
        (PageStatus.ZERO, TIB_PAGES - 2),
        (PageStatus.HOLE, 1),
    ]
    middle = TIB_PAGES // 2 + 5
    put(store, disk, middle, make_page(100))
    assert extents.flush_slice(store, disk, OBJECT, middle + 1, 1000, pages_max=HUGE)[0] == 1000
    found = runs_of(store, disk, middle - 1, 1003)
    assert [kind.name for kind, _ in found] == ["ZERO", "DATA", "HOLE", "ZERO"]
    assert [count for _, count in found] == [1, 1, 1000, 1]
    store.check_invariants()
    position, slices = 0, 0
    while position < TIB_PAGES:
        position += extents.flush_slice(
            store, disk, OBJECT, position, TIB_PAGES - position, pages_max=4096
        )[0]
        slices += 1
    assert slices < 20
    assert store.pages_of(disk) == 0
    assert store.versions.tables.used_bytes == bytes_before
    store.check_invariants()


def test_zeros_of_a_disk_are_made_in_bounded_steps(store: Store) -> None:
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    put(store, disk, 0, *[make_page(100, seed=each) for each in range(300)])
    done: list[int] = []
    while sum(done) < 300:
        done.append(extents.put_zeros(store, disk, OBJECT, sum(done), 300 - sum(done), steps_max=2))
    assert done == [128, 128, 44]
    assert runs_of(store, disk, 0, 301) == [(PageStatus.ZERO, 300), (PageStatus.HOLE, 1)]
    assert store.rows.used == 0


def test_zeros_that_a_client_writes_need_no_entries_on_a_disk(store: Store, pool: PoolId) -> None:
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    for each in (disk, pool):
        put(store, each, 0, *[make_page(0)] * 60, make_page(100), *[make_page(0)] * 70)
        put(store, each, 60, make_page(0))
    store.check_invariants()
    leaf = store.table.find(store.pools[disk].objects[OBJECT], 0, 1)[0]
    assert leaf < FIRST_ADDRESS, "zeros page by page fold up too"
    assert store.table.find(store.pools[pool].objects[OBJECT], 0, 1)[0] >= FIRST_ADDRESS
    for each in (disk, pool):
        assert drop_run(store, each, OBJECT, 3, 2) == 2
        assert runs_of(store, each, 0, 6) == [
            (PageStatus.ZERO, 3),
            (PageStatus.HOLE, 2),
            (PageStatus.ZERO, 1),
        ]
    store.check_invariants()


def test_a_flush_of_a_part_of_a_leaf_of_zeros_that_finds_no_room_leaves_zeros() -> None:
    store = make_store(tables_bytes_max=TABLES_OF_ONE_FRAME_EACH)
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    assert extents.put_zeros(store, disk, OBJECT, 0, 1 << 20) == 1 << 20
    index = 0
    while store.put(disk, OBJECT, index, joined([make_page(100)])):
        index += 4096
    assert extents.flush_slice(store, disk, OBJECT, index + 1, 3, pages_max=HUGE) == (3, 0)
    assert runs_of(store, disk, index, 64) == [(PageStatus.ZERO, 64)]
    assert drop_run(store, disk, OBJECT, 0, 1 << 20) == 1 << 20, "what is whole needs no room"
    store.check_invariants()
