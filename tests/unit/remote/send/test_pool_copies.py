"""How many copies the pages of a pool have."""

from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
from ramsterd.remote.send.pool_copies import PoolCopies
from tests.helpers.clusters import cluster_of
from tests.helpers.dropping import drop_pool
from tests.helpers.made_pages import joined, make_run, make_store


def make_pool(store: Store, copies: PoolCopies, asked: int = 0) -> PoolId:
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"), copies=copies.wanted(asked))
    copies.on_pool(pool, asked)
    return pool


def test_pools_that_say_nothing_follow_the_cluster() -> None:
    store = make_store()
    copies = PoolCopies(store, cluster_of(2), configured=0)
    follows, asks, gone = (
        make_pool(store, copies),
        make_pool(store, copies, 3),
        make_pool(store, copies),
    )
    drop_pool(store, gone)
    assert store.pools[follows].copies == 1
    assert copies.on_members(cluster_of(3)), "more than before"
    assert store.pools[follows].copies == 2
    assert store.pools[asks].copies == 3
    assert not copies.on_members(cluster_of(2))
    assert store.pools[follows].copies == 1


def test_what_is_configured_stays() -> None:
    store = make_store()
    copies = PoolCopies(store, cluster_of(2), configured=2)
    pool = make_pool(store, copies)
    assert not copies.on_members(cluster_of(5))
    assert not copies.on_members(cluster_of(2))
    assert store.pools[pool].copies == 2


def test_what_other_members_would_want_changes_nothing() -> None:
    store = make_store()
    copies = PoolCopies(store, cluster_of(3), configured=0)
    follows = make_pool(store, copies)
    store.put(follows, b"disk", 0, joined(make_run(300, 1)))
    assert (copies.most_with(cluster_of(2)), copies.most_with(cluster_of(3))) == (1, 2)
    assert store.pools[follows].copies == 2
    asks = make_pool(store, copies, 3)
    assert copies.most_with(cluster_of(2)) == 1, "it has no pages"
    store.put(asks, b"disk", 0, joined(make_run(300, 1)))
    assert copies.most_with(cluster_of(2)) == 3
    assert PoolCopies(make_store(), cluster_of(3), configured=2).most_with(cluster_of(2)) == 2
