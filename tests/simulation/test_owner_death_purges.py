"""Owners that die: what they left at their peers goes."""

from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.remote.wire import MessageType
from tests.simulation.checking_clients import Client, finish, stage
from tests.simulation.cluster import Cluster


def foreign_pages(cluster: Cluster, holder: int) -> int:
    return sum(each.pages for each in cluster[holder].engine.statistics().foreign)


async def test_owner_death_purges(seed: int, mock_clock: MockClock) -> None:
    """The new incarnation of an owner links up: all that its old incarnation left is dropped, before anything new comes."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    assert foreign_pages(cluster, 1) > 100
    cluster.restart(0)
    cluster.run(1)
    assert foreign_pages(cluster, 1) > 100, "unreachable is not dead"
    cluster.link(0, 1)
    assert foreign_pages(cluster, 1) == 0
    reborn = Client(cluster, 0)
    reborn.fill(1600)
    finish(cluster, reborn)


async def test_no_heartbeat_ends_an_incarnation_that_a_link_has_shown(
    seed: int, mock_clock: MockClock
) -> None:
    """Members share the key of heartbeats, so any of them could purge any other's pages."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    kept = foreign_pages(cluster, 1)
    assert kept > 100
    for state in (NodeState.UP, NodeState.SUSPECT, NodeState.DOWN):
        cluster.judge(1, 0, state, incarnation=2)
    assert foreign_pages(cluster, 1) == kept
    cluster.run(1)
    assert cluster.is_linked(1, 0)
    assert foreign_pages(cluster, 1) >= kept


async def test_owner_death_purges_after_orphan_seconds(seed: int, mock_clock: MockClock) -> None:
    """An owner that is down and does not come back is given so long, and not longer."""
    cluster, client = stage(seed, mock_clock, orphan_seconds=60.0)
    client.fill(1600)
    cluster.run(2)
    cluster.crash(0)
    cluster.judge(1, 0, NodeState.DOWN)
    cluster.run(59)
    assert foreign_pages(cluster, 1) > 100
    cluster.run(2)
    assert foreign_pages(cluster, 1) == 0


async def test_an_owner_that_comes_back_in_time_keeps_its_pages(
    seed: int, mock_clock: MockClock
) -> None:
    """The time runs from the last verdict, and the same incarnation returns."""
    cluster, client = stage(seed, mock_clock, orphan_seconds=60.0)
    client.fill(1600)
    for _ in range(3):
        cluster.run(2)
        cluster.cut(0, 1)
        cluster.judge(1, 0, NodeState.DOWN)
        cluster.run(50)
        cluster.link(0, 1)
    cluster.run(100)
    finish(cluster, client)


async def test_an_owner_with_an_open_link_is_never_purged(seed: int, mock_clock: MockClock) -> None:
    """Only its heartbeats are lost: pages of a living owner are not dropped.  The time runs from the link's loss."""
    cluster, client = stage(seed, mock_clock, orphan_seconds=60.0)
    client.fill(1600)
    cluster.run(2)
    cluster.judge(1, 0, NodeState.DOWN)
    cluster.run(100)
    finish(cluster, client)
    cluster.crash(0)
    cluster.run(59)
    assert foreign_pages(cluster, 1) > 100
    cluster.run(2)
    assert foreign_pages(cluster, 1) == 0


async def test_an_owner_that_comes_back_too_late_is_told_so(
    seed: int, mock_clock: MockClock
) -> None:
    """Its pages were purged: each answers lost, never zeros; then the books balance again."""
    cluster, client = stage(seed, mock_clock, orphan_seconds=60.0)
    client.fill(1600)
    cluster.run(2)
    cluster.cut(0, 1)
    cluster.judge(1, 0, NodeState.DOWN)
    cluster.checks.clear()  # rows of node 0 name pages that node 1 has not, until it asks
    gone = client.on_holder_lost(1)
    cluster.run(70)
    cluster.link(0, 1)
    finish(cluster, client)
    assert client.seen["LOST"] == len(gone) > 100


async def test_an_owner_that_stops_in_order_takes_its_pages_along(
    seed: int, mock_clock: MockClock
) -> None:
    """A farewell leaves nothing behind."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(2400)
    cluster.run(2)
    cluster.checks.clear()
    cluster[0].engine.farewell()
    cluster[0].peers.settle()
    assert (MessageType.FLUSH_OWNER, False, 1) in cluster.on_its_way(0, 1)
    cluster.run(1)
    assert foreign_pages(cluster, 1) == foreign_pages(cluster, 2) == 0


async def test_destroy_pool_leaves_no_foreign_pages(seed: int, mock_clock: MockClock) -> None:
    """Also those that are on their way when the pool goes."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(2000)
    cluster.run(2)
    cluster.hold(*cluster.rng.choice([(0, 1), (1, 0)]))
    client.fill_beyond_memory(start=3000)
    gets = [client.get(index) for index in client.remote(1)[:20]]
    client.possible.clear()
    for get in gets:
        get.possible = [{0}]
    cluster[0].pager.end_pool(cluster[0].pool)
    while not cluster[0].pager.destroy_some(cluster[0].pool, 16)[1]:
        pass
    cluster[0].pager.settle()
    cluster.let_go(0, 1)
    cluster.let_go(1, 0)
    finish(cluster)
    assert foreign_pages(cluster, 1) == foreign_pages(cluster, 2) == 0
    assert all(get.result == [None] for get in gets)
