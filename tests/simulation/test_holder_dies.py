"""Holders that die: with one copy their pages are lost, and said to be."""

from trio.testing import MockClock

from nodemanager.states import NodeState
from tests.simulation.checking_clients import finish, stage


async def test_a_holder_that_starts_again_has_lost_its_pages(
    seed: int, mock_clock: MockClock
) -> None:
    """Each of them answers lost; all others are there; the new incarnation takes pages again."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(2400)
    cluster.run(2)
    gone = client.on_holder_lost(1)
    cluster.restart(1)
    cluster.link_all()
    finish(cluster, client)
    assert client.seen["LOST"] == len(gone) > 100
    client.fill(800, start=4000)
    finish(cluster, client)
    assert client.remote(1)


async def test_gets_that_wait_for_a_dying_holder_are_answered(
    seed: int, mock_clock: MockClock
) -> None:
    """They are told lost as soon as a link shows the new incarnation."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    cluster.hold(1, 0)
    indexes = client.remote(1)[:20]
    gets = [client.get(index) for index in indexes]
    cluster.run(0.1)
    gone = client.on_holder_lost(1)
    cluster.restart(1)
    assert all(get.result is None for get in gets)
    cluster.link(0, 1)
    assert client.seen["LOST"] == 20
    cluster.link_all()
    finish(cluster, client)
    assert client.seen["LOST"] == len(gone) + 20


async def test_a_new_incarnation_that_only_heartbeats_speak_of_changes_nothing_on_a_busy_link(
    seed: int, mock_clock: MockClock
) -> None:
    """Any member could say it; the link proves the incarnation that it belongs to, and its answers count."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    gets = [client.get(index) for index in client.remote(1)[:20]]
    cluster.hold(1, 0)
    for index in range(3000, 3064, 16):
        client.put(index, 16)
    cluster.run(0.1)
    cluster.judge(0, 1, NodeState.UP, incarnation=2)
    cluster.let_go(1, 0)
    cluster.run(1)
    assert cluster.is_linked(0, 1)
    assert all(get.result is not None for get in gets)
    assert "LOST" not in client.seen
    statistics = cluster[0].engine.statistics()
    assert not statistics.remotify.requests_in_flight
    assert not statistics.fetch.requests_in_flight
    cluster[0].engine.check_invariants()


async def test_clean_copies_survive_their_holder(seed: int, mock_clock: MockClock) -> None:
    """A page that came home and was not dropped yet is still ours when its holder dies."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(2400)
    cluster.run(2)
    client.flush(0, 200)  # room to install what comes home
    at_home = client.remote(1)[:40] + client.remote(2)[:40]
    for index in cluster.rng.sample(at_home, len(at_home)):
        client.wait(client.get(index))
    # How many of them found room depends on which pages the flush met at home.
    at_home = sorted(set(at_home) - set(client.remote(1)) - set(client.remote(2)))
    assert at_home
    gone = client.on_holder_lost(1)
    assert not gone & set(at_home)
    cluster.restart(1)
    cluster.link_all()
    finish(cluster, client)
    assert client.seen["LOST"] == len(gone)


async def test_pages_put_or_flushed_after_the_death_are_not_lost(
    seed: int, mock_clock: MockClock
) -> None:
    """Before and after the sweep has reached them."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    gone = sorted(client.on_holder_lost(1))
    cluster.restart(1)
    cluster.link(0, 1)
    for index in gone[:100:2]:
        client.put(index)
    for index in gone[1:100:2]:
        client.flush(index)
    cluster.run(1)
    for index in gone[100:150]:
        client.put(index)
    finish(cluster, client)
    assert client.seen["LOST"] == len(gone) - 150
