"""The failure detector itself judges, over the same network as the links: nobody tells the engines who lives."""

from typing import Any

from trio.testing import MockClock

from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from tests.simulation.checkers import check_step, held
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster

UP, SUSPECT, DOWN = NodeState.UP, NodeState.SUSPECT, NodeState.DOWN
PAGES = 1200
# A suspicion in a cluster of four lasts at most so long, when its accusers are healthy.
FOUND_SECONDS_MAX = 40.0
KNOBS: dict[str, Any] = {"copies": 2, "repatriate_pages_per_second": 0}


def four_nodes(seed: int, clock: MockClock) -> tuple[Cluster, Client]:
    """Return a cluster that has linked itself, and whose node 0 has put more than it can keep."""
    budgets: dict[int, dict[str, float]] = {n: {"budget": 8 * MIB} for n in (1, 2, 3)}
    cluster = Cluster(seed, clock, nodes=4, has_detector=True, knobs=budgets, **KNOBS)
    cluster.checks.append(lambda: check_step(cluster))
    assert cluster.run_until(lambda: all_believe(cluster, [0, 1, 2, 3], UP), 20)
    cluster.run(1)
    client = Client(cluster, 0)
    client.fill(PAGES)
    cluster.run(2)
    assert held(cluster[0], cluster[1])
    return cluster, client


def believed(cluster: Cluster, observer: int, node: int) -> NodeState:
    return cluster[observer].engine.nodes.state(NodeId(node))


def all_believe(cluster: Cluster, nodes: list[int], state: NodeState) -> bool:
    """Whether every living node believes this of each of some others."""
    return all(
        believed(cluster, observer, node) is state
        for observer in cluster.nodes
        for node in nodes
        if observer != node
    )


def at_risk(cluster: Cluster) -> int:
    return cluster[0].engine.statistics().rebuild.pages_at_risk


async def test_healthy_nodes_stay_up(seed: int, mock_clock: MockClock) -> None:
    cluster, client = four_nodes(seed, mock_clock)
    cluster.paths.loss_fraction = 0.02
    cluster.run(60)
    assert not [each for each in cluster.verdicts if each[2].state is DOWN]
    finish(cluster, client)


async def test_where_no_heartbeat_gets_through_links_are_asked_and_nobody_is_accused(
    seed: int, mock_clock: MockClock
) -> None:
    """A firewall that knows TCP only; at rest, links bring something every 1.5 s, and a probe ends after 1 s."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.run(5)
    before = len(cluster.verdicts)
    cluster.paths.loss_fraction = 1.0
    cluster.run(60)
    assert cluster.verdicts[before:] == []
    cluster.paths.loss_fraction = 0.0
    finish(cluster, client)


async def test_a_paused_holder_is_found_and_its_pages_are_copied_again(
    seed: int, mock_clock: MockClock
) -> None:
    """As SIGSTOP: its links stay open, yet it is down; it comes back in the same incarnation, and refutes it."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.pause(1)
    assert cluster.run_until(
        lambda: all(believed(cluster, n, 1) is DOWN for n in (0, 2, 3)), FOUND_SECONDS_MAX
    )
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    client.read_all()
    cluster.resume(1)
    assert cluster.run_until(lambda: all_believe(cluster, [0, 1, 2, 3], UP), 60)
    assert {verdict.incarnation for _, _, verdict in cluster.verdicts} <= {None, 1}
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
    finish(cluster, client)


async def test_a_holder_without_power_is_found_without_a_word(
    seed: int, mock_clock: MockClock
) -> None:
    """No FIN, no reset: only silence tells.  Its pages are read from the other copy and copied again."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.crash(1, is_silent=True)
    assert cluster.is_linked(0, 1)
    assert cluster.run_until(lambda: all_believe(cluster, [1], DOWN), FOUND_SECONDS_MAX)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    client.read_all()
    cluster.run(60)
    assert not cluster.is_linked(0, 1)
    cluster.start_again(1, 2)
    assert cluster.run_until(lambda: all_believe(cluster, [0, 1, 2, 3], UP), 60)
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
    finish(cluster, client)


async def test_a_new_incarnation_is_found_and_the_old_one_buried(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = four_nodes(seed, mock_clock)
    cluster.restart(1)
    assert cluster.run_until(lambda: cluster.is_linked(0, 1), 30)
    assert cluster.run_until(lambda: all_believe(cluster, [0, 1, 2, 3], UP), 60)
    cluster.run(1)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
    finish(cluster, client)


async def test_a_partition_is_found_on_both_sides_and_heals(
    seed: int, mock_clock: MockClock
) -> None:
    """A holder is cut off from everybody: it believes all others down, they believe it down; no page is lost."""
    cluster, client = four_nodes(seed, mock_clock)
    for other in (0, 2, 3):
        cluster.paths.block(1, other)
    assert cluster.run_until(
        lambda: all(believed(cluster, n, 1) is DOWN for n in (0, 2, 3)), FOUND_SECONDS_MAX
    )
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    client.read_all()
    cluster.run(40)
    cluster.paths.heal()
    assert cluster.run_until(lambda: all_believe(cluster, [0, 1, 2, 3], UP), 90)
    assert cluster.run_until(lambda: cluster.is_linked(0, 1), 60)
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
    finish(cluster, client)


async def test_one_blocked_path_puts_nobody_down(seed: int, mock_clock: MockClock) -> None:
    """Helpers reach it: SWIM's indirect probes.  The link between the two ends by its own timer."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.paths.block(0, 1)
    cluster.run(60)
    assert not [each for each in cluster.verdicts if each[2].state is DOWN]
    assert not cluster.is_wired(0, 1)
    client.read_all()
    cluster.paths.heal()
    assert cluster.run_until(lambda: cluster.is_linked(0, 1), 60)
    finish(cluster, client)
