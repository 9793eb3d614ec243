"""Whose pages give way at a holder."""

import pytest

from nodemanager.ids import NodeId
from ramsterd.core import extents, pools
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.slices import Slices
from ramsterd.core.store import Store
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.wire import PutResult, get_reply_table
from tests.helpers import columns
from tests.helpers.foreign_puts import INCARNATION, ONE, OTHER, put, run_all
from tests.helpers.installing import install
from tests.helpers.made_pages import joined, make_run, make_store

# Raw pages that fit below the low watermark of 2 MiB, and within a quota of a half.
BELOW_WATERMARK = 435
QUOTA = 256


pytestmark = pytest.mark.usefixtures("each_loops")


@pytest.fixture
def store() -> Store:
    return make_store()


@pytest.fixture
def foreign(store: Store) -> ForeignPages:
    return ForeignPages(store, run=run_all, bytes_fraction_max=0.5)


def are_here(foreign: ForeignPages, serials: range, *, owner: NodeId = ONE) -> int:
    table, _ = foreign.on_get(owner, columns.words(serials))
    return sum(code > 0 for code in memoryview(table).cast("H"))


def test_pages_of_owners_are_there_after_an_attach(store: Store, foreign: ForeignPages) -> None:
    put(foreign, PoolKind.PERSISTENT, range(1, 17))
    put(foreign, PoolKind.EPHEMERAL, range(17, 33))
    put(foreign, PoolKind.PERSISTENT, range(1, 17), owner=OTHER)
    store.end_pool(foreign.pools_of(OTHER)[0])
    again = ForeignPages(store, run=run_all, bytes_fraction_max=0.5)
    again.adopt()
    assert are_here(again, range(1, 33)) == 32
    assert again.owners() == [ONE]
    assert again.incarnations() == {ONE: INCARNATION}
    assert len([pool for pool in store.pools if pool.identity.is_foreign]) == 2
    assert set(put(again, PoolKind.PERSISTENT, range(33, 49))) == {PutResult.STORED}


