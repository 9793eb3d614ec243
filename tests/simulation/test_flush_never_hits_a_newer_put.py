"""Flushes that are late, repeated or lost."""

from trio.testing import MockClock

from ramsterd.remote.wire import MessageType
from tests.simulation.checking_clients import Client, finish, stage
from tests.simulation.cluster import Cluster


def types_on_their_way(cluster: Cluster, source: int, target: int) -> list[int]:
    return [kind for kind, _, _ in cluster.on_its_way(source, target)]


async def test_flush_never_hits_a_newer_put(seed: int, mock_clock: MockClock) -> None:
    """A flush that is stuck on the link while newer versions follow it takes only the older ones."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    old = client.remote(1)
    assert len(old) > 100
    cluster.hold(0, 1)
    for index in old:
        client.put(index)
    cluster.run(0.2)
    assert MessageType.FLUSH_PAGES in types_on_their_way(cluster, 0, 1)
    cluster.let_go(0, 1)
    client.fill(200, start=2000)
    finish(cluster, client)


def make_unknown_put(cluster: Cluster, client: Client) -> None:
    """Leave node 0 with a PUT that node 1 stored, while node 0 can't know; and the link cut."""
    cluster.hold(1, 0)
    client.fill_beyond_memory(start=0)
    cluster.run(0.1)
    assert client.in_flight()
    cluster.cut(0, 1)
    assert not client.in_flight()


async def test_an_owed_flush_leaves_before_the_same_serials_are_put_again(
    seed: int, mock_clock: MockClock
) -> None:
    """After an unknown outcome the same serials go to the same peer: the owed flush must not undo that."""
    cluster, client = stage(seed, mock_clock)
    make_unknown_put(cluster, client)
    cluster.link(0, 1)
    cluster.run(2)
    assert client.remote(1)
    finish(cluster, client)


async def test_a_flush_lost_with_its_link_is_sent_again(seed: int, mock_clock: MockClock) -> None:
    """Foreign pages that nobody will ask for do not stay because a link broke."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    cluster.hold(0, 1)
    for index in client.remote(1):
        client.flush(index)
    cluster.run(0.2)
    assert MessageType.FLUSH_PAGES in types_on_their_way(cluster, 0, 1)
    cluster.cut(0, 1)
    cluster.run(1)
    cluster.link(0, 1)
    finish(cluster, client)


async def test_a_lost_flush_sent_again_spares_what_was_put_meanwhile(
    seed: int, mock_clock: MockClock
) -> None:
    """A flush of an unknown put is lost, the put is repeated, its answer is lost, and so on: nothing is lost."""
    cluster, client = stage(seed, mock_clock)
    make_unknown_put(cluster, client)
    for _ in range(4):
        cluster.link(0, 1)
        cluster.hold(*cluster.rng.choice([(0, 1), (1, 0)]))
        cluster.run(cluster.rng.uniform(0, 1))
        cluster.cut(0, 1)
    cluster.link(0, 1)
    finish(cluster, client)


async def test_a_put_that_timed_out_and_arrives_late_is_flushed(
    seed: int, mock_clock: MockClock
) -> None:
    """The peer was only slow: it stores what the owner gave up, and then drops it, in this order."""
    cluster, client = stage(seed, mock_clock, request_seconds_max=1.0)
    cluster.hold(0, 1)
    client.fill_beyond_memory(start=0)
    cluster.run(1.5)
    assert cluster[0].engine.statistics().remotify.unknown_pages_total
    cluster.let_go(0, 1)
    finish(cluster, client)
    assert client.remote(1) == [] or client.seen["served"]
