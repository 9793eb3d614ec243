"""An export whose requests outwait unreachable nodes: they wait for who may come back, and for nobody else."""

from typing import Any

from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.core.page import PAGE_BYTES
from ramsterd.frontends.pager import GetOutcome, PutOutcome
from ramsterd.remote.fetch.unreachable_wait import UnreachableWait
from tests.simulation.checkers import rows_of
from tests.simulation.checking_clients import Client, RunningGet, finish
from tests.simulation.cluster import MIB, Cluster, daemon_config
from tests.simulation.pages import OBJECT

PAGES = 1600
FETCH_SECONDS, WAIT_SECONDS, PUT_SECONDS = 10.0, 120.0, 5.0
KNOBS: dict[str, Any] = {
    "repatriate_pages_per_second": 0,
    "fetch_seconds_max": FETCH_SECONDS,
    "unreachable_seconds_max": WAIT_SECONDS,
    "put_wait_seconds_max": PUT_SECONDS,
}


def outwaiting(
    seed: int, clock: MockClock, *, nodes: int = 2, **knobs: Any
) -> tuple[Cluster, Client]:
    """Return a cluster whose node 0 has an export that waits, full of pages that its peers keep."""
    big = {number: {"budget": 16 * MIB} for number in range(1, nodes)}
    options: dict[str, Any] = {"knobs": big, "copies": 1} | KNOBS | knobs
    cluster = Cluster(seed, clock, nodes=nodes, **options)
    cluster.link_all()
    cluster[0].pager.set_outwaits(cluster[0].pool, outwaits=True)
    client = Client(cluster, 0)
    client.fill(PAGES)
    cluster.run(2)
    return cluster, client


def go_down(cluster: Cluster, *nodes: int) -> None:
    """Let nodes hang: their links end, and they are judged down."""
    for node in nodes:
        cluster.pause(node)
        cluster.cut(0, node)
        cluster.judge(0, node, NodeState.DOWN)


def come_back(cluster: Cluster, *nodes: int) -> None:
    for node in nodes:
        cluster.resume(node)
    cluster.run(0.1)  # they find that their links are gone
    for node in nodes:
        cluster.link(0, node)


def waits(cluster: Cluster) -> tuple[UnreachableWait, ...]:
    with cluster.inside(0):
        return cluster[0].pager.statistics().unreachable_waits


def read_some(client: Client, holder: int, count: int = 20) -> list[RunningGet]:
    return [client.get(index) for index in client.remote(holder)[:count]]


async def test_reads_wait_for_a_holder_that_comes_back(seed: int, mock_clock: MockClock) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    early = read_some(client, 1)  # asked for just before, and answered by nobody
    cluster.hold(1, 0)
    go_down(cluster, 1)
    late = read_some(client, 1)
    cluster.run(60)
    assert all(get.result is None for get in [*early, *late])
    [wait] = waits(cluster)
    assert (wait.pool, wait.nodes, wait.reads) == ("export", ("node1",), 40)
    assert 59 < wait.seconds < 62
    assert str(wait) == f"export export waits for node node1: 40 reads, for {wait.seconds:.0f} s"
    come_back(cluster, 1)
    cluster.run(1)
    assert all(isinstance(get.result, list) for get in [*early, *late])
    fetch = cluster[0].engine.statistics().fetch
    assert (fetch.outwaited_gets_total, fetch.unreachable_pages_total) == (40, 0)
    assert not waits(cluster)
    finish(cluster, client)


async def test_reads_end_at_their_bound(seed: int, mock_clock: MockClock) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    client.expects_unreachable = True
    gets = read_some(client, 1)
    cluster.run(WAIT_SECONDS - 1)
    assert all(get.result is None for get in gets)
    cluster.run(2)
    assert {get.result for get in gets} == {GetOutcome.UNREACHABLE}
    client.expects_unreachable = False
    come_back(cluster, 1)
    finish(cluster, client)


