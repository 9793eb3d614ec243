"""What the pages of a store cost: resident bytes of the arena, and bytes about each page."""

import os
import random
import sys
from array import array

import pytest

from ramsterd.core.arena import HeapMapping, MemfdMapping
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.size_classes import SLOTS_MAX
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from tests.helpers.dropping import drop_object
from tests.helpers.made_pages import MIB, joined

OBJECT = b"disk"
PAGES = 16_384


def make_realistic_run(rng: random.Random, count: int) -> memoryview:
    """Return pages as memory has them: some zeros, some raw, most between a tenth and two thirds."""
    pages = []
    for _ in range(count):
        share = rng.random()
        if share < 0.1:
            zbytes = 0
        elif share < 0.15:
            zbytes = PAGE_BYTES
        else:
            zbytes = int(rng.triangular(200, 3000, 1200))
        pages.append(rng.randbytes(zbytes) + bytes(PAGE_BYTES - zbytes))
    return joined(pages)


@pytest.fixture(scope="module")
def filled() -> tuple[Store, PoolId]:
    """A store on real memory after a put of every page, and a second put of a part of them."""
    limits = StoreLimits(budget_bytes=64 * MIB, budget_bytes_max=64 * MIB, pages_max=2 * PAGES)
    store = Store(MemfdMapping, limits)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    rng = random.Random(1)
    for index in range(0, PAGES, 64):
        assert store.put(pool, OBJECT, index, make_realistic_run(rng, 64)) == 64
    for _ in range(64):
        index = rng.randrange(PAGES - 32)
        assert store.put(pool, OBJECT, index, make_realistic_run(rng, 32)) == 32
    store.check_invariants()
    return store, pool


@pytest.mark.slow
def test_the_arena_is_dense_at_rest(filled: tuple[Store, PoolId]) -> None:
    store, _ = filled
    statistics = store.statistics()
    density = sum(statistics.zpage_bytes.values()) / statistics.zbud.resident_bytes
    assert density >= 0.9, density


@pytest.mark.slow
def test_a_page_costs_at_most_64_bytes_besides_its_zpage(filled: tuple[Store, PoolId]) -> None:
    store, pool = filled
    zbud = store.zbud
    assert store.pools[pool].find_object(OBJECT) is not None
    blocks = sum(zbud.statistics().blocks.values())
    costs = {
        "tables": store.versions.tables.used_bytes,
        "slots": blocks * SLOTS_MAX * 4,
        "blocks": columns_bytes(zbud) + columns_bytes(zbud._lru) + columns_bytes(zbud._with_room),
    }
    pages = store.statistics().rows
    assert pages > PAGES * 0.85
    assert sum(costs.values()) / pages <= 64, costs


@pytest.mark.slow
def test_memory_goes_back_to_the_kernel(filled: tuple[Store, PoolId]) -> None:
    store, pool = filled
    mapping = store.zbud.memory.mapping
    assert isinstance(mapping, MemfdMapping)
    before = os.fstat(mapping._fd).st_blocks * 512
    # Reading a block that was never written would have cost frames: what is counted is what is there.
    assert 0.95 * store.zbud.resident_bytes <= before <= store.zbud.resident_bytes
    drop_object(store, pool, OBJECT)
    store.zbud.trim()
    store.check_invariants()
    assert store.zbud.resident_bytes == 0
    assert os.fstat(mapping._fd).st_blocks == 0


def columns_bytes(owner: object) -> int:
    """Return the bytes of all arrays and lists that an object consists of."""
    return sum(
        sys.getsizeof(column) for column in vars(owner).values() if isinstance(column, array | list)
    )


def test_a_store_on_the_heap_costs_the_same_frames() -> None:
    """HeapMapping is a stand-in: the counts must not depend on the mapping."""
    resident = []
    for map_memory in (HeapMapping, MemfdMapping):
        limits = StoreLimits(budget_bytes=2 * MIB, budget_bytes_max=2 * MIB, pages_max=1000)
        store = Store(map_memory, limits)
        pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        store.put(pool, OBJECT, 0, make_realistic_run(random.Random(2), 200))
        resident.append(store.statistics())
    assert resident[0] == resident[1]
