from dataclasses import replace

import pytest

from ramsterd.core.codec import LZ4
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE, PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.size_classes import FRAMES_OF_CLASS
from ramsterd.core.store import Store
from tests.helpers.disk import HOLDER, OBJECT, fill_up, flip_a_bit, put_run, read, remotify_all
from tests.helpers.dropping import drop_run
from tests.helpers.installing import install
from tests.helpers.made_pages import MIB, joined, make_fill, make_page, make_run, make_store

pytestmark = pytest.mark.usefixtures("each_loops")

# Put and get.


def test_a_run_of_every_sort_of_page_comes_back(store: Store, pool: PoolId) -> None:
    pages = [ZERO_PAGE, make_fill(5), make_page(100), make_page(2000), make_page(PAGE_BYTES)]
    assert put_run(store, pool, 62, pages) == 5
    assert read(store, pool, 61, 7) == [None, *pages, None]
    found = store.statistics()
    assert (
        found.put_pages_total,
        found.put_zero_pages_total,
        found.put_same_filled_pages_total,
    ) == (5, 1, 1)
    assert found.put_raw_pages_total == 1
    assert (found.get_local_pages_total, found.get_hole_pages_total) == (5, 2)
    assert found.rows == 4
    assert sum(found.zpages.values()) == 3
    assert found.put_zpage_bytes_total == found.zpage_bytes[Family.OWN_PERSISTENT]


def test_the_second_put_of_a_page_is_what_a_get_returns(store: Store, pool: PoolId) -> None:
    for zbytes in (100, 3000, 0, 200):
        put_run(store, pool, 3, [make_page(zbytes)])
        assert read(store, pool, 3) == [make_page(zbytes)]
    assert store.statistics().rows == 1


def test_without_slots_only_what_needs_none_is_stored(store: Store, pool: PoolId) -> None:
    """Same-filled pages, and pages of the class of their old version: up to the first that is neither."""
    put_run(store, pool, 0, make_run(700, 3))
    used_bytes = store.zbud.used_bytes
    pages = [make_page(690), ZERO_PAGE, make_fill(7), make_page(700), make_page(690)]
    assert store.put(pool, OBJECT, 0, memoryview(joined(pages)), takes_slots=False) == 3
    assert read(store, pool, 0, 5) == [*pages[:3], None, None]
    assert store.put(pool, OBJECT, 0, memoryview(make_page(1700)), takes_slots=False) == 0
    assert read(store, pool, 0) == [pages[0]]
    assert store.zbud.used_bytes == used_bytes
    store.check_invariants()


def test_addresses_of_rows_lead_to_their_entries(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 100, make_run(500, 3))
    for row in range(FIRST_ROW, FIRST_ROW + 3):
        address = store.rows.address(row)
        assert store.table.entries[address] == row
        assert store.rows.serial(row) == row - FIRST_ROW + 1


# Pages anywhere.


def test_pages_anywhere_come_back_in_their_order(store: Store, pool: PoolId) -> None:
    pages = {5: make_page(100), 700: ZERO_PAGE, 64: make_fill(5), 1 << 20: make_page(PAGE_BYTES)}
    for index, page in pages.items():
        put_run(store, pool, index, [page])
    indexes = [1 << 20, 5, 6, 64, 1 << 30, 700]
    before = store.statistics()
    found, lost = store.get_each(pool, OBJECT, indexes)
    assert found.pages == [pages.get(index) for index in indexes]
    assert (found.elsewhere, lost) == ([], [])
    now = store.statistics()
    assert now.get_local_pages_total == before.get_local_pages_total + 4
    assert now.get_hole_pages_total == before.get_hole_pages_total + 2
    assert store.get_each(pool, b"no such object", [1, 2])[0].pages == [None, None]


