import pytest

from config.model import PoolCodec
from ramsterd.core.family import Family
from ramsterd.core.page import INDEX_MAX, OBJECT_ID_BYTES_MAX, PoolId, PoolKind
from ramsterd.core.pool_identity import (
    PoolIdentity,
    PoolUse,
    export_pool,
    owner_pool,
    program_pool,
)
from ramsterd.core.pools import (
    POOL_NUMBER_MAX,
    POOLS_MAX,
    NoSuchPool,
    Pool,
    Pools,
    PoolsExhausted,
    check_run,
)
from tests.helpers.dropping import drop_pool
from tests.helpers.made_pages import joined, make_page, make_store


def test_a_pool_is_found_under_its_id_until_it_is_removed() -> None:
    pools = Pools()
    pool = pools.new(PoolKind.PERSISTENT, program_pool("swap"))
    assert pools[pool.pool] is pool
    assert pool.pool in pools
    assert list(pools) == [pool]
    pools.end(pool.pool)
    pools.remove(pool.pool)
    assert pool.pool not in pools
    with pytest.raises(NoSuchPool):
        pools[pool.pool]


class Journal:
    """Notes what it is told, and how many objects the pool has then."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def made(self, pool: Pool) -> None:
        self.told.append(("made", pool.pool, len(pool.objects)))

    def ended(self, pool: Pool) -> None:
        self.told.append(("ended", pool.pool, len(pool.objects)))

    def gone(self, pool: Pool) -> None:
        self.told.append(("gone", pool.pool, len(pool.objects)))


def test_a_journal_knows_a_pool_before_it_has_objects_and_its_end_before_they_are_dropped() -> None:
    store, journal = make_store(), Journal()
    store.pools.journal = journal
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("spill"))
    store.put(pool, b"object", 0, joined([make_page(500)]))
    drop_pool(store, pool)
    assert journal.told == [("made", pool, 0), ("ended", pool, 1), ("gone", pool, 0)]


def test_a_pool_ends_once() -> None:
    store, journal = make_store(), Journal()
    store.pools.journal = journal
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("spill"))
    store.end_pool(pool)
    drop_pool(store, pool)
    assert [what for what, _, _ in journal.told] == ["made", "ended", "gone"]


def test_a_pool_that_the_journal_knows_has_its_number_again() -> None:
    pools, journal = Pools(), Journal()
    pools.journal = journal
    adopted = pools.adopt(7, PoolKind.PERSISTENT, export_pool("swap"), PoolCodec.NONE)
    assert (adopted.pool, adopted.codec, adopted.is_disk) == (7, PoolCodec.NONE, True)
    assert pools[PoolId(7)] is adopted
    assert not journal.told
    assert pools.new(PoolKind.EPHEMERAL, program_pool("")).pool == 8


def test_a_pool_that_was_left_is_taken_once_by_whom_it_belongs_to() -> None:
    pools = Pools()
    disk = pools.adopt(4, PoolKind.PERSISTENT, export_pool("disk"))
    cache = pools.adopt(2, PoolKind.EPHEMERAL, program_pool("cache", 7), PoolCodec.NONE)
    for pool in (disk, cache):
        pools.leave(pool)
    assert pools.left == [cache, disk]
    assert pools.left_to_programs == [cache]
    lz4 = PoolCodec.LZ4
    assert pools.take_left(PoolKind.EPHEMERAL, program_pool("cache", 8), PoolCodec.NONE) is None
    assert pools.take_left(PoolKind.PERSISTENT, program_pool("cache", 7), PoolCodec.NONE) is None
    assert pools.take_left(PoolKind.EPHEMERAL, program_pool("cache", 7), lz4) is None, "asked for"
    assert pools.take_left(PoolKind.PERSISTENT, export_pool("disk"), PoolCodec.NONE) is disk
    assert disk.codec is PoolCodec.NONE, "the file of a disk may say another by now"
    assert pools.take_left(PoolKind.PERSISTENT, export_pool("disk"), PoolCodec.NONE) is None
    assert pools.left == [cache]


def test_a_pool_that_ends_is_left_to_nobody() -> None:
    pools = Pools()
    disk = pools.adopt(4, PoolKind.PERSISTENT, export_pool("disk"))
    pools.leave(disk)
    pools.end(disk.pool)
    assert pools.left == []
    assert pools.take_left(PoolKind.PERSISTENT, export_pool("disk"), PoolCodec.LZ4) is None


def test_numbers_of_pools_are_used_again_when_all_were_used() -> None:
    pools = Pools()
    pools.adopt(POOL_NUMBER_MAX, PoolKind.PERSISTENT, export_pool("last"))
    pools.adopt(1, PoolKind.PERSISTENT, export_pool("first"))
    assert pools.new(PoolKind.EPHEMERAL, program_pool("")).pool == 2
    assert pools.new(PoolKind.EPHEMERAL, program_pool("")).pool == 3


@pytest.mark.parametrize(
    ("identity", "use", "label"),
    [
        (export_pool("swap"), PoolUse.EXPORT, "swap"),
        (program_pool("spill", 1000), PoolUse.NAMED, "1000/spill"),
        (program_pool("", 1000), PoolUse.PRIVATE, "1000/"),
        (owner_pool(3, 99), PoolUse.FOREIGN, "node 3"),
    ],
)
def test_a_pool_says_whose_it_is(identity: PoolIdentity, use: PoolUse, label: str) -> None:
    assert (identity.use, identity.label) == (use, label)
    assert identity.is_foreign == (use is PoolUse.FOREIGN)
    assert identity.is_disk == (use is PoolUse.EXPORT)


def test_an_id_is_never_used_again() -> None:
    pools = Pools()
    first = pools.new(PoolKind.PERSISTENT, program_pool("a")).pool
    pools.end(first)
    pools.remove(first)
    assert pools.new(PoolKind.PERSISTENT, program_pool("b")).pool != first


def test_kind_and_side_choose_the_family() -> None:
    pools = Pools()
    families = {
        pools.new(kind, identity).family
        for kind in PoolKind
        for identity in (export_pool("swap"), program_pool("spill"), owner_pool(2, 1))
    }
    assert families == set(Family) - {Family.OWN_CLEAN}


def test_there_is_a_last_pool() -> None:
    pools = Pools()
    for _ in range(POOLS_MAX):
        pools.new(PoolKind.EPHEMERAL, program_pool(""))
    with pytest.raises(PoolsExhausted, match="4096"):
        pools.new(PoolKind.EPHEMERAL, program_pool(""))
    pools.end(PoolId(1))
    pools.remove(PoolId(1))
    pools.new(PoolKind.EPHEMERAL, program_pool(""))


def test_an_object_is_made_once() -> None:
    pool = Pools().new(PoolKind.PERSISTENT, program_pool(""))
    assert pool.find_object(b"x") is None
    made = pool.make_object(b"x")
    assert pool.make_object(b"x") is pool.find_object(b"x") is made


def test_an_object_id_is_short() -> None:
    pool = Pools().new(PoolKind.PERSISTENT, program_pool(""))
    pool.make_object(bytes(OBJECT_ID_BYTES_MAX))
    with pytest.raises(AssertionError):
        pool.make_object(bytes(OBJECT_ID_BYTES_MAX + 1))


def test_a_pool_with_pages_is_not_removed() -> None:
    pools = Pools()
    pool = pools.new(PoolKind.PERSISTENT, program_pool(""))
    pool.make_object(b"")
    pools.end(pool.pool)
    with pytest.raises(AssertionError):
        pools.remove(pool.pool)


@pytest.mark.parametrize(("index", "count"), [(0, 1), (INDEX_MAX, 1), (0, INDEX_MAX + 1)])
def test_a_run_within_an_object_is_one(index: int, count: int) -> None:
    check_run(index, count)


@pytest.mark.parametrize(("index", "count"), [(-1, 1), (0, 0), (INDEX_MAX, 2), (INDEX_MAX + 1, 1)])
def test_a_run_beyond_an_object_is_none(index: int, count: int) -> None:
    with pytest.raises(AssertionError):
        check_run(index, count)
