"""The page table that an earlier process left goes on as if that had never ended."""

from typing import Final

import pytest

from ramsterd.core import extents
from ramsterd.core.adoption import FoundObject, FoundTable, adopt_table
from ramsterd.core.page import INDEX_MAX, PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool, program_pool
from ramsterd.core.store import Store
from ramsterd.core.table_words import HOLE, LEAF_SHIFT, OBJECT_BYTES, OBJECT_POOL, OBJECT_ROOT, ZERO
from ramsterd.core.versions import StoreLimits
from tests.helpers.adopted_store import adopted
from tests.helpers.dropping import drop_object, drop_pool, drop_run
from tests.helpers.kept_memory import KeptMemory
from tests.helpers.made_pages import MIB, joined, make_fill, make_page, make_run

LIMITS: Final = StoreLimits(budget_bytes=2 * MIB, budget_bytes_max=2 * MIB, pages_max=4096)
LONG_ID: Final = b"an id of 24 bytes, whole"


@pytest.fixture
def memory() -> KeptMemory:
    return KeptMemory()


@pytest.fixture
def store(memory: KeptMemory) -> Store:
    return Store(memory, LIMITS)


def make_disk(store: Store) -> PoolId:
    """A disk with pages, zeros that have no entries, and both in one tree."""
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    extents.put_zeros(store, disk, b"", 0, 1 << 20)
    store.put(disk, b"", 70, joined([*make_run(500, 3), make_fill(9)]))
    store.put(disk, b"", INDEX_MAX, joined([make_page(700)]))
    extents.put_zeros(store, disk, b"zeros", 0, 1 << 12)
    drop_run(store, disk, b"", 100, 1)
    return disk


def make_cache(store: Store) -> PoolId:
    cache = store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    for number in range(100):
        store.put(cache, b"object %d" % number, 5 * number, joined([make_page(300, number)]))
    store.put(cache, LONG_ID, 0, joined([make_page(20)]))
    for number in range(0, 100, 3):
        drop_object(store, cache, b"object %d" % number)
    return cache


def test_all_pages_counts_and_objects_go_on(memory: KeptMemory, store: Store) -> None:
    disk, cache = make_disk(store), make_cache(store)
    after = adopted(store, memory, holders=set())
    after.check_invariants()
    for pool in (disk, cache):
        assert after.pages_of(pool) == store.pages_of(pool)
        assert after.objects_of(pool) == store.objects_of(pool)
    for pool, name, index, count in (
        (disk, b"", 0, 200),
        (disk, b"", INDEX_MAX - 10, 11),
        (disk, b"zeros", 4000, 200),
        (cache, LONG_ID, 0, 5),
        *((cache, b"object %d" % number, 5 * number, 2) for number in range(100)),
    ):
        assert (
            after.get(pool, name, index, count).pages == store.get(pool, name, index, count).pages
        )
    assert after.versions.tables.used_bytes <= store.versions.tables.used_bytes
    assert after.serial_of(disk, b"", 70) == store.serial_of(disk, b"", 70)


def test_lost_pages_are_counted_again(memory: KeptMemory, store: Store) -> None:
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("kept"))
    store.put(pool, b"", 0, joined(make_run(500, 100)))
    store.refuse(pool, b"", 50, 30)
    after = adopted(store, memory, holders=set())
    after.check_invariants()
    assert after.lost_pages_of(pool) == 30


def test_what_went_on_can_end_as_ever(memory: KeptMemory, store: Store) -> None:
    disk, cache = make_disk(store), make_cache(store)
    after = adopted(store, memory, holders=set())
    after.put(disk, b"", 71, joined(make_run(900, 5)))
    after.put(cache, b"a new one", 3, joined([make_page(40)]))
    after.check_invariants()
    assert drop_pool(after, disk) > 1 << 20
    drop_pool(after, cache)
    after.check_invariants()
    assert after.rows.used == after.table.nodes.used == after.table.objects.used == 0
    again = adopted(after, memory, holders=set())
    again.check_invariants()
    assert (
        again.versions.tables.used_bytes == Store(KeptMemory(), LIMITS).versions.tables.used_bytes
    )


def test_a_leaf_without_pages_goes_and_so_does_its_object(memory: KeptMemory, store: Store) -> None:
    """As if the process had ended behind the last entry of a leaf, or before its first."""
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("spill"))
    for name, index in ((b"a", 0), (b"a", 1 << 20), (b"b", 5)):
        extents.put_zeros(store, pool, name, index, 1)
    for name, index in ((b"a", 1 << 20), (b"b", 5)):
        page_object = store.pools[pool].find_object(name)
        assert page_object is not None
        store.table.entries[store.table.find(page_object, index, 1)[0]] = HOLE
    after = adopted(store, memory, holders=set())
    after.check_invariants()
    assert after.pages_of(pool) == 1
    assert after.pools[pool].objects.keys() == {b"a"}
    assert after.get(pool, b"a", 0, 1).pages == [bytes(PAGE_BYTES)]


def test_nothing_is_left_of_a_pool_that_ended(memory: KeptMemory, store: Store) -> None:
    """Not even a record that names its number: the next pool has that."""
    make_cache(store)
    after = Store(memory, LIMITS)
    after.rows.adopt(b"")
    adopt_table(after.versions, FoundTable(objects=[], nodes_used=b"", used_entries=b"", leaves=[]))
    after.check_invariants()
    objects = memory.mappings["objects"].view
    assert not any(objects.cast("Q")[OBJECT_ROOT :: OBJECT_BYTES // 8])
    assert not any(objects.cast("I")[OBJECT_POOL :: OBJECT_BYTES // 4])
    assert not any(after.table.nodes.objects)


def test_zeros_of_directories_count_for_their_pool(memory: KeptMemory, store: Store) -> None:
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    extents.put_zeros(store, disk, b"", 0, 1 << 18)
    page_object = store.pools[disk].find_object(b"")
    assert page_object is not None
    assert page_object.root == ZERO
    after = Store(memory, LIMITS)
    after.pools.adopt(disk, PoolKind.PERSISTENT, export_pool("disk"))
    level = page_object.shift // LEAF_SHIFT
    found = FoundObject(page_object.number, disk, b"", ZERO, level, page_object.prefix, 1 << 18)
    adopt_table(
        after.versions, FoundTable(objects=[found], nodes_used=b"", used_entries=b"", leaves=[])
    )
    after.check_invariants()
    assert after.pages_of(disk) == 1 << 18
