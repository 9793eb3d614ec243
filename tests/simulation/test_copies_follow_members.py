"""Where no number of copies is configured, it follows the size of the cluster."""

from typing import Any

from trio.testing import MockClock

from config.model import NodeConfig
from nodemanager.changes import Add
from nodemanager.ids import NodeId
from ramsterd.admin.node_commands import drain_node, remove_node
from tests.simulation.checkers import held
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster

KNOBS: dict[str, Any] = {
    "copies": 0,
    "repatriate_pages_per_second": 0,
    "rebuild_pages_per_second": 4000,
}
PAGES = 1600


def filled(seed: int, clock: MockClock, nodes: int) -> tuple[Cluster, Client]:
    big: dict[int, dict[str, float]] = {n: {"budget": 8 * MIB} for n in range(1, nodes)}
    cluster = Cluster(seed, clock, nodes=nodes, knobs=big, **KNOBS)
    cluster.link_all()
    client = Client(cluster, 0)
    client.fill(PAGES)
    cluster.run(3)
    return cluster, client


def copies(cluster: Cluster) -> set[int]:
    """Return how many holders the pages of node 0 have that are at peers."""
    keepers = [held(cluster[0], cluster[n]) for n in cluster.nodes if n != 0]
    return {sum(serial in kept for kept in keepers) for serial in set().union(*keepers)}


def at_risk(cluster: Cluster) -> int:
    return cluster[0].engine.statistics().rebuild.pages_at_risk


async def test_a_third_node_brings_a_second_copy(seed: int, mock_clock: MockClock) -> None:
    cluster, client = filled(seed, mock_clock, 3)
    # As if node 2 were to come yet.
    drain_node(cluster[0].peers.members, {"name": "node2"})
    cluster.run(5)
    assert remove(cluster, 2)["lost"] == []
    cluster.run(2)
    assert copies(cluster) == {1}
    assert at_risk(cluster) == 0
    cluster.crash(2)
    new = NodeConfig(number=2, name="node2", address="127.0.0.1", port=7702)
    cluster[0].peers.members.change(Add(new))
    cluster.run(0.5)
    cluster.copy_file(0, 2)
    cluster.start_again(2, 2)
    cluster.link_all()
    assert at_risk(cluster) > 0
    assert cluster.run_until(lambda: not at_risk(cluster), 30)
    cluster.run(2)
    assert copies(cluster) == {2}
    finish(cluster, client)


def remove(cluster: Cluster, node: int) -> Any:
    result: Any = {"state": "asking"}
    for _ in range(100):
        result = remove_node(cluster[0].peers.members, {"name": f"node{node}"})
        if result["state"] != "asking":
            return result
        cluster.run(0.1)
    raise AssertionError(result)


async def test_with_two_nodes_left_pages_still_leave(seed: int, mock_clock: MockClock) -> None:
    cluster, client = filled(seed, mock_clock, 3)
    assert copies(cluster) == {2}
    assert remove(cluster, 2)["lost"] == []
    cluster.run(1)
    assert cluster[0].engine.may_make_room(cluster[0].pool)
    client.fill(PAGES + 800)
    cluster.run(3)
    assert at_risk(cluster) == 0
    assert 1 in copies(cluster)
    finish(cluster, client)


async def test_one_of_three_drains_without_a_byte_moved(seed: int, mock_clock: MockClock) -> None:
    cluster, client = filled(seed, mock_clock, 3)
    fetched = cluster[0].engine.statistics().fetch.fetched_pages_total
    drain_node(cluster[0].peers.members, {"name": "node2"})
    assert cluster.run_until(lambda: not cluster[2].engine.pages_here(NodeId(2)), 20)
    assert cluster[0].engine.statistics().fetch.fetched_pages_total == fetched
    assert cluster[0].engine.statistics().owner_recall.recalled_pages_total > 0
    assert copies(cluster) == {1}
    finish(cluster, client)


async def test_who_takes_one_of_three_away_is_told(seed: int, mock_clock: MockClock) -> None:
    cluster, _ = filled(seed, mock_clock, 4)
    told = "redundancy drops from 2 copies to 1"
    members = cluster[0].peers.members
    results: list[Any] = [drain_node(members, {"name": f"node{node}"}) for node in (3, 2, 2)]
    assert results[0]["warnings"] == []
    for result in results[1:]:
        assert [each.startswith(told) for each in result["warnings"]] == [True]
    cluster.run(8)
    # It kept nothing before that, so nothing changes now.
    assert remove(cluster, 2)["warnings"] == []


async def test_who_drains_one_node_after_another_is_told_each_time(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, _ = filled(seed, mock_clock, 3)
    members = cluster[0].peers.members
    results: list[Any] = [drain_node(members, {"name": f"node{node}"}) for node in (2, 1, 0)]
    told = [warning.partition(":")[0] for result in results for warning in result["warnings"]]
    assert told == [
        "redundancy drops from 2 copies to 1",
        "only node node0 will hold pages of others",
        "no node will hold pages of others",
    ]


async def test_who_removes_one_of_three_is_told(seed: int, mock_clock: MockClock) -> None:
    cluster, client = filled(seed, mock_clock, 3)
    (warning,) = remove(cluster, 2)["warnings"]
    assert "redundancy drops from 2 copies to 1" in warning
    finish(cluster, client)
