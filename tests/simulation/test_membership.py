"""Membership alone, on a virtual clock: who is believed what, and when, over some seeds."""

import pytest

from benchmarks.membership import Membership
from heartbeat.knobs import PLAIN_SWIM
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState

UP, SUSPECT, DOWN = NodeState.UP, NodeState.SUSPECT, NodeState.DOWN
SETTLED = 20.0


def settled(nodes: int, seed: int) -> Membership:
    cluster = Membership(nodes, seed)
    cluster.run_until(SETTLED)
    assert all_up(cluster)
    return cluster


def all_up(cluster: Membership) -> bool:
    return all(cluster.believed(node, UP) == len(cluster.nodes) - 1 for node in cluster.nodes)


@pytest.mark.parametrize("nodes", [2, 3, 8, 40])
def test_nodes_find_each_other_and_stay_up(nodes: int) -> None:
    cluster = settled(nodes, 1)
    cluster.run_until(120)
    assert {verdict.state for _, _, verdict in cluster.verdicts} == {UP}
    cluster.check_invariants()


@pytest.mark.parametrize("nodes", [2, 3, 8, 40])
def test_a_dead_node_is_down_everywhere(nodes: int, seed: int) -> None:
    cluster = settled(nodes, seed)
    cluster.nodes[NodeId(1)].is_dead = True
    cluster.run_until(SETTLED + 40)
    assert cluster.believed(1, DOWN) == nodes - 1
    assert all(verdict.node == 1 for at, _, verdict in cluster.verdicts if at > SETTLED)
    cluster.check_invariants()


def test_a_paused_node_is_down_and_comes_back_in_the_same_incarnation(seed: int) -> None:
    cluster = settled(8, seed)
    cluster.pause(1)
    cluster.run_until(SETTLED + 40)
    assert cluster.believed(1, DOWN) == 7
    cluster.resume(1)
    cluster.run_until(SETTLED + 80)
    assert all_up(cluster)
    assert {v.incarnation for _, _, v in cluster.verdicts} == {Incarnation(1)}
    assert cluster.nodes[NodeId(1)].swim.statistics().refutations_total
    cluster.check_invariants()


def test_a_new_incarnation_is_up_everywhere(seed: int) -> None:
    cluster = settled(8, seed)
    cluster.start(NodeId(1), Incarnation(2))
    cluster.run_until(SETTLED + 10)
    assert all_up(cluster)
    lives = [
        node.swim.roster.members[NodeId(1)].incarnation
        for n, node in cluster.nodes.items()
        if n != 1
    ]
    assert lives == [2] * 7


def test_a_healed_partition_brings_everybody_back(seed: int) -> None:
    cluster = settled(9, seed)
    cluster.is_cut = lambda source, target: (source < 4) != (target < 4)
    cluster.run_until(SETTLED + 90)
    for node in range(9):
        assert cluster.believed(node, DOWN) == (5 if node < 4 else 4)
    cluster.is_cut = lambda *_: False
    cluster.run_until(SETTLED + 150)
    assert all_up(cluster)
    cluster.check_invariants()


def test_one_cut_path_is_not_taken_for_a_dead_node(seed: int) -> None:
    cluster = settled(5, seed)
    cluster.is_cut = lambda source, target: {source, target} == {0, 1}
    cluster.run_until(SETTLED + 120)
    assert not [v for at, _, v in cluster.verdicts if at > SETTLED]


def test_lost_datagrams_put_nobody_down_for_good(seed: int) -> None:
    cluster = settled(8, seed)
    cluster.loss_fraction = 0.1
    cluster.run_until(SETTLED + 300)
    cluster.loss_fraction = 0
    cluster.run_until(SETTLED + 340)
    assert all_up(cluster)


def healthy_downs(seed: int, *, is_plain: bool) -> int:
    """Count how often one slow node makes somebody believe a healthy one down; all are up at the end."""
    cluster = Membership(16, seed, knobs=PLAIN_SWIM if is_plain else None)
    cluster.run_until(SETTLED)
    cluster.nodes[NodeId(0)].is_slow = True
    cluster.run_until(SETTLED + 120)
    cluster.nodes[NodeId(0)].is_slow = False
    cluster.run_until(SETTLED + 220)
    assert all_up(cluster)
    return sum(len(cluster.downs_of(node, SETTLED)) for node in range(1, 16))


def test_a_slow_node_puts_fewer_healthy_ones_down_with_lifeguard() -> None:
    with_lifeguard = sum(healthy_downs(seed, is_plain=False) for seed in range(2))
    without = sum(healthy_downs(seed, is_plain=True) for seed in range(2))
    assert without > 0
    assert 5 * with_lifeguard < without


def test_traffic_of_a_node_does_not_grow_with_the_cluster() -> None:
    def steady_datagrams(nodes: int) -> float:
        cluster = settled(nodes, 1)
        before = sum(node.sent_datagrams for node in cluster.nodes.values())
        cluster.run_until(SETTLED + 60)
        after = sum(node.sent_datagrams for node in cluster.nodes.values())
        return (after - before) / nodes / 60

    assert steady_datagrams(40) <= steady_datagrams(8) * 1.1


def test_one_seed_is_one_run() -> None:
    def trace() -> list[object]:
        cluster = Membership(8, 3)
        cluster.loss_fraction = 0.2
        cluster.run_until(60)
        return list(cluster.verdicts)

    assert trace() == trace()
