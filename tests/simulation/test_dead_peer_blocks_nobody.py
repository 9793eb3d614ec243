"""Peers that hang, refuse, leave and come back."""

from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.remote.wire import MessageType
from tests.simulation.checking_clients import Client, finish, stage


async def test_dead_peer_blocks_nobody(seed: int, mock_clock: MockClock) -> None:
    """A stopped process with an open link: its flushes and puts hold up nothing that goes to others."""
    cluster, client = stage(seed, mock_clock, nodes=3, put_wait_seconds_max=10.0)
    client.fill(1600)
    cluster.run(2)
    cluster.pause(1)
    for index in client.remote(1):
        client.flush(index)
    client.fill(400, start=2000)
    assert len(client.remote(2)) > 200
    for index in client.remote(2)[:20]:
        client.wait(client.get(index))
    cluster.resume(1)
    cluster.run(1)
    cluster.link_all()
    finish(cluster, client)


async def test_gets_from_a_stopped_peer_fail_and_others_do_not(
    seed: int, mock_clock: MockClock
) -> None:
    """One silent holder delays nobody's get but those of its own pages."""
    cluster, client = stage(seed, mock_clock, nodes=3, fetch_seconds_max=3.0)
    client.expects_unreachable = True
    client.fill(2400)
    cluster.run(2)
    cluster.pause(1)
    from_stopped = [client.get(index) for index in client.remote(1)[:20]]
    from_other = [client.get(index) for index in client.remote(2)[:20]]
    cluster.run(0.2)
    assert all(get.result is not None for get in from_other)
    assert all(get.result is None for get in from_stopped)
    cluster.run(4)
    assert client.seen["UNREACHABLE"] == len(from_stopped) == 20
    cluster.resume(1)
    cluster.run(1)
    cluster.link_all()
    client.expects_unreachable = False
    finish(cluster, client)


async def test_refused_put_is_retried_elsewhere(seed: int, mock_clock: MockClock) -> None:
    """A peer that said it had room has none any more: its pages stay ours, and go to another peer."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    theirs = Client(cluster, 1)
    # Node 0 goes on believing that node 1 is empty; node 2 looks full to it for now.
    cluster.hold(1, 0)
    cluster.hold(2, 0)
    theirs.fill(800)
    client.fill_beyond_memory(start=0)
    cluster.run(0.2)
    cluster.let_go(1, 0)
    cluster.run(0.2)
    cluster.let_go(2, 0)
    client.fill(800, start=2000)
    finish(cluster, client, theirs)
    assert cluster[0].engine.statistics().remotify.refused_pages_total
    assert client.remote(2)


async def test_a_peer_without_any_room_gets_nothing(seed: int, mock_clock: MockClock) -> None:
    """Its quota is used up, so it says that it does not accept; nobody asks it."""
    cluster, client = stage(
        seed, mock_clock, nodes=3, knobs={1: {"foreign_fraction_max": 0.0}, 2: {}}
    )
    client.fill(1200)
    finish(cluster, client)
    assert not client.remote(1)
    assert client.remote(2)


async def test_the_last_room_of_a_peer_is_used(seed: int, mock_clock: MockClock) -> None:
    """A peer that has room for one block, but not for a full frame, is sent one block."""
    cluster, client = stage(
        seed, mock_clock, knobs={1: {"foreign_fraction_max": 0.05}}, put_wait_seconds_max=1.0
    )
    client.fill_beyond_memory(start=0)
    cluster.run(3)
    assert client.remote(1)


async def test_target_leaves_and_returns(seed: int, mock_clock: MockClock) -> None:
    """One of two peers leaves in order and comes back in a new incarnation; the other takes over meanwhile."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(1200)
    cluster.run(2)
    gone = client.on_holder_lost(1)
    cluster.end_of(1, 0).link.close("leaving")
    cluster.end_of(1, 2).link.close("leaving")
    cluster.run(0.1)
    assert not cluster.is_linked(0, 1)
    cluster.crash(1)
    cluster.judge(0, 1, NodeState.DOWN)
    client.fill(600, start=2000)
    assert client.remote(2)
    cluster.start_again(1, 2)
    cluster.link_all()
    client.fill(800, start=4000)
    assert client.remote(1)
    finish(cluster, client)
    assert client.seen["LOST"] == len(gone)


async def test_a_clogged_link_is_not_given_more_than_its_window(
    seed: int, mock_clock: MockClock
) -> None:
    """Frames do not pile up on a link that nobody reads."""
    cluster, client = stage(seed, mock_clock, puts_in_flight_max=2, put_wait_seconds_max=0.5)
    cluster.hold(0, 1)
    for index in range(0, 1600, 16):
        client.put(index, 16)
    kinds = [kind for kind, _, _ in cluster.on_its_way(0, 1)]
    assert kinds.count(MessageType.PUT_PAGES) == 2
    cluster.let_go(0, 1)
    cluster.run(8)
