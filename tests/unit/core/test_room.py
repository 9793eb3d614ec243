import pytest

from ramsterd.core import extents
from ramsterd.core.block_memory import WARM_BYTES_MAX
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.room import EVICTED_FOR_TABLES_MAX
from ramsterd.core.store import Store
from tests.helpers.disk import OBJECT, fill_up, put_run, read, remotify_all
from tests.helpers.dropping import drop_object, drop_run
from tests.helpers.made_pages import MIB, joined, make_fill, make_page, make_run, make_store
from tests.helpers.sending_node import A, B, SendingNode


def test_persistent_pages_displace_ephemeral_ones_and_never_the_reverse(
    store: Store, pool: PoolId, cache: PoolId
) -> None:
    count = 2 * MIB // PAGE_BYTES
    for index in range(0, 2 * count, 32):
        assert put_run(store, cache, index, make_run(PAGE_BYTES, 32, index)) == 32
    assert store.statistics().evicted_pages_total >= count
    assert fill_up(store, pool, PAGE_BYTES) == count
    assert put_run(store, cache, 0, [make_page(PAGE_BYTES)]) == 0
    assert read(store, cache, 0, 2 * count) == [None] * 2 * count
    assert None not in read(store, pool, 0, count)


def test_empty_blocks_are_room(store: Store, pool: PoolId, cache: PoolId) -> None:
    """An open block of each class of each pool would fill 2 MiB with nothing."""
    for index in range(64):
        put_run(store, pool, index, [make_page(40 + 64 * index)])
        drop_run(store, pool, OBJECT, 0, 64)
        store.check_invariants()
    assert store.zbud.used_bytes == 0
    assert fill_up(store, pool, PAGE_BYTES) == 2 * MIB // PAGE_BYTES


def test_warm_blocks_are_not_above_a_watermark(store: Store, pool: PoolId) -> None:
    fill_up(store, pool, PAGE_BYTES)
    assert store.room.is_short()
    drop_object(store, pool, OBJECT)
    assert store.zbud.resident_bytes == WARM_BYTES_MAX
    assert not store.room.is_above(0)


def test_a_smaller_budget_takes_unused_memory_first(
    store: Store, pool: PoolId, cache: PoolId
) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 128))
    put_run(store, cache, 0, make_run(PAGE_BYTES, 32))
    drop_object(store, pool, OBJECT)
    store.room.set_budget(160 * 1024)
    store.check_invariants()
    assert None not in read(store, cache, 0, 32)
    assert store.zbud.resident_bytes == 32 * PAGE_BYTES
    store.room.set_budget(64 * 1024)
    assert None not in read(store, cache, 0, 32)
    assert store.room.evict_some([Family.OWN_EPHEMERAL], 64 * 1024, 1) == 1
    assert read(store, cache, 0, 32).count(None) == 16
    assert store.room.evict_some([Family.OWN_EPHEMERAL], 64 * 1024, 1) == 0


def test_what_was_evicted_a_moment_ago_is_room_though_it_is_resident(
    store: Store, cache: PoolId
) -> None:
    put_run(store, cache, 0, make_run(PAGE_BYTES, 160))
    assert store.room.evict_some([Family.OWN_EPHEMERAL], 128 * PAGE_BYTES, 10) == 2
    assert store.zbud.resident_bytes == 160 * PAGE_BYTES


def test_evictions_are_bounded(store: Store, cache: PoolId) -> None:
    put_run(store, cache, 0, make_run(PAGE_BYTES, 160))
    assert store.room.evict_some([Family.OWN_CLEAN, Family.OWN_EPHEMERAL], 0, 3) == 3
    assert read(store, cache, 0, 160).count(None) == 48


def test_a_smaller_budget_leaves_persistent_pages_to_the_caller(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 64))
    store.room.set_budget(64 * 1024)
    assert store.room.is_above(1)
    assert None not in read(store, pool, 0, 64)
    remotify_all(store)
    assert store.zbud.resident_bytes <= 64 * 1024
    store.room.set_budget(2 * MIB)
    assert put_run(store, pool, 0, make_run(PAGE_BYTES, 64)) == 64


