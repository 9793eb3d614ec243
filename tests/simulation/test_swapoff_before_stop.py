"""A node stops, whether its pages were fetched home first or not, and with any node that hangs meanwhile."""

from trio.testing import MockClock

from tests.simulation.checkers import check_quiet
from tests.simulation.checking_clients import Client
from tests.simulation.cluster import Cluster

FETCH_SECONDS_MAX = 3.0
ORPHAN_SECONDS = 30.0
FOUND_SECONDS_MAX = 40.0


def stage(seed: int, clock: MockClock) -> tuple[Cluster, Client]:
    cluster = Cluster(
        seed,
        clock,
        nodes=3,
        has_detector=True,
        copies=1,
        fetch_seconds_max=FETCH_SECONDS_MAX,
        put_wait_seconds_max=FETCH_SECONDS_MAX,
        orphan_seconds=ORPHAN_SECONDS,
    )
    assert cluster.run_until(lambda: cluster.is_linked(0, 1) and cluster.is_linked(0, 2), 20)
    cluster.run(1)
    client = Client(cluster, 0, expects_unreachable=True)
    client.fill(1800)
    cluster.run(2)
    assert client.remote(1)
    assert client.remote(2)
    return cluster, client


def foreign_pages(cluster: Cluster, holder: int) -> int:
    return sum(each.pages for each in cluster[holder].engine.statistics().foreign)


async def test_swapoff_before_stop(seed: int, mock_clock: MockClock) -> None:
    """With swapoff: each page is read once more and flushed, and nothing of ours is anywhere before we stop."""
    cluster, client = stage(seed, mock_clock)
    for start in range(0, 1800, 8):
        client.wait(client.get(start, 8))
        client.flush(start, 8)
    assert client.seen["hits"] == 1800
    cluster.run(1)
    assert foreign_pages(cluster, 1) == foreign_pages(cluster, 2) == 0
    await cluster[0].peers.say_farewell()
    check_quiet(cluster[0], cluster.nodes)
    cluster.crash(0)
    cluster.run(1)


async def test_stop_without_swapoff(seed: int, mock_clock: MockClock) -> None:
    """Reads and writes are under way, and one holder hangs: all end in bounded time, and the others drop our pages.

    The one that hangs may not have read our farewell before it sees that the link is gone; it drops them later.
    """
    cluster, client = stage(seed, mock_clock)
    cluster.pause(1)
    gets = [client.get(index) for index in [*client.remote(1)[:20], *client.remote(2)[:20]]]
    client.put_until_one_waits()
    before = cluster.now
    await cluster[0].peers.say_farewell()
    assert cluster.run_until(lambda: not (client.gets or client.puts), 2 * FETCH_SECONDS_MAX)
    assert cluster.now - before <= FETCH_SECONDS_MAX + 0.1
    assert all(get.result is not None for get in gets)
    cluster.run(1)
    assert foreign_pages(cluster, 2) == 0
    cluster.crash(0)
    cluster.resume(1)
    assert cluster.run_until(
        lambda: not foreign_pages(cluster, 1), FOUND_SECONDS_MAX + ORPHAN_SECONDS
    )
