"""Two copies: a holder dies, hangs, is cut off or lies, and no page is lost."""

import random

from trio.testing import MockClock

from nodemanager.states import NodeState
from tests.simulation.checkers import held, rows_of
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import Cluster
from tests.simulation.four_nodes import KNOBS, PAGES, at_risk, copies_of, four_nodes
from tests.simulation.pages import OBJECT


async def test_each_page_that_left_is_at_two_peers(seed: int, mock_clock: MockClock) -> None:
    cluster, client = four_nodes(seed, mock_clock)
    serials = set().union(*(held(cluster[0], cluster[n]) for n in (1, 2, 3)))
    assert len(serials) > 200
    assert {copies_of(cluster, serial) for serial in serials} == {2}
    client.read_all()
    finish(cluster, client)


async def test_holder_dies_nothing_lost(seed: int, mock_clock: MockClock) -> None:
    """It is started again at once: its pages are at risk, none is lost, and each has two copies again."""
    cluster, client = four_nodes(seed, mock_clock)
    assert held(cluster[0], cluster[1])
    cluster.restart(1)
    cluster.link_all()
    cluster.run(0.2)
    assert at_risk(cluster)
    client.read_all()
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    cluster.run(2)
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
    client.read_all()
    finish(cluster, client)


async def test_holder_stays_dead_and_copies_are_rebuilt_elsewhere(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = four_nodes(seed, mock_clock)
    cluster.crash(1)
    cluster.judge(0, 1, NodeState.DOWN)
    cluster.run(0.2)
    assert at_risk(cluster)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    assert cluster[0].engine.statistics().rebuild.rebuilt_pages_total > 0
    client.read_all()
    # The second one dies too: nothing depends on the first any more.
    cluster.run(2)
    cluster.crash(2)
    cluster.judge(0, 2, NodeState.DOWN)
    client.read_all()
    assert cluster[0].engine.statistics().store.lost_pages_total == 0


async def test_a_silent_holder_is_hedged(seed: int, mock_clock: MockClock) -> None:
    """Its answers stop without a word: reads go to the other copy after a delay, long before a deadline."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.hold(1, 0)
    started = cluster.now
    client.read_all()
    assert cluster.now - started < 0.75 * PAGES / 16 * 0.5
    assert cluster[0].engine.statistics().fetch.hedged_pages_total > 0
    cluster.let_go(1, 0)
    finish(cluster, client)


async def test_a_silent_holder_refuses_no_write(seed: int, mock_clock: MockClock) -> None:
    """What was on its way to it goes to others before a write that waits for the memory gives up."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.hold(1, 0)
    # Over and over, while one holder after the other hangs with pages on their way to it.
    for _ in range(4):
        client.fill(PAGES)
    assert not any(put.is_refused for put in client.puts)
    assert cluster[0].engine.statistics().remotify.unknown_pages_total > 0
    cluster.let_go(1, 0)
    finish(cluster, client)


async def test_a_cut_link_sends_readers_to_the_other_copy_at_once(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = four_nodes(seed, mock_clock)
    started = cluster.now
    cluster.cut(0, 1)
    client.read_all()
    assert cluster.now - started < 5
    assert cluster[0].engine.statistics().fetch.unreachable_pages_total == 0
    cluster.link_all()
    finish(cluster, client)


async def test_a_partition_that_heals_gives_its_copies_back(
    seed: int, mock_clock: MockClock
) -> None:
    """Down with the same incarnation is unreachable, not lost: what was not rebuilt yet counts again, the surplus is flushed."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.cut(0, 1)
    cluster.judge(0, 1, NodeState.DOWN)
    cluster.run(random.Random(seed).uniform(0.5, 1.5))
    cluster.judge(0, 1, NodeState.UP)
    cluster.link_all()
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    client.read_all()
    finish(cluster, client)


async def test_flipped_bit_is_repaired_from_the_other_copy(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = four_nodes(seed, mock_clock)
    store = cluster[1].engine.store
    damaged = [row for pool in store.pools for row in rows_of(store, pool.pool).values()]
    for row in damaged:
        store.zbud.arena[store.zbud.offset(store.rows.location(row))] ^= 1
    client.read_all()
    now = cluster[0].engine.statistics()
    assert now.fetch.corrupt_pages_total > 0
    assert now.store.lost_pages_total == 0
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    client.read_all()
    finish(cluster, client)


async def test_with_one_peer_too_few_nothing_leaves_and_nothing_is_lost(
    seed: int, mock_clock: MockClock
) -> None:
    cluster = Cluster(seed, mock_clock, nodes=2, copies_min=2, put_wait_seconds_max=0.5, **KNOBS)
    cluster.link_all()
    client = Client(cluster, 0)
    client.put_until_one_waits()
    cluster.run(2)
    assert not held(cluster[0], cluster[1])
    finish(cluster, client)


async def test_a_holder_that_hangs_is_down_before_its_link_is_lost(
    seed: int, mock_clock: MockClock
) -> None:
    """SIGSTOP: the link stays open for its idle time, yet its copies count no more and are made anew."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.pause(1)
    cluster.run(6)
    cluster.judge(0, 1, NodeState.DOWN)
    assert cluster.is_linked(0, 1)
    cluster.run(0.1)
    assert at_risk(cluster)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    assert cluster[0].engine.statistics().rebuild.rebuilt_pages_total > 0
    client.read_all()


async def test_passes_that_never_rest_do_not_hold_up_a_rebuild(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, _ = four_nodes(seed, mock_clock)
    cluster.crash(1)
    cluster.judge(0, 1, NodeState.DOWN)
    for _ in range(1500):
        cluster.run(0.01)
        cluster[0].pager.settle()
    assert not at_risk(cluster)


async def test_a_holder_that_purged_us_is_found_out(seed: int, mock_clock: MockClock) -> None:
    """A partition longer than `orphan_seconds`: the same incarnation is back, and keeps nothing of ours any more."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.cut(0, 1)
    for one, other in ((0, 1), (1, 0)):
        cluster.judge(one, other, NodeState.DOWN)
    cluster[1].engine.machines.foreign.purge(cluster[0].number)
    for one, other in ((0, 1), (1, 0)):
        cluster.judge(one, other, NodeState.UP)
    cluster.link_all()
    cluster.run(1)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    cluster.restart(2)
    cluster.link_all()
    cluster.run(30)
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
    client.read_all()


async def test_one_page_is_asked_for_at_each_holder_once(seed: int, mock_clock: MockClock) -> None:
    """Hedges breed no hedges, and a link that breaks under them asks for nothing twice."""
    cluster, client = four_nodes(seed, mock_clock)
    for holder in (1, 2, 3):
        cluster.hold(holder, 0)
    index = next(
        index
        for index in range(PAGES)
        if cluster[0].engine.store.get(cluster[0].pool, OBJECT, index, 1).elsewhere
    )
    get = client.get(index)
    cluster.run(3)
    fetch = cluster[0].engine.statistics().fetch
    assert (fetch.hedged_pages_total, fetch.requests_in_flight) == (1, 2)
    cluster.cut(0, 1)
    cluster.cut(0, 2)
    for holder in (3,):
        cluster.let_go(holder, 0)
    cluster.link_all()
    client.wait(get)
    finish(cluster, client)