def test_of_pages_anywhere_each_is_here_elsewhere_or_lost(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(1000, 1))
    remotify_all(store)
    put_run(store, pool, 1, make_run(1000, 3))
    store.refuse(pool, OBJECT, 2, 1)
    flip_a_bit(store, pool, 3)
    before = store.statistics()
    elsewhere, here, lost, corrupt = range(4)
    row = FIRST_ROW
    found, gone = store.get_each(pool, OBJECT, [lost, here, elsewhere, 10, corrupt])
    assert found.pages == [None, make_page(1000), None, None, None]
    assert (found.elsewhere, gone, found.lost_count) == ([(2, row)], [0, 4], 2)
    now = store.statistics()
    assert now.get_local_pages_total == before.get_local_pages_total + 1
    assert now.get_hole_pages_total == before.get_hole_pages_total + 1
    assert now.get_lost_pages_total == before.get_lost_pages_total + 2
    assert now.get_remote_pages_total == before.get_remote_pages_total + 1
    assert now.corrupt_pages_total == 1
    store.check_invariants()


def test_a_page_that_is_named_twice_is_where_they_end(store: Store, pool: PoolId) -> None:
    """One that is damaged is lost as it is found, with its row: nothing looks at that again."""
    put_run(store, pool, 0, make_run(1000, 3))
    flip_a_bit(store, pool, 1)
    found, lost = store.get_each(pool, OBJECT, [0, 1, 1, 2])
    assert (found.pages, lost) == ([make_page(1000), None], [1])
    store.check_invariants()


# Damage.


def test_flipped_bit_is_caught(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(1000, 3))
    flip_a_bit(store, pool, 1)
    found = store.get(pool, OBJECT, 0, 3)
    assert found.pages == [make_page(1000, 0), None, make_page(1000, 2)]
    assert (found.lost_count, found.elsewhere) == (1, [])
    assert store.get(pool, OBJECT, 1, 1).lost_count == 1
    statistics = store.statistics()
    assert (statistics.corrupt_pages_total, statistics.lost_pages_total) == (1, 1)
    assert statistics.get_lost_pages_total == 2
    store.check_invariants()


def test_a_flipped_bit_in_a_clean_copy_sends_the_reader_to_the_holder(
    store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(1000, 1))
    remotify_all(store)
    [(_, row)] = store.get(pool, OBJECT, 0, 1).elsewhere
    zpage = _zpage_of(make_page(1000))
    assert install(store.room, row, zpage)
    flip_a_bit(store, pool, 0)
    found = store.get(pool, OBJECT, 0, 1)
    assert (found.pages, found.elsewhere, found.lost_count) == ([None], [(0, row)], 0)
    assert install(store.room, row, zpage)
    assert read(store, pool, 0) == [make_page(1000)]


def test_a_flipped_bit_in_an_ephemeral_page_is_a_miss(store: Store, cache: PoolId) -> None:
    put_run(store, cache, 0, make_run(1000, 1))
    flip_a_bit(store, cache, 0)
    found = store.get(cache, OBJECT, 0, 1)
    assert (found.pages, found.lost_count) == ([None], 0)
    assert store.statistics().corrupt_pages_total == 1
    assert store.statistics().get_hole_pages_total == 1
    store.check_invariants()


def _zpage_of(page: bytes) -> bytes:
    """Return a page as another node would have kept it."""
    other = make_store()
    pool = other.new_pool(PoolKind.PERSISTENT, program_pool(""))
    other.put(pool, OBJECT, 0, joined([page]))
    block = other.zbud.oldest(Family.OWN_PERSISTENT)
    assert block is not None
    return begin_leaving(other.versions, block).body


# Little room.


def test_a_run_is_stored_as_far_as_there_is_room(store: Store, pool: PoolId) -> None:
    count = fill_up(store, pool, PAGE_BYTES)
    assert count == 2 * MIB // PAGE_BYTES
    before = read(store, pool, 0, count)
    run = make_run(PAGE_BYTES, 3, seed=9)
    assert put_run(store, pool, 1000, run) == 0
    assert read(store, pool, 0, count) == before
    drop_run(store, pool, OBJECT, 5, 1)
    assert put_run(store, pool, 1000, run) == 1
    assert read(store, pool, 1000, 3) == [run[0], None, None]


def test_a_raw_page_that_finds_no_room_is_not_counted_as_stored(store: Store, pool: PoolId) -> None:
    run = joined(make_run(PAGE_BYTES, 600))
    stored = store.put(pool, b"", 0, run)
    assert 0 < stored < 600
    assert store.put(pool, b"", 0, run, takes_slots=False) <= stored
    assert store.put(pool, b"far", 0, joined(make_run(PAGE_BYTES, 1))) == 0
    found = store.statistics()
    assert found.put_raw_pages_total == found.put_pages_total


