"""Answers that never come: lost with the link, or too late."""

from trio.testing import MockClock

from nodemanager.states import NodeState
from tests.simulation.checking_clients import finish, stage


async def test_lost_reply_loses_nothing(seed: int, mock_clock: MockClock) -> None:
    """The peer has served a get; the link breaks under the answer; the page is still there."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    cluster.hold(1, 0)
    gets = [client.get(index) for index in client.remote(1)[:50]]
    cluster.run(0.1)
    assert cluster.on_its_way(1, 0)
    cluster.cut(0, 1)
    cluster.link(0, 1)
    finish(cluster, client)
    assert all(get.result is not None for get in gets)


async def test_the_lost_answer_to_a_put_loses_nothing(seed: int, mock_clock: MockClock) -> None:
    """The pages stay with their owner, and the peer is told to drop what it may have."""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(1, 0)
    client.fill_beyond_memory(start=0)
    cluster.run(0.1)
    cluster.cut(0, 1)
    assert not client.in_flight()
    cluster.run(1)
    cluster.link(0, 1)
    client.fill(400, start=2000)
    finish(cluster, client)


async def test_answers_that_come_too_late_change_nothing(seed: int, mock_clock: MockClock) -> None:
    """Time-outs of gets and puts on a link that is only slow."""
    cluster, client = stage(seed, mock_clock, request_seconds_max=1.0, fetch_seconds_max=20.0)
    client.fill(1600)
    cluster.run(2)
    for _ in range(3):
        cluster.hold(1, 0)
        gets = [client.get(index) for index in client.remote(1)[:30]]
        puts = [client.put(3000 + index, 16) for index in range(0, 64, 16)]
        cluster.run(1.5)
        cluster.let_go(1, 0)
        cluster.run(1)
        assert all(get.result is not None for get in gets)
        assert all(put.outcome is not None for put in puts)
    finish(cluster, client)


async def test_a_partition_that_heals_loses_nothing(seed: int, mock_clock: MockClock) -> None:
    """Down with the same incarnation is unreachable, not lost."""
    cluster, client = stage(seed, mock_clock, nodes=3, fetch_seconds_max=4.0)
    client.expects_unreachable = True
    client.fill(2000)
    cluster.run(2)
    cluster.cut(0, 1)
    cluster.judge(0, 1, NodeState.SUSPECT)
    cluster.judge(0, 1, NodeState.DOWN)
    for index in client.remote(1)[:60:3]:
        client.get(index)
    for index in client.remote(1)[1:60:3]:
        client.put(index)
    for index in client.remote(1)[2:60:3]:
        client.flush(index)
    cluster.run(20)
    assert client.seen["UNREACHABLE"]
    cluster.link(0, 1)
    client.expects_unreachable = False
    finish(cluster, client)
    assert not client.seen["LOST"]
