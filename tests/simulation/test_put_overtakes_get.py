"""Gets that wait for a peer, and what happens to their pages meanwhile."""

from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.frontends.pager import GetOutcome
from tests.simulation.checking_clients import Client, finish, stage
from tests.simulation.cluster import Cluster


def with_gets_held(
    seed: int, clock: MockClock, **knobs: float
) -> tuple[Cluster, Client, list[int]]:
    """Return a cluster where answers of node 1 are held, and the indexes that only node 1 has."""
    cluster, client = stage(seed, clock, 2, knobs=None, **knobs)
    client.fill(1600)
    cluster.run(2)
    cluster.hold(*cluster.rng.choice([(0, 1), (1, 0)]))
    return cluster, client, client.remote(1)


def let_all_go(cluster: Cluster) -> None:
    cluster.let_go(0, 1)
    cluster.let_go(1, 0)


async def test_flush_overtakes_get(seed: int, mock_clock: MockClock) -> None:
    """A get that waits finds a hole or the page; after it nobody finds the page."""
    cluster, client, indexes = with_gets_held(seed, mock_clock)
    gets = [client.get(index) for index in indexes[:40]]
    cluster.run(0.1)
    for index in indexes[:40]:
        client.flush(index)
    let_all_go(cluster)
    finish(cluster, client)
    assert all(get.result == [None] for get in gets)
    assert cluster[0].engine.statistics().fetch.overtaken_pages_total == 40


async def test_put_overtakes_get(seed: int, mock_clock: MockClock) -> None:
    """What comes home is not installed over the newer version, which the get returns."""
    cluster, client, indexes = with_gets_held(seed, mock_clock)
    gets = [client.get(index) for index in indexes[:40]]
    cluster.run(0.1)
    puts = [client.put(index) for index in indexes[:40]]
    let_all_go(cluster)
    finish(cluster, client)
    assert all(get.result is not None for get in gets)
    assert all(client.possible[put.index] == {put.versions[0]} for put in puts)


async def test_failed_get_leaves_no_trace(seed: int, mock_clock: MockClock) -> None:
    """A get that gives up is forgotten: the next one works as if it had never been."""
    cluster, client, indexes = with_gets_held(seed, mock_clock, fetch_seconds_max=2.0)
    client.expects_unreachable = True
    gets = [client.get(index) for index in indexes[:40]]
    cluster.run(2.5)
    assert all(get.result is GetOutcome.UNREACHABLE for get in gets)
    assert not cluster[0].engine.statistics().fetch.wanted_pages
    let_all_go(cluster)
    client.expects_unreachable = False
    finish(cluster, client)


async def test_gets_of_a_peer_without_a_link_leave_no_trace(
    seed: int, mock_clock: MockClock
) -> None:
    """Nothing piles up while a holder is away and clients go on asking."""
    cluster, client, indexes = with_gets_held(seed, mock_clock, fetch_seconds_max=1.0)
    client.expects_unreachable = True
    cluster.cut(0, 1)
    for _ in range(5):
        for index in indexes[:10]:
            client.get(index)
        cluster.run(1.5)
        fetches = cluster[0].engine.machines.fetches
        assert not fetches._asking._queued
        assert not fetches._gets._waiting
    assert client.seen["UNREACHABLE"] == 50


async def test_a_peer_that_is_given_up_fails_gets_at_once(seed: int, mock_clock: MockClock) -> None:
    """No client waits for a deadline when the cluster knows better."""
    cluster, client, indexes = with_gets_held(seed, mock_clock)
    client.expects_unreachable = True
    gets = [client.get(index) for index in indexes[:10]]
    cluster.cut(0, 1)
    cluster.judge(0, 1, NodeState.DOWN)
    assert all(get.result is GetOutcome.UNREACHABLE for get in gets)
    cluster.link(0, 1)
    client.expects_unreachable = False
    finish(cluster, client)


async def test_concurrent_getters_share_one_fetch(seed: int, mock_clock: MockClock) -> None:
    """One page, many gets, one request; all are answered."""
    cluster, client, indexes = with_gets_held(seed, mock_clock)
    before = cluster[0].engine.statistics().fetch.fetched_pages_total
    gets = [client.get(indexes[0]) for _ in range(9)]
    statistics = cluster[0].engine.statistics().fetch
    assert statistics.wanted_pages == statistics.requests_in_flight == 1
    let_all_go(cluster)
    cluster.run(0.5)
    assert all(get.result is not None for get in gets)
    assert cluster[0].engine.statistics().fetch.fetched_pages_total == before + 1
    finish(cluster, client)


async def test_the_fetch_window_is_respected(seed: int, mock_clock: MockClock) -> None:
    """More gets than the window lets through are asked for as answers come."""
    cluster, client, indexes = with_gets_held(seed, mock_clock, gets_in_flight_max=3)
    gets = [client.get(index) for index in indexes]
    assert cluster[0].engine.statistics().fetch.requests_in_flight == 3
    let_all_go(cluster)
    cluster.run(1)
    assert all(get.result is not None for get in gets)
    finish(cluster, client)


async def test_a_get_of_a_run_that_is_everywhere(seed: int, mock_clock: MockClock) -> None:
    """Pages of one run that are here, at two peers, zeros and holes come back in their order."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(2400)
    cluster.run(2)
    for index in cluster.rng.sample(range(2400), 300):
        client.flush(index) if index % 2 else client.put(index)
    gets = [client.get(start, 200) for start in range(0, 2400, 200)]
    cluster.run(2)
    assert all(get.result is not None for get in gets)
    finish(cluster, client)
