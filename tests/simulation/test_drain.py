"""A node is emptied under load, and can be taken away: nobody loses a page."""

from typing import Any

import pytest
from trio.testing import MockClock

from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.admin.node_commands import cordon_node, drain_node, remove_node
from ramsterd.admin.socket import CommandRefused
from ramsterd.core.page import PoolKind
from ramsterd.membership.inquiries import DrainSaid
from tests.simulation.checkers import check_books, held
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.two_owners import KNOBS, four_nodes


def ask(cluster: Cluster, at: int, node: int) -> DrainSaid:
    """Begin a drain at a node, or go on with it; return what the drained node said last."""
    members = cluster[at].peers.members
    drain_node(members, {"name": f"node{node}"})
    said = members.inquiries.drains_said()[NodeId(node)]
    members.inquiries.ask_drained(NodeId(node))
    return said


def drain(cluster: Cluster, at: int, node: int) -> DrainSaid:
    """Ask until nothing of others is left there, and nothing of its own elsewhere."""
    said = ask(cluster, at, node)
    for _ in range(200):
        cluster.run(0.1)
        said = ask(cluster, at, node)
        if said.pages_foreign == said.pages_own_elsewhere == 0:
            return said
    raise AssertionError(said)


def remove(cluster: Cluster, at: int, node: int) -> Any:
    result: Any = {"state": "asking"}
    for _ in range(100):
        result = remove_node(cluster[at].peers.members, {"name": f"node{node}"})
        if result["state"] != "asking":
            return result
        cluster.run(0.1)
    raise AssertionError(result)


