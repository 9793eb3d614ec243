"""`node remove` under load: what is on its way there, and two nodes that are removed at once."""

from typing import Any

from trio.testing import MockClock

from nodemanager.ids import NodeId
from ramsterd.admin.node_commands import remove_node
from ramsterd.admin.socket import CommandRefused
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster

KNOBS: dict[str, Any] = {"repatriate_pages_per_second": 0}
POLL_SECONDS = 0.1


def make(seed: int, clock: MockClock, *, copies: int, nodes: int) -> tuple[Cluster, Client]:
    big: dict[int, dict[str, float]] = {n: {"budget": 8 * MIB} for n in range(1, nodes)}
    cluster = Cluster(seed, clock, nodes=nodes, knobs=big, copies=copies, **KNOBS)
    cluster.link_all()
    cluster.run(1)
    return cluster, Client(cluster, 0)


def ask(cluster: Cluster, at: int, name: str) -> str:
    """Call `node remove` once; return the state that it says, or `refused`."""
    try:
        result: Any = remove_node(cluster[at].peers.members, {"name": name})
    except CommandRefused:
        return "refused"
    return str(result["state"])


def lost(cluster: Cluster) -> int:
    return cluster[0].engine.statistics().store.lost_pages_total


async def test_what_is_on_its_way_to_a_node_counts(seed: int, mock_clock: MockClock) -> None:
    """A PUT that is answered between the count and the removal makes this node the only one that has its pages."""
    cluster, client = make(seed, mock_clock, copies=1, nodes=3)
    cluster.hold(2, 0)
    start = 0
    while not any(
        put.holder.node == 2 for put in cluster[0].engine.machines.remotifier.persistent.puts.waited
    ):
        client.put(start, 16)
        cluster.run(0.001)
        start += 16
    state = ask(cluster, 1, "node2")
    assert state == "asking"
    cluster.run(POLL_SECONDS)
    cluster.let_go(2, 0)
    cluster.run(POLL_SECONDS)
    while state == "asking":
        state = ask(cluster, 1, "node2")
        cluster.run(POLL_SECONDS)
    cluster.run(2)
    assert not lost(cluster), f"{state}, and pages are lost"
    assert state == "refused"
    finish(cluster, client)


async def test_two_nodes_are_not_removed_at_once(seed: int, mock_clock: MockClock) -> None:
    """Each of the two has the other copy: who asks about one of them must not count on the other."""
    cluster, client = make(seed, mock_clock, copies=2, nodes=5)
    client.fill(1600)
    cluster.run(2)
    said = {2: "asking", 3: "asking"}
    while "asking" in said.values():
        for node in [each for each, state in said.items() if state == "asking"]:
            said[node] = ask(cluster, node - 2, f"node{node}")
        cluster.run(POLL_SECONDS)
    cluster.run(2)
    assert not lost(cluster), f"{said}, and pages are lost"
    assert NodeId(0) in cluster.nodes
    finish(cluster, client)
