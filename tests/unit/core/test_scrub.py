from ramsterd.core.codec import encode_page
from ramsterd.core.foreign_pages import get_zpages, put_zpages
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import owner_pool, program_pool
from ramsterd.core.scrub import Scrubber
from ramsterd.core.store import Store
from tests.helpers import columns
from tests.helpers.made_pages import joined, make_run, make_store

OBJECT = b"disk"
RUN = make_run(2000, 200)


def damage(store: Store, row: int) -> None:
    store.zbud.arena[store.zbud.offset(store.rows.location(row)) + 30] ^= 4


def rows_of(store: Store, pool: PoolId) -> list[int]:
    page_object = store.pools[pool].find_object(OBJECT)
    assert page_object is not None
    address, run = store.table.find(page_object, 0, 64)
    return list(store.table.entries[address : address + run])


def scrub_all(store: Store) -> Scrubber:
    scrubber = Scrubber(store.versions)
    scrubber.begin(now=0)
    slices = 0
    while scrubber.is_running:
        scrubber.scrub(50)
        store.check_invariants()
        slices += 1
    assert slices > 1
    return scrubber


def test_whole_zpages_are_left_alone() -> None:
    store = make_store()
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool(""))
    store.put(pool, OBJECT, 0, joined(RUN))
    now = scrub_all(store).statistics()
    assert (now.zpages_checked, now.corrupt, now.is_running) == (200, 0, False)
    assert now.blocks_seen == now.blocks
    assert store.get(pool, OBJECT, 0, 200).pages == RUN


def test_a_damaged_page_is_found_before_it_is_asked_for() -> None:
    store = make_store()
    pool, cache = (
        store.new_pool(PoolKind.PERSISTENT, program_pool("")),
        store.new_pool(PoolKind.EPHEMERAL, program_pool("")),
    )
    store.put(pool, OBJECT, 0, joined(RUN))
    store.put(cache, OBJECT, 0, joined(RUN))
    damage(store, rows_of(store, pool)[3])
    damage(store, rows_of(store, cache)[5])
    assert scrub_all(store).statistics().corrupt == 2
    assert store.get(pool, OBJECT, 3, 1).lost_count == 1
    assert store.get(cache, OBJECT, 5, 1).pages == [None]
    assert store.get(pool, OBJECT, 4, 1).pages == [RUN[4]]


def test_a_damaged_foreign_page_is_missing_from_now_on() -> None:
    store = make_store()
    pool = store.new_pool(PoolKind.PERSISTENT, owner_pool(2, 1))
    packed, zpage, checksum = encode_page(RUN[0])
    body = memoryview(bytes(zpage[:30] + bytes([zpage[30] ^ 4]) + zpage[31:]) + zpage)
    zpages = columns.of_zpages([7, 8], [checksum] * 2, [packed] * 2)
    assert put_zpages(store, pool, *zpages, body) == 2
    store.put(store.new_pool(PoolKind.PERSISTENT, program_pool("")), OBJECT, 0, joined(RUN))
    assert scrub_all(store).statistics().corrupt == 1
    assert get_zpages(store.versions, pool, [7, 8])[0] == [0, packed]


def test_a_scrub_that_finds_nothing_clears_what_was_found_before() -> None:
    store = make_store()
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool(""))
    store.put(pool, OBJECT, 0, joined(RUN))
    damage(store, rows_of(store, pool)[3])
    scrubber = scrub_all(store)
    assert scrubber.statistics().cleared_corrupt_pages == 0
    scrubber.begin(now=0)
    scrubber.scrub(20)
    assert scrubber.statistics().cleared_corrupt_pages == 0, "it is not over"
    while scrubber.is_running:
        scrubber.scrub(50)
    assert scrubber.statistics().cleared_corrupt_pages == 1


def test_a_scrub_that_runs_goes_on() -> None:
    store = make_store()
    store.put(store.new_pool(PoolKind.PERSISTENT, program_pool("")), OBJECT, 0, joined(RUN))
    scrubber = Scrubber(store.versions)
    scrubber.begin(now=0)
    scrubber.scrub(20)
    scrubber.begin(now=0)
    assert scrubber.statistics().zpages_checked >= 20


def test_a_store_without_blocks_is_checked_at_once() -> None:
    scrubber = Scrubber(make_store().versions)
    scrubber.begin(now=0)
    assert not scrubber.is_running
    assert scrubber.statistics().zpages_checked == 0
