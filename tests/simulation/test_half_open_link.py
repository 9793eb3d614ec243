"""One end of a link is gone, and the other was not told: the pair is linked again long before the link is idle."""

import pytest
from trio.testing import MockClock

from config.model import TimersConfig
from net.backoff import RECONNECT_SECONDS_MAX
from net.judgement import PROBE_SECONDS
from net.mesh import SILENT_KEEPALIVES
from tests.simulation.checkers import check_step
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import Cluster

PAGES = 1500


def make_cluster(seed: int, clock: MockClock, owner: int) -> tuple[Cluster, Client]:
    cluster = Cluster(seed, clock, nodes=2, has_detector=True)
    cluster.checks.append(lambda: check_step(cluster))
    assert cluster.run_until(lambda: cluster.is_linked(0, 1) and cluster.is_linked(1, 0))
    cluster.run(1.0)
    client = Client(cluster, owner)
    client.fill(PAGES)
    cluster.run(2.0)
    assert client.remote(1 - owner)
    return cluster, client


@pytest.mark.parametrize("owner", [0, 1])
async def test_the_accepting_side_gives_a_dead_link_up_when_the_peer_connects_again(
    seed: int, autojump_clock: MockClock, owner: int
) -> None:
    cluster, client = make_cluster(seed, autojump_clock, owner)
    cluster.reset_one_end(1, 0)
    began_at = cluster.now
    assert cluster.run_until(lambda: cluster.is_linked(1, 0))
    assert cluster.now - began_at < PROBE_SECONDS + 1.0
    finish(cluster, client)


@pytest.mark.parametrize("owner", [0, 1])
async def test_the_dialling_side_dials_again_when_nothing_comes_any_more(
    seed: int, autojump_clock: MockClock, owner: int
) -> None:
    cluster, client = make_cluster(seed, autojump_clock, owner)
    client.expects_unreachable = True
    cluster.reset_one_end(0, 1)
    began_at = cluster.now
    assert cluster.run_until(lambda: cluster.is_linked(0, 1))
    silent_seconds = SILENT_KEEPALIVES * TimersConfig().keepalive_seconds
    assert cluster.now - began_at < silent_seconds + 1.0 < TimersConfig().idle_seconds
    client.expects_unreachable = False
    finish(cluster, client)


async def test_reads_go_on_while_a_half_open_link_is_replaced(
    seed: int, autojump_clock: MockClock
) -> None:
    """What was asked for on the dead link ends with it, and is asked for again on the next one."""
    cluster, client = make_cluster(seed, autojump_clock, 0)
    remote = client.remote(1)[:32]
    cluster.reset_one_end(1, 0)
    gets = [client.get(index) for index in remote]
    assert cluster.run_until(
        lambda: all(get.result is not None for get in gets), PROBE_SECONDS + RECONNECT_SECONDS_MAX
    )
    finish(cluster, client)
