import pytest

from ramsterd.core.family import Family
from ramsterd.core.page import INDEX_MAX, OBJECT_ID_BYTES_MAX, PoolId, PoolKind
from ramsterd.core.pools import POOLS_MAX, NoSuchPool, Pools, PoolsExhausted, check_run


def test_a_pool_is_found_under_its_id_until_it_is_removed() -> None:
    pools = Pools()
    pool = pools.new(PoolKind.PERSISTENT, "swap")
    assert pools[pool.pool] is pool
    assert pool.pool in pools
    assert list(pools) == [pool]
    pools.remove(pool.pool)
    assert pool.pool not in pools
    with pytest.raises(NoSuchPool):
        pools[pool.pool]


def test_an_id_is_never_used_again() -> None:
    pools = Pools()
    first = pools.new(PoolKind.PERSISTENT, "a").pool
    pools.remove(first)
    assert pools.new(PoolKind.PERSISTENT, "b").pool != first


def test_kind_and_side_choose_the_family() -> None:
    pools = Pools()
    families = {
        pools.new(kind, "", is_foreign=is_foreign).family
        for kind in PoolKind
        for is_foreign in (False, True)
    }
    assert families == set(Family) - {Family.OWN_CLEAN}


def test_there_is_a_last_pool() -> None:
    pools = Pools()
    for _ in range(POOLS_MAX):
        pools.new(PoolKind.EPHEMERAL, "")
    with pytest.raises(PoolsExhausted, match="4096"):
        pools.new(PoolKind.EPHEMERAL, "")
    pools.remove(PoolId(1))
    pools.new(PoolKind.EPHEMERAL, "")


def test_an_object_is_made_once() -> None:
    pool = Pools().new(PoolKind.PERSISTENT, "")
    assert pool.find_object(b"x") is None
    made = pool.make_object(b"x")
    assert pool.make_object(b"x") is pool.find_object(b"x") is made


def test_an_object_id_is_short() -> None:
    pool = Pools().new(PoolKind.PERSISTENT, "")
    pool.make_object(bytes(OBJECT_ID_BYTES_MAX))
    with pytest.raises(AssertionError):
        pool.make_object(bytes(OBJECT_ID_BYTES_MAX + 1))


def test_a_pool_with_pages_is_not_removed() -> None:
    pools = Pools()
    pool = pools.new(PoolKind.PERSISTENT, "")
    pool.make_object(b"")
    with pytest.raises(AssertionError):
        pools.remove(pool.pool)


@pytest.mark.parametrize(("index", "count"), [(0, 1), (INDEX_MAX, 1), (0, INDEX_MAX + 1)])
def test_a_run_within_an_object_is_one(index: int, count: int) -> None:
    check_run(index, count)


@pytest.mark.parametrize(("index", "count"), [(-1, 1), (0, 0), (INDEX_MAX, 2), (INDEX_MAX + 1, 1)])
def test_a_run_beyond_an_object_is_none(index: int, count: int) -> None:
    with pytest.raises(AssertionError):
        check_run(index, count)
