"""`node remove` while pages move: what was counted must still be so when the node goes."""

from typing import Any

import pytest
from trio.testing import MockClock

from nodemanager.ids import NodeId
from ramsterd.admin.node_commands import cordon_node, remove_node
from ramsterd.admin.socket import CommandRefused
from ramsterd.core.family import Family
from tests.simulation.checking_clients import finish, stage
from tests.simulation.removal import held, remove


async def test_a_put_that_was_under_way_is_not_forgotten(seed: int, mock_clock: MockClock) -> None:
    """An owner's answer counts what is on its way to the node that leaves, too."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    cordon_node(cluster[2].peers.members, {"name": "node2"}, is_cordoned=True)
    cluster.run(0.1)
    # What node 1 answers does not arrive yet.
    cluster.hold(1, 0)
    remotifier = cluster[0].engine.machines.remotifier
    for index in range(0, 1600, 8):
        if not remotifier.is_any_in_flight():
            client.put(index, 8)
    members = cluster[2].peers.members
    first: Any = remove_node(members, {"name": "node1"})
    assert first["state"] == "asking"
    cluster.run(0.2)
    assert remotifier.is_any_in_flight()
    assert held(cluster, 0, 1) == 0
    cluster.let_go(1, 0)
    assert cluster.run_until(lambda: held(cluster, 0, 1) > 0, 1), "stored meanwhile"
    with pytest.raises(CommandRefused, match="node1 has the last copy"):
        remove(cluster, 2, 1)
    finish(cluster, client)


async def test_an_owner_whose_link_flaps_while_it_is_asked_is_still_asked(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(1600)
    cluster.run(2)
    holder = 1 if held(cluster, 0, 1) else 2
    other = 3 - holder
    remove_node(cluster[other].peers.members, {"name": f"node{holder}"})
    cluster.cut(0, other)
    with pytest.raises(CommandRefused, match="node0"):
        remove(cluster, other, holder)


async def test_an_owner_without_a_link_stands_in_the_way(seed: int, mock_clock: MockClock) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(1600)
    cluster.run(2)
    holder = 1 if held(cluster, 0, 1) else 2
    other = 3 - holder
    cluster.cut(0, other)
    with pytest.raises(CommandRefused, match="node0"):
        remove(cluster, other, holder)


async def test_a_page_that_is_here_too_stays_until_the_node_is_gone(
    seed: int, mock_clock: MockClock
) -> None:
    """What did not count since it is at home as well must not be dropped there before the removal."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    cordon_node(cluster[2].peers.members, {"name": "node2"}, is_cordoned=True)
    cluster.run(0.1)
    client.fill(1600)
    cluster.run(2)
    client.read_all()
    assert cluster[0].engine.store.versions.zpages[Family.OWN_CLEAN] > 0
    members = cluster[2].peers.members
    remove_node(members, {"name": "node1"})
    inquiry = members.inquiries.removals[NodeId(1)]
    cluster.run_until(lambda: not inquiry.waits_for, 5)
    counted = inquiry.answers[NodeId(0)].last_copies
    for index in range(1600, 1700, 4):
        client.put(index, 4)
    cluster.run(0.1)
    assert len(client.remote(1)) <= counted