def add_clean(store: Store, pages: int) -> None:
    """Fill memory with clean copies of pages that a peer has."""
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    for index in range(0, pages, 16):
        run = make_run(PAGE_BYTES, 16)
        assert store.put(pool, b"", index, joined(run)) == 16
        block = store.zbud.oldest(Family.OWN_PERSISTENT)
        assert block is not None
        leaving = begin_leaving(store.versions, block)
        end_leaving(store.versions, leaving, 7)
        for number, row in enumerate(leaving.rows):
            zpage = leaving.body[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
            assert install(store.room, row, zpage)


def test_ephemeral_pages_displace_the_oldest_of_any_owner(
    store: Store, foreign: ForeignPages
) -> None:
    assert set(put(foreign, PoolKind.EPHEMERAL, range(1, QUOTA + 1))) == {PutResult.STORED}
    more = range(1000, 1064)
    assert set(put(foreign, PoolKind.EPHEMERAL, more, owner=OTHER)) == {PutResult.STORED}
    assert are_here(foreign, range(1, 65)) == 0
    assert are_here(foreign, range(65, QUOTA + 1)) == QUOTA - 64
    assert are_here(foreign, more, owner=OTHER) == 64
    assert store.versions.zpages[Family.FOREIGN_EPHEMERAL] == QUOTA


def test_persistent_pages_displace_ephemeral_ones_and_not_the_reverse(
    store: Store, foreign: ForeignPages
) -> None:
    put(foreign, PoolKind.EPHEMERAL, range(1, QUOTA + 1))
    kept = range(1000, 1000 + QUOTA)
    assert set(put(foreign, PoolKind.PERSISTENT, kept)) == {PutResult.STORED}
    assert store.versions.zpages[Family.FOREIGN_EPHEMERAL] == 0
    assert foreign.room_bytes(PoolKind.EPHEMERAL) == 0
    assert put(foreign, PoolKind.EPHEMERAL, range(2000, 2016)) == [PutResult.NOT_ACCEPTING]
    assert are_here(foreign, kept) == QUOTA


def test_clean_copies_give_way_to_persistent_pages_only(
    store: Store, foreign: ForeignPages
) -> None:
    add_clean(store, 400)
    assert put(foreign, PoolKind.EPHEMERAL, range(1, 17)) == [PutResult.STORED]
    assert put(foreign, PoolKind.EPHEMERAL, range(17, 65)) == [
        PutResult.STORED,
        PutResult.STORED,
        PutResult.STORED,
    ]
    assert store.versions.zpages[Family.FOREIGN_EPHEMERAL] == BELOW_WATERMARK // 16 * 16 - 400
    assert store.versions.zpages[Family.OWN_CLEAN] == 400
    kept = range(1000, 1192)
    assert set(put(foreign, PoolKind.PERSISTENT, kept)) == {PutResult.STORED}
    assert store.versions.zpages[Family.FOREIGN_EPHEMERAL] == 0
    assert are_here(foreign, kept) == 192


def test_what_is_ours_gives_way_to_nothing_foreign(store: Store, foreign: ForeignPages) -> None:
    cache = store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    assert store.put(cache, b"", 0, joined(make_run(PAGE_BYTES, 432))) == 432
    for kind in PoolKind:
        assert foreign.room_bytes(kind) < 16 * PAGE_BYTES
        assert put(foreign, kind, range(1, 17)) == [PutResult.NOT_ACCEPTING]
    assert store.versions.zpages[Family.OWN_EPHEMERAL] == 432


def test_a_purge_is_done_in_slices(store: Store) -> None:
    slices = Slices()
    foreign = ForeignPages(store, run=slices.add, bytes_fraction_max=0.5)
    put(foreign, PoolKind.PERSISTENT, range(1, 129))
    put(foreign, PoolKind.EPHEMERAL, range(1001, 1065))
    assert [pool.identity.node for pool in store.pools] == [ONE] * len(PoolKind)
    foreign.purge(ONE)
    assert all(pool.is_ended for pool in store.pools), "before the first slice is dropped"
    assert foreign.pages_of(ONE) == 0, "nobody can name them any more"
    assert foreign.on_get(ONE, columns.words([1, 1001]))[0] == get_reply_table([0, 0])
    slices.on_deadline(0.0, units_max=50)
    assert 0 < foreign.purged_total < 192
    # The owner's next incarnation does not wait for that.
    assert put(foreign, PoolKind.PERSISTENT, range(1, 17)) == [PutResult.STORED]
    now = 0.0
    while (due := slices.next_deadline()) is not None:
        now = max(now, due)
        slices.on_deadline(now, units_max=50)
    assert foreign.purged_total == 192
    assert are_here(foreign, range(1, 17)) == 16
    store.check_invariants()
    assert store.statistics().rows == 16


def test_an_owner_for_whom_there_is_no_pool_is_refused(
    store: Store, foreign: ForeignPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs of this node have made as many as there may be, or all but one."""
    store.new_pool(PoolKind.PERSISTENT, program_pool("ours"))
    for pools_max in (1, 2):
        monkeypatch.setattr(pools, "POOLS_MAX", pools_max)
        assert put(foreign, PoolKind.PERSISTENT, range(1, 17)) == [PutResult.NOT_ACCEPTING]
        assert len(list(store.pools)) == 1
        assert foreign.pages_of(ONE) == 0
    monkeypatch.setattr(pools, "POOLS_MAX", 3)
    assert put(foreign, PoolKind.PERSISTENT, range(1, 17)) == [PutResult.STORED]


def test_nothing_is_accepted_when_the_tables_are_filled() -> None:
    store = make_store(tables_bytes_max=40_000)
    foreign = ForeignPages(store, run=run_all, bytes_fraction_max=0.5)
    disk = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    assert foreign.room_bytes() > 0
    index = 0
    while store.versions.tables.used_bytes <= 20_000:
        assert extents.put_zeros(store, disk, b"", index, 1) == 1
        index += 64
    assert foreign.room_bytes() == 0
    assert put(foreign, PoolKind.PERSISTENT, range(1, 17)) == [PutResult.NOT_ACCEPTING]
    assert extents.put_zeros(store, disk, b"", index, 1) == 1, "ours are welcome"
