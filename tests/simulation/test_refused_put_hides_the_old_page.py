"""Puts that find no room: they wait, they succeed, or they are refused."""

from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.frontends.pager import GetOutcome, PutOutcome
from tests.fakes.dropping import drop_run
from tests.simulation.checking_clients import Client, finish, stage
from tests.simulation.cluster import Cluster

# Pages of this form modulo 4 pack well: a version that does not pack finds no room where they stand.
PACKED = 0


def fill_alone(
    seed: int, clock: MockClock, *, hides_refused: bool = True
) -> tuple[Cluster, Client]:
    """Return a cluster whose node 0 is full and waits for no peer."""
    cluster = Cluster(seed, clock)
    for peer in cluster[0].engine.nodes.nodes():
        cluster.judge(0, peer, NodeState.DOWN)
    client = Client(cluster, 0, hides_refused=hides_refused)
    index = 0
    while client.put(index).is_stored:
        index += 1
    return cluster, client


async def test_refused_put_hides_the_old_page(seed: int, mock_clock: MockClock) -> None:
    """Where a put was refused the version before it is never read again."""
    cluster, client = fill_alone(seed, mock_clock)
    outcomes = []
    for index in range(PACKED, 200, 4):
        put = client.put(index, cluster.rng.randint(1, 8), is_raw=True)
        outcomes.append(put.outcome)
        if put.is_refused:
            last = index + len(put.versions) - 1
            assert client.get(last).result is GetOutcome.LOST
    assert PutOutcome.REFUSED in outcomes
    client.read_all()


async def test_a_refused_put_of_a_disk_leaves_the_old_page(
    seed: int, mock_clock: MockClock
) -> None:
    """What was acknowledged stays: the writer has an error, so either version may be read."""
    cluster, client = fill_alone(seed, mock_clock, hides_refused=False)
    refused = 0
    for index in range(PACKED, 200, 4):
        put = client.put(index, cluster.rng.randint(1, 8), is_raw=True)
        refused += put.is_refused
    assert refused
    client.read_all()
    assert client.seen["LOST"] == 0


async def test_a_refused_page_can_be_put_again_or_flushed(seed: int, mock_clock: MockClock) -> None:
    """Lost is a state of the page, not of the index."""
    _, client = fill_alone(seed, mock_clock)
    refused = next(i for i in range(PACKED, 400, 4) if client.put(i, is_raw=True).is_refused)
    client.flush(refused)
    assert client.get(refused).result == [None]
    refused = next(i for i in range(PACKED, 400, 4) if client.put(i, 8, is_raw=True).is_refused)
    client.flush(200, 200)
    assert client.put(refused, 8).is_stored
    client.read_all()


async def test_a_put_waits_for_room_and_gets_it(seed: int, mock_clock: MockClock) -> None:
    """While remotify is under way a put waits; it is answered as the first blocks have left."""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(1, 0)
    put = client.put_until_one_waits()
    late = client.put(put.index + 8, 8)
    assert put.is_waiting
    cluster.run(1)
    assert put.is_waiting
    cluster.let_go(1, 0)
    cluster.run(1)
    assert put.is_stored
    assert late.is_stored
    finish(cluster, client)


async def test_a_put_that_waits_too_long_is_refused(seed: int, mock_clock: MockClock) -> None:
    """A peer is there but takes nothing: the put is refused at its deadline, and so is what waits behind it."""
    cluster, client = stage(seed, mock_clock, put_wait_seconds_max=2.0)
    cluster.hold(1, 0)
    put = client.put_until_one_waits()
    behind = client.put(0)
    cluster.run(1.9)
    assert put.is_waiting
    cluster.run(0.2)
    assert put.is_refused
    assert behind.is_refused
    assert client.get(0).result is not GetOutcome.LOST
    cluster.let_go(1, 0)
    finish(cluster, client)


async def test_a_page_is_put_again_while_its_put_waits(seed: int, mock_clock: MockClock) -> None:
    """The later put is the one that stays."""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(1, 0)
    first = client.put_until_one_waits()
    index = first.index
    second = client.put(index, 8)
    cluster.let_go(1, 0)
    cluster.run(1)
    assert first.is_stored
    assert second.is_stored
    assert client.possible[index] == {second.versions[0]}
    finish(cluster, client)


async def test_a_flush_makes_room_for_a_put_that_waits(seed: int, mock_clock: MockClock) -> None:
    """Room is room, from any side: our client by a flush…"""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(1, 0)
    put = client.put_until_one_waits()
    client.flush(0, put.index)
    cluster.run(0.1)
    assert put.is_stored


async def test_foreign_pages_that_go_make_room_for_a_put_that_waits(
    seed: int, mock_clock: MockClock
) -> None:
    """…or a peer that flushes what it has here."""
    cluster, client = stage(seed, mock_clock)
    theirs = Client(cluster, 1)
    theirs.fill(1600)
    cluster.run(2)
    cluster.hold(0, 1)  # nothing of node 0 leaves any more
    put = client.put_until_one_waits()
    drop_run(cluster[1].client, cluster[1].pool, b"disk", 0, 1600)
    theirs.possible.clear()
    cluster[1].pager.settle()
    cluster.run(1)
    assert put.is_stored


async def test_a_pool_is_destroyed_while_a_put_waits(seed: int, mock_clock: MockClock) -> None:
    """The put is refused; nobody trips over the pool that is gone."""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(1, 0)
    put = client.put_until_one_waits()
    cluster[0].pager.end_pool(cluster[0].pool)
    cluster[0].pager.settle()
    assert put.is_refused
    cluster.let_go(1, 0)
    cluster.run(8)
