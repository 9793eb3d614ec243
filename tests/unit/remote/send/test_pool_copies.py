"""How many copies the pages of a pool have."""

from dataclasses import replace

import pytest

from config.model import ClusterConfig
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
from ramsterd.remote.send.pool_copies import PoolCopies, default_copies
from tests.helpers.clusters import cluster_of
from tests.helpers.dropping import drop_pool
from tests.helpers.made_pages import make_store


def draining(cluster: ClusterConfig) -> ClusterConfig:
    first, *others = cluster.node
    return replace(cluster, node=(replace(first, draining=True), *others))


@pytest.mark.parametrize(("nodes", "copies"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_the_default_needs_two_peers(nodes: int, copies: int) -> None:
    assert default_copies(cluster_of(nodes)) == copies


def test_a_node_that_drains_is_none_to_keep_copies() -> None:
    assert default_copies(draining(cluster_of(3))) == 1
    assert default_copies(draining(cluster_of(4))) == 2


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