def test_ephemeral_pages_give_way_when_all_rows_are_in_use() -> None:
    store = make_store(pages_max=100)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    cache = store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    assert put_run(store, cache, 0, make_run(500, 150)) == 150
    assert put_run(store, pool, 0, [*make_run(500, 99), make_fill(4)]) == 100
    assert put_run(store, cache, 0, make_run(500, 1)) == 0
    assert None not in read(store, pool, 0, 100)


@pytest.mark.slow
def test_tables_are_bounded_and_ephemeral_pages_give_way_for_them() -> None:
    store = make_store(tables_bytes_max=64 << 10)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    cache = store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    for index in range(0, 64 * 1000, 64):
        assert store.put(cache, OBJECT, index, joined(make_run(500, 1))) == 1
    store.check_invariants()
    assert store.versions.tables.used_bytes > 60 << 10
    evicted = store.versions.counters.evicted
    assert evicted > 500
    index = 0
    while extents.put_zeros(store, pool, OBJECT, index, 1):
        index += 64
    assert store.versions.counters.evicted == 1000, "none of them is left"
    assert index > 64 * 150
    assert store.versions.tables.used_bytes <= 64 << 10
    assert put_run(store, cache, 0, make_run(500, 1)) == 0
    drop_object(store, pool, OBJECT)
    store.check_invariants()
    assert store.versions.tables.used_bytes < 28 << 10, (
        "all but the frames that are open is given back"
    )


@pytest.mark.slow
def test_a_put_evicts_a_bounded_number_of_blocks_for_the_tables_and_later_passes_the_others() -> (
    None
):
    """Each leaf has a page of each of many blocks: no leaf comes free before all these have gone."""
    # Room for 650 rows, a frame of nodes, of their records and of objects, and two objects.
    store = make_store(16 * MIB, tables_bytes_max=38_000)
    cache = store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    for place in range(50):
        for leaf in range(13):
            page = memoryview(make_page(64 * place + 30))
            assert store.put(cache, OBJECT, 64 * leaf + place, page) == 1
    store.check_invariants()
    before = store.work["evict"]
    assert put_run(store, pool, 0, make_run(500, 1)) == 0
    assert store.room.wants_tables is Family.OWN_PERSISTENT
    assert store.work["evict"] - before < EVICTED_FOR_TABLES_MAX * 40
    assert store.room.evict_for_tables()
    assert not store.room.evict_for_tables(), "it is wanted anew by each put"
    assert put_run(store, pool, 0, make_run(500, 1)) == 1


def test_room_that_is_made_is_told(store: Store, pool: PoolId, cache: PoolId) -> None:
    """Whatever lets a put find room that found none: slots, rows, leaves, copies that can be dropped, a budget."""
    told = [store.room.room_made]

    def is_told() -> bool:
        told.append(store.room.room_made)
        return told[-1] > told[-2]

    put_run(store, pool, 0, make_run(700, 40))
    extents.put_zeros(store, pool, OBJECT, 1000, 64)
    assert not is_told()
    drop_run(store, pool, OBJECT, 0, 1)
    assert is_told()  # a slot
    put_run(store, pool, 1, [make_page(3000)])
    assert is_told()  # the slot of the version before, which was smaller
    put_run(store, pool, 2, [make_fill(3)])
    assert is_told()
    drop_run(store, pool, OBJECT, 2, 1)
    assert is_told()  # a row without a slot
    drop_run(store, pool, OBJECT, 1000, 64)
    assert is_told()  # a leaf without rows
    put_run(store, cache, 0, make_run(700, 40))
    assert not is_told()
    store.room.evict_some([Family.OWN_EPHEMERAL], 0, 1)
    assert is_told()
    store.room.set_budget(store.zbud.budget_bytes)
    assert is_told()
    store.room.set_tables_max(store.versions.tables.bytes_max)
    assert is_told()
    remotify_all(store)
    assert is_told()


