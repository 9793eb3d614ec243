"""A member is moved while pages come and go: links follow it, and no page is lost, late or mixed up."""

from typing import Any

import pytest
from trio.testing import MockClock

from net.backoff import RECONNECT_SECONDS_MAX
from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.admin.node_commands import set_node
from tests.simulation.checkers import check_step
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import Cluster

NODES = 3
PAGES = 1200
ELSEWHERE = "127.0.1.9"
PORT = 7700
# The links have their own; the datagrams of a node that waits for its address come from the old one.
MOVING_SECONDS_MAX = 20.0


def make_cluster(seed: int, clock: MockClock, owner: int) -> tuple[Cluster, Client]:
    cluster = Cluster(seed, clock, nodes=NODES, has_detector=True)
    cluster.checks.append(lambda: check_step(cluster))
    assert cluster.run_until(lambda: all_linked(cluster))
    cluster.run(1.0)
    client = Client(cluster, owner)
    client.fill(PAGES)
    cluster.run(2.0)
    return cluster, client


def all_linked(cluster: Cluster) -> bool:
    return all(
        cluster.is_linked(one, other)
        for one in cluster.nodes
        for other in cluster.nodes
        if one != other
    )


def move(cluster: Cluster, at: int, node: int, **where: object) -> Any:
    with cluster.inside(at):
        return set_node(cluster[at].peers.members, {"name": f"node{node}", **where})


def are_settled(cluster: Cluster, moved: int, place: tuple[str, int]) -> bool:
    """Whether all are linked with the node where it is now, and listen to its datagrams there alone."""
    if not all_linked(cluster) or cluster[moved].place != place:
        return False
    for node in cluster.nodes.values():
        if node.number == moved:
            continue
        link = node.peers.mesh.links[NodeId(moved)]
        heartbeat = node.peers.heartbeat
        assert heartbeat is not None
        route = heartbeat._routes._routes[NodeId(moved)]
        if node.peers.mesh.is_outdated(link) or route.known != (place,):
            return False
    return True


def lost_since(cluster: Cluster, began_at: float, node: int) -> list[str]:
    """Return what the others found out about a node since then that is not good."""
    return [
        verdict.state.value
        for at, _, verdict in cluster.verdicts
        if at >= began_at and verdict.node == node and verdict.state is not NodeState.UP
    ]


@pytest.mark.parametrize("moved", range(NODES))
@pytest.mark.parametrize("seconds_max", [0.0, MOVING_SECONDS_MAX])
async def test_a_member_that_moves_is_linked_there_and_all_pages_stay(
    seed: int, autojump_clock: MockClock, moved: int, seconds_max: float
) -> None:
    cluster, client = make_cluster(seed, autojump_clock, 0)
    cluster.moving_seconds_max = seconds_max
    place, began_at = (ELSEWHERE, PORT), cluster.now
    move(cluster, (moved + 1) % NODES, moved, address=ELSEWHERE, port=PORT)
    client.fill(PAGES)
    assert cluster.run_until(
        lambda: are_settled(cluster, moved, place), seconds_max + 2 * RECONNECT_SECONDS_MAX
    )
    assert not lost_since(cluster, began_at, moved), "it was heard all the time"
    finish(cluster, client)
    assert cluster[0].engine.store.statistics().lost_pages_total == 0
    for node in cluster.nodes.values():
        (row,) = [each for each in node.peers.members.cluster.node if each.number == moved]
        assert (row.address, row.port) == place


async def test_reads_go_on_while_the_holder_moves(seed: int, autojump_clock: MockClock) -> None:
    """What is under way on the old link ends with it, and is asked for again on the new one."""
    cluster, client = make_cluster(seed, autojump_clock, 2)
    remote = client.remote(0)[:64]
    assert remote
    move(cluster, 0, 0, address=ELSEWHERE)
    gets = [client.get(index) for index in remote]
    assert cluster.run_until(lambda: all(get.result is not None for get in gets))
    finish(cluster, client)


async def test_a_move_that_never_happens_interrupts_nothing(
    seed: int, autojump_clock: MockClock
) -> None:
    """The operator mistyped an address, finds out, and takes it back."""
    cluster, client = make_cluster(seed, autojump_clock, 0)
    cluster.moving_seconds_max = 1e9
    began_at, links = (
        cluster.now,
        {node: cluster[node].peers.mesh.links[NodeId(0)] for node in (1, 2)},
    )
    move(cluster, 1, 0, address=ELSEWHERE)
    client.fill(PAGES)
    cluster.run(60.0)
    assert {node: cluster[node].peers.mesh.links[NodeId(0)] for node in (1, 2)} == links
    move(cluster, 2, 0, address="127.0.0.1")
    assert cluster.run_until(lambda: are_settled(cluster, 0, ("127.0.0.1", 7700)))
    assert not lost_since(cluster, began_at, 0)
    finish(cluster, client)


async def test_a_node_that_was_down_while_it_was_moved_comes_back_with_a_copied_file(
    seed: int, autojump_clock: MockClock
) -> None:
    cluster, client = make_cluster(seed, autojump_clock, 2)
    kept = cluster.end_kept(0)
    client.expects_unreachable = True
    cluster.run(5.0)
    result = move(cluster, 1, 0, address=ELSEWHERE)
    assert "copy cluster.toml of a member to it" in result["warnings"][0]
    cluster.run(1.0)
    cluster.copy_file(1, 0)
    cluster.start_kept(0, kept)
    assert cluster.run_until(lambda: are_settled(cluster, 0, (ELSEWHERE, 7700)))
    client.expects_unreachable = False
    finish(cluster, client)
    assert cluster[2].engine.store.statistics().lost_pages_total == 0


async def test_a_member_that_was_away_learns_of_a_move_from_any_other(
    seed: int, autojump_clock: MockClock
) -> None:
    """It dials the old address in vain, and a third node tells it."""
    cluster, client = make_cluster(seed, autojump_clock, 1)
    kept = cluster.end_kept(2)
    cluster.run(1.0)
    move(cluster, 0, 0, address=ELSEWHERE)
    cluster.run(5.0)
    cluster.start_kept(2, kept)
    assert cluster.run_until(lambda: are_settled(cluster, 0, (ELSEWHERE, 7700)))
    finish(cluster, client)
