"""What becomes of one version: its row, its slot, and whoever holds it."""

import pytest

from ramsterd.core import traffic
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.store import Store
from ramsterd.core.table import LOST
from ramsterd.core.zbud import SLOT_SHIFT, Family
from tests.helpers.disk import HOLDER, OBJECT, flip_a_bit, put_run, read
from tests.helpers.made_pages import make_page, make_run

OTHER = 8


def row_of(store: Store, pool: PoolId, index: int) -> int:
    page_object = store.pools[pool].find_object(OBJECT)
    assert page_object is not None
    address, _ = store.table.find(page_object, index, 1)
    return store.table.entries[address]


def send_copies(store: Store, *holders: int, stays: bool = False) -> list[int]:
    """Have the oldest block leave for these holders; return its rows."""
    block = store.zbud.oldest(Family.OWN_PERSISTENT)
    assert block is not None
    leaving = traffic.begin_leaving(store, block)
    (traffic.keep_leaving if stays else traffic.end_leaving)(store, leaving, *holders)
    store.check_invariants()
    return leaving.rows


def test_serials_rise_and_a_version_knows_its_pool(
    store: Store, pool: PoolId, cache: PoolId
) -> None:
    put_run(store, pool, 0, [make_page(700)])
    put_run(store, cache, 0, [make_page(700)])
    ours, cached = row_of(store, pool, 0), row_of(store, cache, 0)
    assert store.rows.serial(ours) < store.rows.serial(cached) == store.serial_last
    assert (store.pool_of(ours).pool, store.pool_of(cached).pool) == (pool, cache)
    assert (store.kind_of(ours), store.kind_of(cached)) == (
        PoolKind.PERSISTENT,
        PoolKind.EPHEMERAL,
    )


def test_every_holder_of_a_version_that_ends_is_owed_a_flush_once(
    store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 3))
    serials = [store.rows.serial(row) for row in send_copies(store, HOLDER, OTHER)]
    put_run(store, pool, 0, [make_page(700)])
    store.flush(pool, OBJECT, 1, 1)
    assert store.take_owed() == {HOLDER: serials[:2], OTHER: serials[:2]}
    assert store.take_owed() == {}


def test_a_version_that_stays_elsewhere_frees_its_slot_and_keeps_its_row(
    store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 2))
    row, _ = send_copies(store, HOLDER, stays=True)
    store.forget_local(row)
    store.check_invariants()
    assert store.zpages[Family.OWN_CLEAN] == 1
    assert store.get(pool, OBJECT, 0, 1).elsewhere == [(0, row)]
    assert store.take_owed() == {}


def test_a_lost_page_is_told_from_one_that_may_vanish(
    store: Store, pool: PoolId, cache: PoolId
) -> None:
    for each in (pool, cache):
        put_run(store, each, 0, [make_page(700)])
    assert store.lose(row_of(store, pool, 0))
    assert row_of(store, pool, 0) == LOST
    assert not store.lose(row_of(store, cache, 0))
    assert store.pools[cache].find_object(OBJECT) is None
    store.check_invariants()
    assert (store.counters.lost, store.rows.used) == (1, 0)


def test_a_damaged_version_is_left_to_a_peer_or_lost(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 16))
    send_copies(store, HOLDER, stays=True)
    put_run(store, pool, 16, [make_page(700)])
    row = row_of(store, pool, 0)
    for index in (0, 16):
        flip_a_bit(store, pool, index)
    assert store.on_corrupt(row)
    assert row_of(store, pool, 0) == row
    assert not store.on_corrupt(row_of(store, pool, 16))
    assert row_of(store, pool, 16) == LOST
    store.check_invariants()
    assert (store.counters.corrupt, store.counters.lost) == (2, 1)


def test_a_block_needs_as_many_copies_as_its_most_demanding_pool(
    store: Store, pool: PoolId
) -> None:
    careful = store.new_pool(PoolKind.PERSISTENT, "careful", copies=2)
    put_run(store, pool, 0, make_run(PAGE_BYTES, 1))
    put_run(store, careful, 0, make_run(PAGE_BYTES, 1))
    rows = [row_of(store, each, 0) for each in (pool, careful)]
    assert [store.copies_of([row]) for row in rows] == [1, 2]
    assert store.copies_of(rows) == 2
    assert store.copies_of([]) == 1


@pytest.mark.parametrize(
    ("copies", "unreachable", "lacks"),
    [(1, set(), False), (2, set(), True), (1, {HOLDER}, True), (1, {OTHER}, False)],
)
def test_only_holders_that_can_be_asked_count_as_copies(
    store: Store, copies: int, unreachable: set[int], *, lacks: bool
) -> None:
    careful = store.new_pool(PoolKind.PERSISTENT, "careful", copies=copies)
    put_run(store, careful, 0, make_run(PAGE_BYTES, 2))
    row, *_ = send_copies(store, HOLDER, stays=True)
    store.unreachable_holders |= unreachable
    assert store.lacks_copies(store.rows.location(row) >> SLOT_SHIFT) is lacks


def test_the_counts_follow_a_block_into_another_family(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 5))
    block = store.rows.location(FIRST_ROW) >> SLOT_SHIFT
    store.change_family(block, Family.OWN_EPHEMERAL, 5, 5 * PAGE_BYTES)
    assert store.zpages[Family.OWN_PERSISTENT] == store.zpage_bytes[Family.OWN_PERSISTENT] == 0
    assert store.zpages[Family.OWN_EPHEMERAL] == 5
    assert store.zpage_bytes[Family.OWN_EPHEMERAL] == 5 * PAGE_BYTES
    assert store.zbud.oldest(Family.OWN_EPHEMERAL) == block


def test_an_object_is_forgotten_with_its_last_page(store: Store, cache: PoolId) -> None:
    put_run(store, cache, 0, make_run(700, 2))
    for index in (0, 1):
        row = row_of(store, cache, index)
        assert not store.lose(row)
    assert store.objects_of(cache) == 0
    assert read(store, cache, 0, 2) == [None, None]
