"""`durability = "replicated"`: a flush is answered when peers have what was written before it."""

from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.core.family import Family
from tests.simulation.checkers import held
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.pages import OBJECT

PAGES = 300
EXPORT_PAGES = 1 << 20


class Replications:
    """Asks for replication and keeps the answers."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.answers: list[bool] = []

    def ask(self, index: int = 0, count: int = EXPORT_PAGES) -> bool | None:
        node = self.cluster[0]
        answer = node.client.replicate(node.pool, OBJECT, index, count, self.answers.append)
        node.pager.settle()
        return answer


def cluster_of(seed: int, clock: MockClock, *, nodes: int = 3, copies: int = 2) -> Cluster:
    cluster = Cluster(
        seed, clock, nodes=nodes, knobs={0: {"budget": 8 * MIB}}, copies=copies,
        put_wait_seconds_max=2.0, repatriate_pages_per_second=0,
    )  # fmt: skip
    cluster.link_all()
    cluster.run(1)
    return cluster


async def test_a_flush_waits_for_as_many_peers_as_there_are_copies(
    seed: int, mock_clock: MockClock
) -> None:
    cluster = cluster_of(seed, mock_clock)
    client = Client(cluster, 0)
    client.fill(PAGES)
    replications = Replications(cluster)
    assert not held(cluster[0], cluster[1])
    assert replications.ask() is None
    client.put(10)  # later than the flush: no business of its
    assert cluster.run_until(lambda: bool(replications.answers), 5)
    assert replications.answers == [True]
    assert len(held(cluster[0], cluster[1])) >= PAGES // 2
    assert held(cluster[0], cluster[1]) == held(cluster[0], cluster[2])
    assert cluster[0].engine.store.versions.zpages[Family.OWN_CLEAN] >= PAGES // 2
    assert client.get(0).result is not None  # it is still here
    client.read_all()
    finish(cluster, client)


async def test_what_is_at_peers_already_is_answered_at_once(
    seed: int, mock_clock: MockClock
) -> None:
    cluster = cluster_of(seed, mock_clock, copies=1)
    client = Client(cluster, 0)
    replications = Replications(cluster)
    assert replications.ask() is True
    client.fill(64)
    assert replications.ask(0, 16) is None
    assert cluster.run_until(lambda: bool(replications.answers), 5)
    assert replications.ask(0, 16) is True
    finish(cluster, client)


async def test_without_peers_a_flush_fails_in_bounded_time(
    seed: int, mock_clock: MockClock
) -> None:
    cluster = cluster_of(seed, mock_clock, nodes=2)
    client = Client(cluster, 0)
    client.fill(PAGES)
    replications = Replications(cluster)
    assert replications.ask() is None
    cluster.run(2.5)
    assert replications.answers == [False]
    client.read_all()
    finish(cluster, client)


async def test_a_peer_that_dies_meanwhile_is_replaced(seed: int, mock_clock: MockClock) -> None:
    cluster = cluster_of(seed, mock_clock, nodes=4)
    client = Client(cluster, 0)
    client.fill(PAGES)
    replications = Replications(cluster)
    assert replications.ask() is None
    cluster.run(0.001)
    client.on_holder_lost(1)
    cluster.crash(1)
    assert cluster.run_until(lambda: bool(replications.answers), 5)
    assert replications.answers == [True]
    client.read_all()


async def test_pages_overwritten_or_flushed_meanwhile_hold_nobody_up(
    seed: int, mock_clock: MockClock
) -> None:
    cluster = cluster_of(seed, mock_clock)
    client = Client(cluster, 0)
    client.fill(PAGES)
    replications = Replications(cluster)
    assert replications.ask() is None
    client.fill(PAGES // 2)
    client.flush(PAGES // 2, PAGES // 2)
    assert cluster.run_until(lambda: bool(replications.answers), 5)
    assert replications.answers == [True]
    client.read_all()
    finish(cluster, client)


async def test_what_loses_its_copies_while_a_flush_waits_counts_again(
    seed: int, mock_clock: MockClock
) -> None:
    cluster = cluster_of(seed, mock_clock, nodes=4)
    client = Client(cluster, 0)
    client.fill(PAGES)
    replications = Replications(cluster)
    assert replications.ask() is None
    assert cluster.run_until(lambda: bool(replications.answers), 5)
    client.put(1000, 8)
    assert replications.ask() is None
    client.on_holder_lost(1)
    cluster.restart(1)
    cluster.link(0, 1)
    assert cluster.run_until(lambda: len(replications.answers) == 2, 5)
    assert replications.answers == [True, True]
    assert not cluster[0].engine.store.versions.zpages[Family.OWN_PERSISTENT]


async def test_copies_at_peers_that_are_down_do_not_count(seed: int, mock_clock: MockClock) -> None:
    cluster = cluster_of(seed, mock_clock)
    client = Client(cluster, 0)
    client.fill(PAGES)
    replications = Replications(cluster)
    assert replications.ask() is None
    assert cluster.run_until(lambda: bool(replications.answers), 5)
    for peer in (1, 2):
        cluster.crash(peer)
        cluster.judge(0, peer, NodeState.DOWN)
    assert replications.ask() is None
    assert cluster.run_until(lambda: len(replications.answers) == 2, 5)
    assert replications.answers == [True, False]


async def test_many_flushes_are_one(seed: int, mock_clock: MockClock) -> None:
    """A client may ask a thousand times: it is the same list of blocks, and no list when nothing was written."""
    cluster = cluster_of(seed, mock_clock)
    client = Client(cluster, 0)
    client.fill(PAGES)
    replications = Replications(cluster)
    for _ in range(100):
        assert replications.ask() is None
    assert cluster[0].engine.statistics().replicate.waiting_replications == 1
    assert cluster.run_until(lambda: len(replications.answers) == 100, 5)
    assert all(replications.answers)
    assert replications.ask() is True