def test_clean_copies_are_dropped_for_any_page_of_ours(node: SendingNode) -> None:
    run = make_run(PAGE_BYTES, 64)
    node.put(0, run)
    for _ in range(4):
        node.remotify(A)
    for row in node.elsewhere(0, 64):
        assert node.fetch(row)
    node.put(100, make_run(PAGE_BYTES, 512))
    node.store.check_invariants()
    assert len(node.elsewhere(0, 64)) == 64
    assert node.store.statistics().evicted_pages_total == 0


def test_a_clean_copy_of_a_dead_holder_is_not_dropped_before_the_sweep(node: SendingNode) -> None:
    """A holder that is buried is told to the store; the sweep may take its time."""
    run = make_run(PAGE_BYTES, 16)
    node.put(0, run)
    node.remotify(A)
    for row in node.elsewhere(0, 16):
        node.fetch(row)
    node.store.copies.on_unreachable(A)
    # As many as there is room for beside these.
    assert node.store.put(node.pool, OBJECT, 100, joined(make_run(PAGE_BYTES, 600))) == 496
    assert node.lose(A) == 0
    assert node.store.get(node.pool, OBJECT, 0, 16).pages == run


def test_a_damaged_copy_here_leaves_its_page_with_fewer_copies(node: SendingNode) -> None:
    """Rebuild is told: the page is at its holders alone, and one of them may be gone."""
    node.put(0, make_run(1000, 3))
    node.remotify(A, B)
    rows = node.elsewhere(0, 3)
    for row in rows:
        node.fetch(row)
    store = node.store
    assert store.versions.take_thinned() == []
    store.zbud.arena[store.zbud.offset(store.rows.location(rows[0]))] ^= 1
    store.get(node.pool, OBJECT, 0, 1)
    assert store.versions.take_thinned() == [rows[0]]
    store.zbud.arena[store.zbud.offset(store.rows.location(rows[1]))] ^= 1
    assert node.lose(A) == 0
    assert store.versions.take_thinned() == [rows[1]]
    assert store.rows.holders(rows[1]) == [B]
    assert store.rows.holders(rows[2]) == []


def test_a_clean_copy_whose_holder_may_be_dead_is_not_dropped(node: SendingNode) -> None:
    """Nobody knows yet whether the holder lives: what is here may be the last copy."""
    run = make_run(PAGE_BYTES, 16)
    node.put(0, run)
    node.remotify(A)
    for row in node.elsewhere(0, 16):
        assert node.fetch(row)
    node.store.copies.on_unreachable(A)
    assert node.store.room.evict_some([Family.OWN_CLEAN], 0, 10) == 1
    node.store.check_invariants()
    assert node.elsewhere(0, 16) == []
    assert node.store.versions.zpages[Family.OWN_PERSISTENT] == 16
    assert len(node.store.versions.take_owed()[A]) == 16


def test_the_oldest_clean_block_is_adopted(node: SendingNode) -> None:
    node.put(0, make_run(PAGE_BYTES, 16))
    node.remotify(A, B)
    for row in node.elsewhere(0, 16):
        assert node.fetch(row)
    assert node.store.room.adopt_oldest() == 16
    node.store.check_invariants()
    assert {holder: len(owed) for holder, owed in node.store.versions.take_owed().items()} == {
        A: 16,
        B: 16,
    }
    assert node.store.room.adopt_oldest() == 0


@pytest.mark.parametrize("damaged", [1, 16])
def test_a_damaged_copy_here_is_not_adopted_for_a_good_one_there(
    node: SendingNode, damaged: int
) -> None:
    node.put(0, make_run(PAGE_BYTES, 16))
    node.remotify(A, B)
    rows = node.elsewhere(0, 16)
    for row in rows:
        assert node.fetch(row)
    store = node.store
    for row in rows[:damaged]:
        store.zbud.arena[store.zbud.offset(store.rows.location(row)) + 9] ^= 1
    assert store.room.adopt_oldest() == 16 - damaged
    store.check_invariants()
    assert store.versions.counters.corrupt == damaged
    assert node.elsewhere(0, 16) == rows[:damaged]
    owed = store.versions.take_owed()
    assert {holder: len(serials) for holder, serials in owed.items()} == (
        {A: 16 - damaged, B: 16 - damaged} if damaged < 16 else {}
    )
