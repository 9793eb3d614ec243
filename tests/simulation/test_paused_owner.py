"""A whole node is stopped for seconds while its own clients wait: that time is no waiting time for any of them."""

import pytest
from trio.testing import MockClock

from config.model import TimersConfig
from nodemanager.states import NodeState
from ramsterd.frontends.pager import GetOutcome, PutOutcome
from tests.simulation.checking_clients import Client, finish, stage
from tests.simulation.cluster import Cluster

# Longer than everything below.
PAUSE_SECONDS = 8.0
WAIT_SECONDS = 4.0
assert WAIT_SECONDS < PAUSE_SECONDS < TimersConfig().idle_seconds


def impatient(seed: int, clock: MockClock) -> tuple[Cluster, Client]:
    return stage(
        seed,
        clock,
        request_seconds_max=WAIT_SECONDS / 2,
        fetch_seconds_max=WAIT_SECONDS,
        put_wait_seconds_max=WAIT_SECONDS,
    )


async def test_gets_that_wait_are_answered_after_a_pause(seed: int, mock_clock: MockClock) -> None:
    """What the holder answered lies in the wire, and is read before a deadline ends."""
    cluster, client = impatient(seed, mock_clock)
    client.fill(1600)
    cluster.run(1)
    gets = [client.get(index) for index in client.remote(1)[:64]]
    cluster.pause(0)
    cluster.run(PAUSE_SECONDS)
    assert not any(get.result for get in gets)
    cluster.resume(0)
    for get in gets:
        assert not isinstance(client.wait(get), GetOutcome)
    finish(cluster, client)


async def test_puts_that_wait_for_room_are_stored_after_a_pause(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = impatient(seed, mock_clock)
    cluster.hold(0, 1)
    waiting = client.put_until_one_waits()
    more = [client.put(5000 + 8 * each, 8) for each in range(8)]
    cluster.run(1)
    cluster.pause(0)
    cluster.let_go(0, 1)
    cluster.run(PAUSE_SECONDS)
    cluster.resume(0)
    for put in (waiting, *more):
        assert client.wait_put(put) is PutOutcome.STORED
    finish(cluster, client)


async def test_a_paused_owner_that_was_called_down_goes_on_where_it_was(
    seed: int, mock_clock: MockClock
) -> None:
    """Its peer has given it up meanwhile, with the same incarnation: nothing is lost on either side."""
    cluster, client = impatient(seed, mock_clock)
    client.fill(1600)
    gets = [client.get(index) for index in client.remote(1)[:64]]
    cluster.pause(0)
    cluster.run(PAUSE_SECONDS / 2)
    cluster.judge(1, 0, NodeState.DOWN)
    cluster.run(PAUSE_SECONDS / 2)
    cluster.resume(0)
    cluster.judge(1, 0, NodeState.UP)
    for get in gets:
        assert not isinstance(client.wait(get), GetOutcome)
    finish(cluster, client)


@pytest.mark.parametrize("paused", [[0], [1], [0, 1]], ids=["owner", "holder", "both"])
async def test_nodes_that_are_stopped_again_and_again_lose_nothing(
    seed: int, mock_clock: MockClock, paused: list[int]
) -> None:
    cluster, client = impatient(seed, mock_clock)
    other = Client(cluster, 1)
    for each in range(6):
        client.fill(200, start=200 * each)
        other.fill(50, start=50 * each)
        puts = [client.put(100 * each + 8 * run, 8) for run in range(4)]
        for number in paused:
            cluster.pause(number)
        # A get of a holder's own clients waits for the owner, which is paused for longer than a get may wait.
        cluster.run(cluster.rng.choice([0.1, 1.0, 3.0]))
        for number in paused:
            cluster.resume(number)
        for put in puts:
            assert client.wait_put(put) is PutOutcome.STORED
    finish(cluster, client, other)