async def test_a_drained_node_can_be_removed(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    assert cluster[2].engine.pages_here(NodeId(2)) > 500
    with pytest.raises(CommandRefused, match="node2 has the last copy of"):
        remove(cluster, 0, 2)
    drain(cluster, 0, 2)
    assert cluster[2].engine.pages_here(NodeId(2)) == 0
    for node in (0, 1):
        assert cluster[node].engine.nodes.state(NodeId(2)) is NodeState.DRAINING
        assert cluster[node].engine.statistics().store.lost_pages_total == 0
        assert cluster[node].engine.pages_there(NodeId(2)) == 0
    assert remove(cluster, 0, 2)["lost"] == []
    cluster.run(1)
    for client in clients:
        client.read_all()
    finish(cluster, *clients)


async def test_puts_and_gets_go_on_meanwhile(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    ask(cluster, 1, 2)
    rng = cluster.rng
    for _ in range(60):
        for client in clients:
            client.put(rng.randrange(1500), rng.choice([1, 8, 32]))
            client.get(rng.randrange(1500), rng.choice([1, 8]))
            client.flush_unless_put(rng.randrange(1500), 4)
        cluster.run(0.05)
    assert drain(cluster, 0, 2).pages_foreign == 0
    finish(cluster, *clients)


async def test_its_own_pages_come_home(seed: int, mock_clock: MockClock) -> None:
    """They fit as soon as its foreign pages are gone."""
    cluster, clients = four_nodes(seed, mock_clock)
    cluster[0].engine.set_budget(4 * MIB, now=cluster.now)
    assert cluster[0].engine.pages_there(NodeId(0)) > 100
    result = drain(cluster, 1, 0)
    assert result.pages_own_elsewhere == 0
    assert cluster[0].engine.pages_here(NodeId(0)) == 0
    assert remove(cluster, 1, 0)["lost"] == []
    clients[0].read_all()
    assert cluster[0].engine.statistics().store.lost_pages_total == 0


async def test_own_pages_that_do_not_fit_stay_at_peers(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    for _ in range(100):
        ask(cluster, 1, 0)
        cluster.run(0.1)
    said = ask(cluster, 1, 0)
    assert said.pages_foreign == 0
    assert said.pages_own_elsewhere is not None
    assert said.pages_own_elsewhere > 100
    fetched = cluster[0].engine.statistics().fetch.fetched_pages_total
    cluster.run(20)
    assert cluster[0].engine.statistics().fetch.fetched_pages_total == fetched, (
        "it has come to rest"
    )
    with pytest.raises(CommandRefused, match="pages of node0 itself are only at its peers"):
        remove(cluster, 1, 0)
    finish(cluster, *clients)


async def test_nowhere_to_go_is_said_and_nothing_is_lost(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    for node in (0, 1, 3):
        cordon_node(cluster[2].peers.members, {"name": f"node{node}"}, is_cordoned=True)
    cluster.run(0.5)
    for _ in range(60):
        ask(cluster, 1, 2)
        cluster.run(0.1)
    assert ask(cluster, 1, 2).pages_foreign
    for client in clients:
        client.read_all()
    cordon_node(cluster[2].peers.members, {"name": "node3"}, is_cordoned=False)
    drain(cluster, 1, 2)
    finish(cluster, *clients)


async def test_uncordon_calls_it_off(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    drain(cluster, 0, 2)
    again: Any = cordon_node(cluster[1].peers.members, {"name": "node2"}, is_cordoned=True)
    assert not again["is_changed"], "it drains, which is more"
    cordon_node(cluster[1].peers.members, {"name": "node2"}, is_cordoned=False)
    cluster.run(1)
    assert cluster[0].engine.nodes.state(NodeId(2)) is NodeState.UP
    for node in range(4):
        assert not cluster[node].peers.members.cluster.node[2].draining
    for client in clients:
        client.fill(2000)
    cluster.run(3)
    assert cluster[2].engine.pages_here(NodeId(2)) > 0, "it takes pages again"
    finish(cluster, *clients)


async def test_what_was_said_of_an_earlier_drain_counts_no_more(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    drain(cluster, 3, 2)
    cordon_node(cluster[1].peers.members, {"name": "node2"}, is_cordoned=False)
    for client in clients:
        client.fill(2000)
    cluster.run(11)
    assert cluster[2].engine.pages_here(NodeId(2)) > 0
    ask(cluster, 1, 2)
    cluster.run(0.01)
    # Somebody waits where the first one waited.
    assert ask(cluster, 3, 2).pages_foreign != 0
    finish(cluster, *clients)


async def test_ephemeral_pages_do_not_hold_it_up(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock, ephemeral=True)
    cache = Client(cluster, 0, kind=PoolKind.EPHEMERAL)
    cache.fill(1500)
    cluster.run(2)
    drain(cluster, 0, 2)
    cluster.run(3)
    assert cluster[0].engine.pages_there(NodeId(2)) == 0
    finish(cluster, *clients, cache)


async def test_a_node_that_is_away_drains_when_it_is_back(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    for node in (0, 1, 3):
        cluster.cut(node, 2)
    assert not ask(cluster, 0, 2).is_reached
    cluster.run(1)
    cluster.link_all()
    drain(cluster, 0, 2)
    assert cluster[2].peers.members.cluster.node[2].draining
    finish(cluster, *clients)


async def test_an_owner_that_dies_meanwhile_holds_nobody_up(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    ask(cluster, 1, 2)
    cluster.run(0.1)
    cluster.restart(0)
    cluster.link_all()
    drain(cluster, 1, 2)
    assert held(cluster[0], cluster[2]) == set()
    clients[1].read_all()
    cluster.run(8)
    check_books(cluster)


async def test_the_last_copy_is_what_counts(seed: int, mock_clock: MockClock) -> None:
    """With two copies a holder may go as soon as all its pages are elsewhere too."""
    cluster, clients = four_nodes(seed, mock_clock, nodes=6, copies=2)
    assert cluster[2].engine.pages_here(NodeId(2)) > 100
    assert remove(cluster, 0, 2)["lost"] == [], "each has another holder"
    cluster.run(1)
    assert cluster.run_until(
        lambda: not any(cluster[n].engine.statistics().rebuild.pages_at_risk for n in (0, 1)), 30
    )
    assert any(cluster[n].engine.statistics().rebuild.rebuilt_pages_total for n in (0, 1))
    for client in clients:
        client.read_all()
    finish(cluster, *clients)


async def test_without_a_peer_for_each_copy_a_drain_takes_no_room_from_writes(
    seed: int, mock_clock: MockClock
) -> None:
    """Two copies are configured, and of three nodes one drains: what it has stays, and the owner goes on."""
    big: dict[int, dict[str, float]] = {1: {"budget": 8 * MIB}, 2: {"budget": 8 * MIB}}
    cluster = Cluster(seed, mock_clock, nodes=3, knobs=big, **{**KNOBS, "copies": 2})
    cluster.link_all()
    client = Client(cluster, 0)
    client.fill(3000)
    cluster.run(3)
    before = cluster[2].engine.pages_here(NodeId(2))
    assert before > 500
    for _ in range(30):
        ask(cluster, 0, 2)
        cluster.run(0.1)
    store = cluster[0].engine.store
    assert not store.room.is_above(store.room.limits.low_watermark), (
        "nothing came that could not leave again"
    )
    assert cluster[2].engine.pages_here(NodeId(2)) == before
    assert cluster[0].engine.statistics().owner_recall.recalled_pages_total == 0
    cordon_node(cluster[0].peers.members, {"name": "node2"}, is_cordoned=False)
    finish(cluster, client)
