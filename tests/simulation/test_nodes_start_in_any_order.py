"""Starts, restarts and links in any order."""

from trio.testing import MockClock

from nodemanager.ids import NodeId
from tests.simulation.checkers import check_step
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import Cluster


async def test_nodes_start_in_any_order(seed: int, mock_clock: MockClock) -> None:
    """Clients begin before their node knows anybody; links come up one by one, some break at once."""
    cluster = Cluster(seed, mock_clock, nodes=4, put_wait_seconds_max=60.0)
    cluster.checks.append(lambda: check_step(cluster))
    clients = [Client(cluster, number) for number in cluster.rng.sample(range(4), 2)]
    pairs = [(one, other) for one in range(4) for other in range(one)]
    cluster.rng.shuffle(pairs)
    for client in clients:
        client.fill(600)
    for one, other in pairs:
        assert cluster.link(one, other)
        cluster.run(cluster.rng.uniform(0, 0.3))
        if cluster.rng.random() < 0.3:
            cluster.cut(one, other)
    cluster.link_all()
    cluster.run(1)
    for client in clients:
        client.fill(600, start=2000)
    finish(cluster, *clients)


async def test_a_second_link_is_refused(seed: int, mock_clock: MockClock) -> None:
    """And the first one goes on as if nothing had happened."""
    cluster = Cluster(seed, mock_clock)
    assert cluster.link(0, 1)
    assert not cluster.link(0, 1)
    client = Client(cluster, 0)
    cluster.run(0.1)
    client.fill(1600)
    finish(cluster, client)


async def test_an_earlier_incarnation_is_not_let_in(seed: int, mock_clock: MockClock) -> None:
    """A clock that went back at a restart: the node is refused, and its peers go on."""
    cluster = Cluster(seed, mock_clock, nodes=3)
    cluster.link_all()
    cluster.restart(1)
    cluster.run(0.1)  # until its peers have noticed
    cluster.link_all()
    assert cluster[0].engine.nodes.incarnation(NodeId(1)) == 2
    cluster.crash(1)
    cluster.start_again(1, 1)
    cluster.link(0, 1)
    cluster.run(0.1)
    assert not cluster.is_linked(0, 1)
    client = Client(cluster, 0)
    client.fill(1600)
    finish(cluster, client)
