"""One of three nodes is down: writes go on with fewer copies, which are at risk, and made again when it is back."""

from typing import Any

import pytest
from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.frontends.pager import PutOutcome
from tests.simulation.checkers import held, named, rows_of
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.pages import OBJECT, make_page

PAGES = 2000
BUDGETS: dict[int, dict[str, float]] = {1: {"budget": 16 * MIB}, 2: {"budget": 16 * MIB}}


def two_of_three(seed: int, clock: MockClock, **knobs: Any) -> tuple[Cluster, Client]:
    """Return a cluster whose node 2 is down before anything left node 0."""
    cluster = Cluster(seed, clock, nodes=3, knobs=BUDGETS, copies=2, **knobs)
    cluster.link_all()
    cluster.run(1)
    cluster.crash(2)
    cluster.judge(0, 2, NodeState.DOWN)
    cluster.judge(1, 2, NodeState.DOWN)
    return cluster, Client(cluster, 0)


def come_back(cluster: Cluster) -> None:
    cluster.start_again(2, 2)
    cluster.run(1)
    cluster.link_all()


def at_risk(cluster: Cluster) -> int:
    return cluster[0].engine.statistics().rebuild.pages_at_risk


async def test_with_one_of_three_down_no_write_is_refused(seed: int, mock_clock: MockClock) -> None:
    cluster, client = two_of_three(seed, mock_clock)
    client.fill(PAGES)
    for index in range(0, PAGES, 16):
        assert client.wait_put(client.put(index, 16)) is PutOutcome.STORED
    finish(cluster, client)
    assert len(held(cluster[0], cluster[1])) > 400


