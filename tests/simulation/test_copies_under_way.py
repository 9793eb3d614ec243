"""Pages on their way to two peers while one of them dies, or while more copies are wanted: none is forgotten."""

from typing import Any

from trio.testing import MockClock

from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.admin.node_commands import cordon_node, drain_node
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.four_nodes import at_risk, four_nodes
from tests.simulation.world import World


def thin(cluster: Cluster, client: Client, *, copies: int = 2) -> list[int]:
    """Return the pages that are neither at home nor at so many peers that live."""
    found = World(cluster).copies()
    return [
        index
        for (node, index, version), at in found.items()
        if node == 0 and version in client.values(index) and 0 not in at and len(at) < copies
    ]


def put_to_both(cluster: Cluster, client: Client, dies: int, slow: int, start: int) -> None:
    """Write until a shipment is under way to these two, of which only the second has not answered."""
    remotifier = cluster[0].engine.machines.remotifier
    for index in range(start, start + 4000, 16):
        client.put(index, 16)
        cluster.run(0.004)
        for put in remotifier.persistent.puts.waited:
            stored_by = [{each.node for each in by} for by in put.shipment.stored_by]
            if put.holder.node == slow and all(NodeId(dies) in by for by in stored_by):
                return
    raise AssertionError("none was sent to these two")


async def test_a_copy_at_a_holder_that_went_down_meanwhile_does_not_count(
    seed: int, mock_clock: MockClock
) -> None:
    """Of two peers one stores a block and dies before the other answers: the block has one copy, and must not be freed."""
    cluster, client = four_nodes(seed, mock_clock)
    cluster.hold(2, 0)
    put_to_both(cluster, client, 1, 2, 2000)
    cluster.crash(1)
    cluster.judge(0, 1, NodeState.DOWN)
    cluster.run(0.1)  # its sweep is over
    cluster.let_go(2, 0)
    cluster.run(2)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    cluster.run(2)
    assert not thin(cluster, client), "one copy, and nobody says so"


KNOBS: dict[str, Any] = {
    "copies": 0,
    "repatriate_pages_per_second": 0,
    "rebuild_pages_per_second": 4000,
}


def one_of_three_drained(seed: int, clock: MockClock) -> tuple[Cluster, Client]:
    """Return a cluster in which pages have one copy, until node 2 is taken back."""
    big: dict[int, dict[str, float]] = {n: {"budget": 8 * MIB} for n in (1, 2)}
    cluster = Cluster(seed, clock, nodes=3, knobs=big, **KNOBS)
    cluster.link_all()
    drain_node(cluster[0].peers.members, {"name": "node2"})
    client = Client(cluster, 0)
    client.fill(1600)
    cluster.run(2)
    return cluster, client


def take_back(cluster: Cluster) -> None:
    cordon_node(cluster[0].peers.members, {"name": "node2"}, is_cordoned=False)


async def test_what_was_on_its_way_when_more_copies_were_wanted_gets_them(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = one_of_three_drained(seed, mock_clock)
    cluster.hold(1, 0)
    client.put(1600, 400)
    cluster.run(0.01)
    assert cluster[0].engine.statistics().remotify.pages_in_flight
    take_back(cluster)
    cluster.run(0.3)  # the sweeps are over
    cluster.let_go(1, 0)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    cluster.run(3)
    assert not thin(cluster, client), "one copy, and nobody says so"
    finish(cluster, client)


async def test_a_holder_that_is_heard_does_not_call_off_the_search_for_thin_pages(
    seed: int, mock_clock: MockClock
) -> None:
    """More copies are wanted; before all rows were looked at, a suspicion of their holder ends well."""
    cluster, client = one_of_three_drained(seed, mock_clock)
    cluster.judge(0, 1, NodeState.SUSPECT)
    take_back(cluster)
    cluster.judge(0, 1, NodeState.UP)
    cluster.run(1)
    assert cluster.run_until(lambda: not at_risk(cluster), 60)
    cluster.run(3)
    assert not thin(cluster, client), "one copy, and nobody says so"
    finish(cluster, client)
