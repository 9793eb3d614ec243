"""Links that end in the middle of a pass."""

from trio.testing import MockClock

from tests.simulation.checking_clients import finish, stage


async def test_a_link_lost_with_requests_under_way(seed: int, mock_clock: MockClock) -> None:
    """What fails with the link is not asked for again on the same link."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(1600)
    cluster.run(2)
    cluster.hold(1, 0)
    gets = [client.get(index) for index in client.remote(1)[:40]]
    assert len(gets) == 40
    cluster.cut(0, 1)
    cluster.run(1)
    assert all(get.result is None for get in gets)
    cluster.link(0, 1)
    finish(cluster, client)
    assert all(get.result is not None for get in gets)


async def test_a_goodbye_comes_together_with_answers(seed: int, mock_clock: MockClock) -> None:
    """The answers make the owner send more requests, to a peer that has just left."""
    cluster, client = stage(seed, mock_clock, gets_in_flight_max=1)
    client.fill(1600)
    cluster.run(2)
    gets = [client.get(index) for index in client.remote(1)]
    assert cluster[0].engine.statistics().fetch.requests_in_flight == 1
    leaving = cluster.end_of(1, 0)
    assert cluster.run_until(lambda: bool(leaving.outgoing.chunks), 0.1)
    leaving.link.close("leaving in order")
    assert leaving.is_broken()
    leaving.end_broken()
    leaving.outgoing.join()
    cluster.run(0.5)
    assert not cluster.is_linked(0, 1)
    cluster.link(0, 1)
    finish(cluster, client)
    assert all(get.result is not None for get in gets)