async def test_pages_with_fewer_copies_are_at_risk_and_copied_again(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = two_of_three(seed, mock_clock)
    client.fill(PAGES)
    cluster.run(2)
    assert at_risk(cluster) == len(named(cluster[0], cluster[1])) > 400
    come_back(cluster)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    finish(cluster, client)
    assert held(cluster[0], cluster[1]) == held(cluster[0], cluster[2])
    assert cluster[0].engine.statistics().store.lost_pages_total == 0


async def test_reads_of_pages_at_risk_do_not_send_them_again(
    seed: int, mock_clock: MockClock
) -> None:
    """A clean copy here is dropped as ever: it has as many copies as it may have now."""
    cluster, client = two_of_three(seed, mock_clock)
    client.fill(PAGES)
    cluster.run(2)
    before = cluster[0].engine.statistics().remotify.stored_pages_total
    for _ in range(3):
        client.read_all()
        cluster.run(1)
    after = cluster[0].engine.statistics().remotify.stored_pages_total
    assert after - before < 100
    client.fill(400)
    cluster.run(2)
    assert at_risk(cluster) >= len(named(cluster[0], cluster[1])) - 400
    come_back(cluster)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    finish(cluster, client)


async def test_a_short_absence_costs_no_copy(seed: int, mock_clock: MockClock) -> None:
    """A suspicion of half a second is waited for: all that left is at two peers."""
    cluster = Cluster(seed, mock_clock, nodes=3, knobs=BUDGETS, copies=2)
    cluster.link_all()
    client = Client(cluster, 0)
    client.fill(800)
    cluster.run(1)
    cluster.judge(0, 2, NodeState.SUSPECT)
    for index in range(800, 1600, 16):
        client.put(index, 16)
    cluster.run(0.5)
    cluster.judge(0, 2, NodeState.UP)
    cluster.run(2)
    assert not client.puts
    assert at_risk(cluster) == 0
    assert held(cluster[0], cluster[1]) == held(cluster[0], cluster[2])
    finish(cluster, client)


async def test_with_copies_min_as_copies_writes_are_refused(
    seed: int, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why and what to do, and nothing is at risk."""
    cluster, client = two_of_three(seed, mock_clock, copies_min=2, put_wait_seconds_max=0.5)
    put = client.put_until_one_waits()
    cluster.run(2)
    assert put.is_refused
    [line] = [each.message for each in caplog.records if "writes get no room" in each.message]
    assert line == (
        "writes get no room: 1 refused since the start; peers: 2, up: 1, with room: 1; pages of export leave only for 2"
        " peers or more with room (copies = 2): type `systemctl start ramsterd` on the nodes that are down, or set copies_min below 2 in [remote]"
        ' (not for durability = "replicated")'
    )
    assert not held(cluster[0], cluster[1])
    assert at_risk(cluster) == 0
    finish(cluster, client)


async def test_pools_that_need_more_peers_do_not_hold_up_the_others(
    seed: int, mock_clock: MockClock
) -> None:
    """One export may have one copy, an older one must have two: its pages stay, and the others leave."""
    cluster, client = two_of_three(seed, mock_clock)
    pager = cluster[0].pager
    strict = pager.new_pool(PoolKind.PERSISTENT, program_pool("strict"), is_replicated=True)
    pages = memoryview(b"".join(make_page(7, index, 1) for index in range(100)))
    assert cluster[0].client.put(strict, OBJECT, 0, pages, lambda _: None) is PutOutcome.STORED
    client.fill(PAGES)
    cluster.run(2)
    store = cluster[0].engine.store
    assert all(store.rows.location(row) for row in rows_of(store, strict).values())
    assert len(held(cluster[0], cluster[1])) > 300


async def test_a_replicated_flush_never_means_fewer_copies(
    seed: int, mock_clock: MockClock
) -> None:
    """It fails while one of the two peers is down, and none of its pages left for fewer."""
    cluster, _ = two_of_three(seed, mock_clock, put_wait_seconds_max=1.0)
    pager, done = cluster[0].pager, list[bool]()
    strict = pager.new_pool(PoolKind.PERSISTENT, program_pool("strict"), is_replicated=True)
    pages = memoryview(b"".join(make_page(7, index, 1) for index in range(64)))
    assert cluster[0].client.put(strict, OBJECT, 0, pages, lambda _: None) is PutOutcome.STORED
    assert cluster[0].client.replicate(strict, OBJECT, 0, 64, done.append) is None
    pager.settle()
    cluster.run(3)
    assert done == [False]
    come_back(cluster)
    assert cluster[0].client.replicate(strict, OBJECT, 0, 64, done.append) is None
    pager.settle()
    cluster.run(3)
    assert done == [False, True]
    assert len(held(cluster[0], cluster[1]) & held(cluster[0], cluster[2])) >= 64


async def test_a_peer_that_hangs_costs_no_write(seed: int, mock_clock: MockClock) -> None:
    """SIGSTOP, and nobody has noticed: what was on its way to both comes back, and leaves for one."""
    cluster = Cluster(seed, mock_clock, nodes=3, knobs=BUDGETS, copies=2)
    cluster.link_all()
    client = Client(cluster, 0)
    client.fill(PAGES // 2)
    cluster.pause(2)
    for index in range(0, PAGES, 16):
        assert client.wait_put(client.put(index, 16)) is PutOutcome.STORED
    cluster.resume(2)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    finish(cluster, client)


async def test_a_peer_that_is_full_is_as_good_as_none(seed: int, mock_clock: MockClock) -> None:
    """All three are up, and one has no room: pages leave for the other, and stay at risk without moving about."""
    budgets: dict[int, dict[str, float]] = {1: {"budget": 16 * MIB}, 2: {"budget": 2 * MIB}}
    cluster = Cluster(seed, mock_clock, nodes=3, knobs=budgets, copies=2)
    cluster.link_all()
    client = Client(cluster, 0)
    client.fill(2 * PAGES)
    cluster.run(30)
    assert at_risk(cluster) > 100
    before = cluster[0].engine.statistics().remotify.stored_pages_total
    cluster.run(30)
    assert cluster[0].engine.statistics().remotify.stored_pages_total - before < 100
    client.flush(0, PAGES)
    cluster.run(30)
    finish(cluster, client)
