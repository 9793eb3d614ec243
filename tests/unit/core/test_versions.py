"""What becomes of one version: its row, its slot, and its holders."""

from ramsterd.core import extents
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.size_classes import SLOT_SHIFT
from ramsterd.core.store import Store
from ramsterd.core.table import LOST
from tests.helpers.disk import HOLDER, OBJECT, flip_a_bit, put_run, read, row_of, send_copies
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import make_page, make_run
from tests.helpers.sending_node import A, B, SendingNode

OTHER = 8


def test_serials_rise_and_a_version_knows_its_pool(
    store: Store, pool: PoolId, cache: PoolId
) -> None:
    put_run(store, pool, 0, [make_page(700)])
    put_run(store, cache, 0, [make_page(700)])
    ours, cached = row_of(store, pool, 0), row_of(store, cache, 0)
    assert store.rows.serial(ours) < store.rows.serial(cached) == store.versions.serial_last
    assert (store.versions.pool_of(ours).pool, store.versions.pool_of(cached).pool) == (pool, cache)
    assert (store.versions.kind_of(ours), store.versions.kind_of(cached)) == (
        PoolKind.PERSISTENT,
        PoolKind.EPHEMERAL,
    )


def test_every_holder_of_a_version_that_ends_is_owed_a_flush_once(
    store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 3))
    serials = [store.rows.serial(row) for row in send_copies(store, HOLDER, OTHER)]
    put_run(store, pool, 0, [make_page(700)])
    drop_run(store, pool, OBJECT, 1, 1)
    assert store.versions.take_owed() == {HOLDER: serials[:2], OTHER: serials[:2]}
    assert store.versions.take_owed() == {}


def test_a_holder_whose_copy_is_given_up_is_owed_a_flush_and_another_keeps_the_page(
    store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 2))
    row, _ = send_copies(store, HOLDER, OTHER)
    store.versions.give_up_copy(row, HOLDER)
    store.check_invariants()
    assert store.rows.holders(row) == [OTHER]
    assert store.versions.take_owed() == {HOLDER: [store.rows.serial(row)]}


def test_nobody_is_owed_a_flush_of_a_page_that_its_only_holder_has_refused(
    store: Store, cache: PoolId
) -> None:
    put_run(store, cache, 0, make_run(PAGE_BYTES, 1))
    block = store.zbud.oldest(Family.OWN_EPHEMERAL)
    assert block is not None
    leaving = begin_leaving(store.versions, block)
    assert end_leaving(store.versions, leaving, HOLDER) == []
    store.versions.lose_refused(leaving.rows[0], HOLDER)
    store.check_invariants()
    assert read(store, cache, 0, 1) == [None]
    assert store.versions.take_owed() == {}


def test_a_version_that_stays_elsewhere_frees_its_slot_and_keeps_its_row(
    store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 2))
    row, _ = send_copies(store, HOLDER, stays=True)
    store.versions.forget_local(row)
    store.check_invariants()
    assert store.versions.zpages[Family.OWN_CLEAN] == 1
    assert store.get(pool, OBJECT, 0, 1).elsewhere == [(0, row)]
    assert store.versions.take_owed() == {}


def test_a_lost_page_is_told_from_one_that_may_vanish(
    store: Store, pool: PoolId, cache: PoolId
) -> None:
    for each in (pool, cache):
        put_run(store, each, 0, [make_page(700)])
    assert store.versions.lose(row_of(store, pool, 0))
    assert row_of(store, pool, 0) == LOST
    assert not store.versions.lose(row_of(store, cache, 0))
    assert store.pools[cache].find_object(OBJECT) is None
    store.check_invariants()
    assert (store.versions.counters.lost, store.rows.used) == (1, 0)


def test_a_damaged_version_is_left_to_a_peer_or_lost(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 16))
    send_copies(store, HOLDER, stays=True)
    put_run(store, pool, 16, [make_page(700)])
    row = row_of(store, pool, 0)
    for index in (0, 16):
        flip_a_bit(store, pool, index)
    assert store.versions.on_corrupt(row)
    assert row_of(store, pool, 0) == row
    assert not store.versions.on_corrupt(row_of(store, pool, 16))
    assert row_of(store, pool, 16) == LOST
    store.check_invariants()
    assert (store.versions.counters.corrupt, store.versions.counters.lost) == (2, 1)


def test_the_counts_follow_a_block_into_another_family(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(PAGE_BYTES, 5))
    block = store.rows.location(FIRST_ROW) >> SLOT_SHIFT
    store.versions.change_family(block, Family.OWN_EPHEMERAL, 5, 5 * PAGE_BYTES)
    assert (
        store.versions.zpages[Family.OWN_PERSISTENT]
        == store.versions.zpage_bytes[Family.OWN_PERSISTENT]
        == 0
    )
    assert store.versions.zpages[Family.OWN_EPHEMERAL] == 5
    assert store.versions.zpage_bytes[Family.OWN_EPHEMERAL] == 5 * PAGE_BYTES
    assert store.zbud.oldest(Family.OWN_EPHEMERAL) == block


def test_an_object_is_forgotten_with_its_last_page(store: Store, cache: PoolId) -> None:
    put_run(store, cache, 0, make_run(700, 2))
    for index in (0, 1):
        row = row_of(store, cache, index)
        assert not store.versions.lose(row)
    assert store.objects_of(cache) == 0
    assert read(store, cache, 0, 2) == [None, None]


def test_what_replaces_or_drops_a_remote_page_owes_its_holders_a_flush(node: SendingNode) -> None:
    node.put(0, make_run(1000, 3))
    node.remotify(A, B)
    node.put(0, [make_page(10)])
    drop_run(node.store, node.pool, OBJECT, 1, 1)
    extents.put_zeros(node.store, node.pool, OBJECT, 2, 1)
    assert node.store.versions.take_owed() == {A: [1, 2, 3], B: [1, 2, 3]}
    assert node.store.versions.take_owed() == {}


def test_what_an_earlier_process_left_counts_and_its_serials_are_used(
    store: Store, pool: PoolId
) -> None:
    count = len(Family)
    store.versions.adopt(range(count), range(0, 100 * count, 100), serial_last=500)
    assert store.versions.zpages == [*range(count)]
    assert store.versions.zpage_bytes == [*range(0, 100 * count, 100)]
    store.put(pool, OBJECT, 0, memoryview(make_page(700)))
    assert store.rows.serial(row_of(store, pool, 0)) == 501


def test_a_put_of_many_leaves_asks_for_serials_when_it_passes_the_limit(
    store: Store, pool: PoolId
) -> None:
    asked: list[int] = []

    def reserve(serial_last: int) -> int:
        asked.append(serial_last)
        return serial_last + 100

    store.versions.limit_serials(0, reserve)
    put_run(store, pool, 0, make_run(100, 250))
    # Asked by leaf, or as late as can be.
    assert asked == ([0, 64, 128, 192] if store.twin is None else [0, 100, 200])