async def test_a_shorter_bound_holds_for_reads_that_wait_already(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    client.expects_unreachable = True
    gets = read_some(client, 1)
    cluster.run(FETCH_SECONDS + 5)
    with cluster.inside(0):
        changed = daemon_config(**KNOBS | {"unreachable_seconds_max": 20.0})
        cluster[0].engine.set_limits(changed, now=cluster.now)
        cluster[0].peers.settle()
    assert all(get.result is None for get in gets)
    cluster.run(6)
    assert {get.result for get in gets} == {GetOutcome.UNREACHABLE}


async def test_pools_that_do_not_outwait_fail_as_ever(seed: int, mock_clock: MockClock) -> None:
    """Both kinds want the same pages: some give up, the others wait on."""
    cluster, client = outwaiting(seed, mock_clock)
    indexes = client.remote(1)[:20]
    cluster[0].pager.set_outwaits(cluster[0].pool, outwaits=False)
    client.expects_unreachable = True
    cluster.hold(1, 0)
    impatient = [client.get(index) for index in indexes]
    cluster[0].pager.set_outwaits(cluster[0].pool, outwaits=True)
    patient = [client.get(index) for index in indexes]
    go_down(cluster, 1)
    cluster.run(0.1)
    assert {get.result for get in impatient} == {GetOutcome.UNREACHABLE}
    assert all(get.result is None for get in patient)
    client.expects_unreachable = False
    come_back(cluster, 1)
    cluster.run(1)
    assert all(isinstance(get.result, list) for get in patient)
    finish(cluster, client)


async def test_a_new_incarnation_ends_the_wait_at_once(seed: int, mock_clock: MockClock) -> None:
    """It has nothing of what the one before it kept: that is lost, and nobody waits for it."""
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    gets = read_some(client, 1)
    cluster.run(30)
    client.on_holder_lost(1)
    cluster.restart(1)
    cluster.link_all()
    assert {get.result for get in gets} == {GetOutcome.LOST}


async def test_a_holder_that_left_in_order_is_not_waited_for(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    client.expects_unreachable = True
    with cluster.inside(1):
        cluster[1].engine.farewell()
        cluster[1].peers.settle()
    cluster.run(1)
    cluster.cut(0, 1)
    gets = read_some(client, 1)
    cluster.run(1)
    assert {get.result for get in gets} == {GetOutcome.UNREACHABLE}


async def test_a_page_whose_second_holder_is_back_first_comes_from_there(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = outwaiting(seed, mock_clock, nodes=3, copies=2)
    store = cluster[0].engine.store
    away = [
        index
        for (_, index), row in rows_of(store, client.pool).items()
        if not store.rows.location(row)
    ]
    go_down(cluster, 1, 2)
    gets = [client.get(index) for index in away[:20]]
    cluster.run(30)
    assert [wait.reads for wait in waits(cluster)] == [20]
    first = cluster.rng.choice([1, 2])
    come_back(cluster, first)
    cluster.run(1)
    assert all(isinstance(get.result, list) for get in gets)
    come_back(cluster, 3 - first)
    finish(cluster, client)


async def test_a_read_that_waits_sees_what_is_written_meanwhile(
    seed: int, mock_clock: MockClock
) -> None:
    """As any read that runs beside a write: it need not wait any longer."""
    cluster, client = outwaiting(seed, mock_clock)
    client.flush(0, PAGES // 4)  # room for what is written below
    cluster.run(1)
    go_down(cluster, 1)
    gets = read_some(client, 1, 4)
    cluster.run(20)
    for get in gets:
        client.put(get.index)
    cluster.run(1)
    assert all(isinstance(get.result, list) for get in gets)
    come_back(cluster, 1)
    finish(cluster, client)


async def test_a_patch_waits_for_its_page(seed: int, mock_clock: MockClock) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    index = client.remote(1)[0]
    client.flush(index + 64, 300)
    cluster.run(1)
    go_down(cluster, 1)
    outcomes: list[object] = []
    node = cluster[0]
    with cluster.inside(0):
        told = node.client.patch(node.pool, OBJECT, index, 7, b"x", outcomes.append)
        assert told is None
        node.pager.settle()
    cluster.run(60)
    assert not outcomes
    come_back(cluster, 1)
    cluster.run(1)
    assert outcomes == [PutOutcome.STORED]


async def test_writes_wait_for_a_peer_with_room_that_comes_back(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    put = client.put_until_one_waits()
    cluster.run(60)
    assert put.is_waiting
    [wait] = waits(cluster)
    assert (wait.nodes, wait.reads, wait.writes) == (("node1",), 0, 1)
    assert 59 < wait.seconds < 61
    come_back(cluster, 1)
    cluster.run(3)
    assert put.is_stored
    pager = cluster[0].pager.statistics()
    assert (pager.outwaited_puts_total, pager.refused_puts_total) == (1, 0)
    finish(cluster, client)


async def test_all_writes_that_waited_have_time_to_be_stored_when_the_peer_is_back(
    seed: int, mock_clock: MockClock
) -> None:
    """They have waited for too long one and all, and each finds room only behind those before it."""
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    first = client.put_until_one_waits()
    puts = [first, *(client.put(first.index + 8 * each, 8) for each in range(1, 150))]
    cluster.run(30 + cluster.rng.random() * PUT_SECONDS)
    assert not any(put.is_refused for put in puts)
    assert sum(put.is_waiting for put in puts) > 40
    come_back(cluster, 1)
    cluster.run(PUT_SECONDS)
    assert all(put.is_stored for put in puts)
    finish(cluster, client)


async def test_writes_end_at_their_bound(seed: int, mock_clock: MockClock) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    put = client.put_until_one_waits()
    cluster.run(WAIT_SECONDS - 1)
    assert put.is_waiting
    cluster.run(2)
    assert put.is_refused
    come_back(cluster, 1)
    finish(cluster, client)


async def test_writes_to_a_full_cluster_are_refused_as_ever(
    seed: int, mock_clock: MockClock
) -> None:
    """All peers are there: nobody will make room by coming back."""
    cluster, client = outwaiting(seed, mock_clock, knobs={1: {"budget": 4 * MIB}})
    index, put = 0, client.put(0, 8)
    while not put.is_refused:
        if put.is_waiting:
            cluster.run(PUT_SECONDS + 1)
        else:
            index += 8
            put = client.put(index, 8)
    assert cluster[0].pager.statistics().outwaited_puts_total == 0
    finish(cluster, client)


async def test_a_peer_that_was_full_when_it_was_heard_last_is_not_waited_for(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    with cluster.inside(1):
        cluster[1].engine.machines.foreign.set_quotas(bytes_fraction_max=0.01, owner_pages_max=1)
    cluster.run(2)
    go_down(cluster, 1)
    index = 0
    while (put := client.put(index, 8)).is_stored:
        index += 8
    assert put.is_refused, "at once: no peer is there to wait for"
    come_back(cluster, 1)
    finish(cluster, client)


async def test_writes_are_refused_soon_after_the_peers_are_back_and_full(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    put = client.put_until_one_waits()
    cluster.run(30)
    assert put.is_waiting
    with cluster.inside(1):
        cluster[1].engine.machines.foreign.set_quotas(bytes_fraction_max=0.01, owner_pages_max=1)
    come_back(cluster, 1)
    cluster.run(2 * PUT_SECONDS)
    assert put.is_refused
    finish(cluster, client)


async def test_what_waits_is_not_looked_at_in_each_pass(seed: int, mock_clock: MockClock) -> None:
    """Hundreds of pages wait, and the passes of all others cost what they cost before."""
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    gets = read_some(client, 1, 400)
    cluster.run(0.2)
    fetches = cluster[0].engine.machines.fetches
    for _ in range(20):
        with cluster.inside(0):
            cluster[0].pager.settle()
        assert not fetches.queued_holders()
    come_back(cluster, 1)
    cluster.run(2)
    assert all(isinstance(get.result, list) for get in gets)
    finish(cluster, client)


async def test_a_client_that_goes_away_leaves_nothing_that_waits(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = outwaiting(seed, mock_clock)
    go_down(cluster, 1)
    read_some(client, 1)
    node = cluster[0]
    other = node.pager.open_client()
    with cluster.inside(0):
        pages = memoryview(bytes(range(256)) * (PAGE_BYTES // 256))
        assert other.get(node.pool, OBJECT, client.remote(1)[0], 1, lambda _: None) is None
        other.put(node.pool, OBJECT, 100_000, pages, lambda _: None)
        node.client.close()
        other.close()
        node.pager.settle()
    assert not waits(cluster)
    assert node.pager.statistics().waiting_gets == 0
    assert node.engine.statistics().fetch.wanted_pages == 0
    cluster.run(1)
    node.engine.check_invariants()