def test_a_put_may_evict_the_leaf_that_it_writes_into(store: Store, cache: PoolId) -> None:
    """Sixteen raw pages fill the whole budget, so the second half of a run evicts the first."""
    store.room.set_budget(FRAMES_OF_CLASS[64] * PAGE_BYTES)
    run = make_run(PAGE_BYTES, 40)
    assert put_run(store, cache, 0, run) == 40
    assert read(store, cache, 0, 40) == [None] * 32 + run[32:]
    assert put_run(store, cache, 0, run[:33]) == 33
    assert read(store, cache, 32, 1) == [run[32]]


def test_when_all_rows_are_in_use_a_page_can_still_be_replaced() -> None:
    store = make_store(pages_max=10)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    assert put_run(store, pool, 0, make_run(500, 12)) == 10
    again = [make_page(900, 1), make_fill(3), ZERO_PAGE, *make_run(100, 8)]
    assert put_run(store, pool, 0, again) == 11
    assert read(store, pool, 0, 12) == [*again, None]
    assert put_run(store, pool, 20, [make_fill(9)]) == 0


def test_a_page_is_not_given_up_for_a_put_that_finds_no_room() -> None:
    store = make_store(FRAMES_OF_CLASS[64] * PAGE_BYTES, pages_max=16)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    pages = make_run(2000, 16)
    assert put_run(store, pool, 0, pages) == 16
    assert put_run(store, pool, 0, [make_page(PAGE_BYTES, 99)]) == 0
    assert read(store, pool, 0, 16) == pages


def test_a_full_store_can_be_overwritten_in_place() -> None:
    store = make_store(FRAMES_OF_CLASS[64] * PAGE_BYTES, pages_max=16)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    assert put_run(store, pool, 0, make_run(PAGE_BYTES, 16)) == 16
    again = make_run(PAGE_BYTES, 16, seed=5)
    assert put_run(store, pool, 0, again) == 16
    assert read(store, pool, 0, 16) == again


def test_a_page_on_its_way_to_a_peer_is_not_overwritten_in_place(
    store: Store, pool: PoolId
) -> None:
    run, again = make_run(PAGE_BYTES, 16), make_run(PAGE_BYTES, 16, seed=5)
    put_run(store, pool, 0, run)
    block = store.zbud.oldest(Family.OWN_PERSISTENT)
    assert block is not None
    leaving = begin_leaving(store.versions, block)
    put_run(store, pool, 0, again)
    assert leaving.body == b"".join(run)
    assert end_leaving(store.versions, leaving, HOLDER) == leaving.serials.tolist()
    store.check_invariants()
    assert read(store, pool, 0, 16) == again


def test_a_slot_that_was_given_up_is_free_before_a_row_is_looked_for() -> None:
    """A same-filled page needs a row, and for it the oldest block goes: not with the version that has just left it."""
    store = make_store(pages_max=63)
    cache = store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    assert put_run(store, cache, 0, make_run(500, 1)) == 1
    assert put_run(store, cache, 2, make_run(500, 62, seed=1)) == 62
    assert store.rows.used == 63
    run = [make_page(2000, 99), make_fill(4)]
    assert put_run(store, cache, 0, run) == 2
    assert read(store, cache, 0, 2) == run


def test_what_needs_a_slot_and_may_take_none_is_not_packed(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(500, 2))
    packed: list[int] = []

    def compress(page: bytes | memoryview) -> bytes | memoryview:
        packed.append(len(page))
        return LZ4.compress(page)

    store.pools[pool].compressor = replace(LZ4, compress=compress)
    for index, page, stored, count in [
        (5, make_page(500), 0, 0), (1, make_page(1000), 0, 1), (1, make_page(500, 9), 1, 2),
    ]:  # fmt: skip
        assert store.put(pool, OBJECT, index, joined([page]), takes_slots=False) == stored
        assert len(packed) == count
    assert read(store, pool, 1) == [make_page(500, 9)]
    store.check_invariants()
