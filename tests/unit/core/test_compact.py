import random
from collections.abc import Iterator

import pytest

from ramsterd.core.compact import Compactor
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, return_leaving
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.size_classes import FRAMES_OF_CLASS, SLOTS_OF_CLASS
from ramsterd.core.store import Store
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import MIB, joined, make_page, make_run, make_store

OBJECT = b"disk"
SLOTS = SLOTS_OF_CLASS[64]
MOVES_MAX = 100_000


def density(store: Store) -> float:
    return sum(store.versions.zpage_bytes) / store.zbud.used_bytes


def test_two_half_empty_blocks_become_one() -> None:
    store = make_store()
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    run = make_run(PAGE_BYTES, 2 * SLOTS)
    store.put(pool, OBJECT, 0, joined(run))
    for index in range(0, 2 * SLOTS, 2):
        drop_run(store, pool, OBJECT, index, 1)
    compactor = Compactor(store.versions)
    assert compactor.compact(MOVES_MAX) == SLOTS // 2
    store.check_invariants()
    assert store.zbud.used_bytes == FRAMES_OF_CLASS[64] * PAGE_BYTES
    assert store.get(pool, OBJECT, 0, 2 * SLOTS).pages[1::2] == run[1::2]
    assert compactor.compact(MOVES_MAX) == 0
    assert compactor.moved_total == SLOTS // 2


def test_where_nothing_was_freed_nothing_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A daemon at rest looks twice a second, at all classes of all families."""
    store = make_store()
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    store.put(pool, OBJECT, 0, joined(make_run(PAGE_BYTES, 2 * SLOTS)))
    drop_run(store, pool, OBJECT, 0, 1)
    drop_run(store, pool, OBJECT, SLOTS, 1)
    looks = []
    blocks_with_room = store.zbud.blocks_with_room

    def counted(family: Family, chunks: int) -> Iterator[int]:
        looks.append(chunks)
        return blocks_with_room(family, chunks)

    monkeypatch.setattr(store.zbud, "blocks_with_room", counted)
    compactor = Compactor(store.versions)
    assert compactor.compact(MOVES_MAX) == 0
    assert looks
    looks.clear()
    assert compactor.compact(MOVES_MAX) == 0
    assert not looks
    # What is freed may be what was missing.
    drop_run(store, pool, OBJECT, 1, SLOTS - 2)
    assert compactor.compact(MOVES_MAX) == 1
    store.check_invariants()


def test_blocks_without_enough_room_are_left_alone() -> None:
    store = make_store()
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    store.put(pool, OBJECT, 0, joined(make_run(PAGE_BYTES, 2 * SLOTS)))
    drop_run(store, pool, OBJECT, 0, 1)
    drop_run(store, pool, OBJECT, SLOTS, 1)
    assert Compactor(store.versions).compact(MOVES_MAX) == 0


def test_families_and_classes_stay_apart() -> None:
    store = make_store()
    pools = [store.new_pool(kind, program_pool("")) for kind in PoolKind]
    for pool in pools:
        for zbytes in (PAGE_BYTES, 1000):
            store.put(pool, OBJECT, zbytes * 64, joined(make_run(zbytes, SLOTS)))
            drop_run(store, pool, OBJECT, zbytes * 64, SLOTS - 1)
    assert Compactor(store.versions).compact(MOVES_MAX) == 0
    store.check_invariants()


def test_a_block_on_its_way_to_a_peer_gives_and_takes_nothing() -> None:
    store = make_store()
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    store.put(pool, OBJECT, 0, joined(make_run(PAGE_BYTES, 3 * SLOTS)))
    oldest = store.zbud.oldest(Family.OWN_PERSISTENT)
    assert oldest is not None
    leaving = begin_leaving(store.versions, oldest)
    for index in range(0, 3 * SLOTS, 2):
        drop_run(store, pool, OBJECT, index, 1)
    assert Compactor(store.versions).compact(MOVES_MAX) == SLOTS // 2
    assert len(store.zbud.rows(leaving.block)) == SLOTS // 2
    return_leaving(store.versions, leaving)
    store.check_invariants()


def test_a_slice_is_bounded_and_the_next_goes_on() -> None:
    store = make_store(8 * MIB)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    store.put(pool, OBJECT, 0, joined(make_run(PAGE_BYTES, 64 * SLOTS)))
    for index in range(0, 64 * SLOTS, 2):
        drop_run(store, pool, OBJECT, index, 1)
    compactor, slices = Compactor(store.versions), 0
    while moved := compactor.compact(20):
        assert moved < 20 + SLOTS
        store.check_invariants()
        slices += 1
    assert slices > 10
    assert density(store) > 0.95


def test_after_random_overwrites_the_arena_is_dense_again() -> None:
    rng = random.Random(1)
    store = make_store(16 * MIB, pages_max=1 << 14)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    for version in range(6000):
        page = make_page(rng.choice([300, 1000, 1700, 2600]), version)
        store.put(pool, OBJECT, rng.randrange(4000), joined([page]))
    for index in range(4000):
        if rng.random() < 0.6:
            drop_run(store, pool, OBJECT, index, 1)
    store.zbud.trim()
    before = density(store)
    Compactor(store.versions).compact(MOVES_MAX)
    store.check_invariants()
    assert before < 0.75
    assert density(store) > 0.9
