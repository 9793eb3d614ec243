import random
from dataclasses import replace

import pytest

from config.model import ClusterConfig
from nodemanager.events import (
    NewIncarnation,
    NodeCleared,
    NodeDown,
    NodeDraining,
    NodeSuspected,
    NodeUp,
)
from nodemanager.ids import Incarnation, NodeId
from nodemanager.placement import choose_holders
from nodemanager.states import LinkState, NodeState, Verdict
from nodemanager.table import NodeTable, PeerStatus
from tests.helpers.clusters import cluster_of

PEER = NodeId(1)
OLD, NEW = Incarnation(100), Incarnation(200)


def new_table() -> NodeTable:
    return NodeTable(cluster_of(3), NodeId(0), incarnation=Incarnation(5))


def verdict(state: NodeState, incarnation: Incarnation | None = OLD) -> Verdict:
    return Verdict(PEER, state, incarnation, "as told")


def status(*, free_bytes: int = 1 << 20, is_accepting: bool = True) -> PeerStatus:
    return PeerStatus(
        free_bytes=free_bytes,
        budget_bytes=1 << 21,
        is_accepting=is_accepting,
        pressure=0.5,
        pages_held_for_us=3,
    )


def linked_table() -> NodeTable:
    table = new_table()
    table.on_link_up(PEER, OLD, now=1)
    table.on_status(PEER, status(), now=1)
    return table


def holder(table: NodeTable, *, now: float = 2) -> NodeId | None:
    chosen = choose_holders(table.candidates(), 1, 4096, now=now, rng=random.Random(0))
    return chosen[0] if chosen else None


def test_every_peer_begins_joining_and_we_are_not_our_own_peer() -> None:
    table = new_table()
    assert table.nodes() == (1, 2)
    assert {table.state(node) for node in table.nodes()} == {NodeState.JOINING}
    assert table.incarnation(PEER) is None
    assert table.name(PEER) == "node1"
    assert table.local_config.name == "node0"


def test_nodes_have_names_and_what_is_no_member_has_a_number() -> None:
    table = new_table()
    assert [table.name(NodeId(number)) for number in (0, 1, 7)] == ["node0", "node1", "number 7"]


def test_a_link_makes_a_node_up_once() -> None:
    table = new_table()
    assert table.on_link_up(PEER, OLD, now=1) == [NodeUp(PEER, OLD)]
    assert table.on_verdict(verdict(NodeState.UP), now=2) == []
    assert table.is_linked(PEER)


def test_silence_makes_a_node_suspect_then_down_and_a_beat_brings_it_back() -> None:
    table = linked_table()
    suspected = table.on_verdict(verdict(NodeState.SUSPECT), now=2)
    assert suspected == [NodeSuspected(PEER, OLD, "as told")]
    assert table.on_verdict(verdict(NodeState.UP), now=3) == [NodeCleared(PEER, OLD)]
    assert table.on_verdict(verdict(NodeState.DOWN), now=4) == [NodeDown(PEER, OLD, "as told")]
    assert table.on_verdict(verdict(NodeState.UP), now=5) == [NodeUp(PEER, OLD)]


def test_down_with_the_same_incarnation_is_unreachable_not_lost() -> None:
    table = linked_table()
    table.on_verdict(verdict(NodeState.DOWN), now=2)
    assert table.incarnation(PEER) == OLD
    events = table.on_link_up(PEER, OLD, now=3)
    assert not any(isinstance(event, NewIncarnation) for event in events)


def test_a_new_incarnation_ends_the_old_incarnation_before_the_new_one_begins() -> None:
    table = linked_table()
    assert table.on_verdict(verdict(NodeState.UP, NEW), now=2) == [
        NodeDown(PEER, OLD, "its earlier run has ended"),
        NewIncarnation(PEER, OLD, NEW),
        NodeUp(PEER, NEW),
    ]
    assert not table.is_linked(PEER), "the link belonged to the older incarnation"


def test_a_node_that_was_down_is_not_put_down_again_by_its_new_incarnation() -> None:
    table = linked_table()
    table.on_verdict(verdict(NodeState.DOWN), now=2)
    assert table.on_link_up(PEER, NEW, now=3) == [
        NewIncarnation(PEER, OLD, NEW),
        NodeUp(PEER, NEW),
    ]


def test_an_older_incarnation_is_ignored_and_counted() -> None:
    table = new_table()
    table.on_link_up(PEER, NEW, now=1)
    assert table.is_stale(PEER, OLD)
    assert not table.is_stale(PEER, NEW)
    assert table.on_verdict(verdict(NodeState.DOWN, OLD), now=2) == []
    assert table.on_link_up(PEER, OLD, now=2) == []
    assert table.on_goodbye(PEER, OLD, now=2) == []
    assert (table.state(PEER), table.incarnation(PEER)) == (NodeState.UP, NEW)
    assert table.statistics().stale_incarnations_total == 3


def test_a_stale_link_does_not_count_as_open() -> None:
    table = new_table()
    table.on_verdict(verdict(NodeState.UP, NEW), now=1)
    table.on_link_up(PEER, OLD, now=2)
    assert not table.is_linked(PEER)


def test_the_late_loss_of_an_older_link_leaves_the_present_one_alone() -> None:
    table = linked_table()
    table.on_link_up(PEER, NEW, now=2)
    table.on_link_lost(PEER, OLD, now=3)
    assert table.is_linked(PEER)
    table.on_link_lost(PEER, NEW, now=3)
    assert not table.is_linked(PEER)


def test_a_node_never_heard_is_given_up_once() -> None:
    table = new_table()
    down = verdict(NodeState.DOWN, None)
    assert table.on_verdict(down, now=6) == [NodeDown(PEER, None, "as told")]
    assert table.on_verdict(down, now=7) == []
    assert table.on_link_up(PEER, OLD, now=8) == [NodeUp(PEER, OLD)]


def test_never_heard_is_stale_once_an_incarnation_is_known() -> None:
    table = linked_table()
    assert table.on_verdict(verdict(NodeState.DOWN, None), now=6) == []
    assert table.state(PEER) is NodeState.UP


def test_an_incarnation_of_an_earlier_process_of_ours_is_known_and_not_heard_yet() -> None:
    table = new_table()
    table.adopt(PEER, OLD)
    assert (table.state(PEER), table.incarnation(PEER)) == (NodeState.JOINING, OLD)
    assert not table.is_linked(PEER)
    assert table.is_stale(PEER, Incarnation(OLD - 1))
    table.adopt(PEER, Incarnation(OLD - 1))
    assert table.incarnation(PEER) == OLD
    assert table.on_link_up(PEER, OLD, now=1) == [NodeUp(PEER, OLD)]
    table.check_invariants()


def test_an_incarnation_of_an_earlier_process_of_ours_that_nobody_hears_is_given_up() -> None:
    table = new_table()
    table.adopt(PEER, OLD)
    assert table.on_verdict(verdict(NodeState.DOWN, None), now=9) == [
        NodeDown(PEER, OLD, "as told")
    ]
    assert (table.state(PEER), table.incarnation(PEER)) == (NodeState.DOWN, OLD)
    assert table.on_link_up(PEER, NEW, now=10) == [
        NewIncarnation(PEER, OLD, NEW),
        NodeUp(PEER, NEW),
    ]
    table.check_invariants()


def test_a_lost_link_alone_puts_nobody_down_but_places_nothing() -> None:
    table = linked_table()
    assert holder(table) == PEER
    assert table.on_link_lost(PEER, OLD, now=2) == []
    assert table.state(PEER) is NodeState.UP
    assert holder(table) is None


def test_a_new_link_must_say_its_status_before_it_takes_pages() -> None:
    table = linked_table()
    table.on_link_lost(PEER, OLD, now=2)
    table.on_link_up(PEER, OLD, now=3)
    assert holder(table, now=3) is None
    table.on_status(PEER, status(), now=3)
    assert holder(table, now=3) == PEER


def test_a_status_without_a_link_is_too_late() -> None:
    table = new_table()
    table.on_status(PEER, status(), now=1)
    assert table.statistics().nodes[1].status is None


def test_placement_hears_of_pressure() -> None:
    (candidate,) = (each for each in linked_table().candidates() if each.node == PEER)
    assert candidate.pressure == 0.5


def draining(*, is_draining: bool = True) -> ClusterConfig:
    nodes = tuple(replace(node, draining=is_draining) for node in cluster_of(3).node)
    return replace(cluster_of(3), node=nodes)


def test_a_draining_node_takes_nothing_until_the_drain_is_called_off() -> None:
    table = linked_table()
    assert table.on_members(draining()) == []
    assert table.on_intents(now=2) == [NodeDraining(PEER, OLD)]
    assert holder(table) is None
    assert table.on_verdict(verdict(NodeState.SUSPECT), now=3) == []
    table.on_members(draining(is_draining=False))
    assert table.on_intents(now=4) == [NodeCleared(PEER, OLD)]
    assert holder(table, now=4) == PEER


def test_a_node_that_comes_back_drains_as_its_config_says() -> None:
    table = linked_table()
    table.on_verdict(verdict(NodeState.DOWN), now=2)
    table.on_members(draining())
    assert table.on_intents(now=3) == [], "nobody is there to drain"
    back = [NodeUp(PEER, OLD), NodeDraining(PEER, OLD)]
    assert table.on_link_up(PEER, OLD, now=4) == back


def test_a_goodbye_outlasts_beats_that_were_under_way() -> None:
    table = linked_table()
    assert table.on_goodbye(PEER, OLD, now=2) == [NodeDown(PEER, OLD, "stopped in order")]
    assert table.on_verdict(verdict(NodeState.UP), now=3) == []
    assert table.on_verdict(verdict(NodeState.DOWN), now=4) == []
    assert table.state(PEER) is NodeState.LEFT
    assert table.on_verdict(verdict(NodeState.UP, NEW), now=5) == [
        NewIncarnation(PEER, OLD, NEW),
        NodeUp(PEER, NEW),
    ]


def test_an_incarnation_that_is_first_met_in_silence_is_not_trusted() -> None:
    table = new_table()
    assert table.on_verdict(verdict(NodeState.SUSPECT), now=1) == []
    assert table.state(PEER) is NodeState.JOINING
    table.check_invariants()


def test_statistics_show_all_members_by_number_with_us_among_them() -> None:
    table = linked_table()
    table.on_link_up(PEER, NEW, now=4)
    shown = table.statistics()
    assert [row.config.number for row in shown.nodes] == [0, 1, 2]
    ours, peer, silent = shown.nodes
    assert (ours.is_local, ours.incarnation, ours.state) == (True, 5, NodeState.UP)
    assert (peer.is_linked, peer.incarnation, peer.changed_at) == (True, NEW, 4)
    assert (silent.state, silent.changed_at) == (NodeState.JOINING, None)
    assert shown.new_incarnations_total == 1


def test_a_node_outside_the_cluster_is_a_bug_of_the_caller() -> None:
    with pytest.raises(KeyError):
        new_table().on_link_up(NodeId(9), OLD, now=1)


def test_a_member_that_comes_is_joining_and_one_that_goes_is_down_first() -> None:
    table = NodeTable(cluster_of(2), NodeId(0))
    table.on_link_up(PEER, OLD, now=1)
    assert table.on_members(cluster_of(3)) == []
    assert table.state(NodeId(2)) is NodeState.JOINING
    assert table.state(PEER) is NodeState.UP, "what is known of those that stay, stays"
    assert table.on_members(cluster_of(1)) == [PEER, NodeId(2)]
    assert all(each.is_cordoned for each in table.candidates()), "nothing goes where a row goes"
    assert table.forget(PEER) == [NodeDown(PEER, OLD, "no longer a member")]
    assert table.forget(NodeId(2)) == []
    assert PEER not in table
    assert table.nodes() == ()
    table.check_invariants()


def test_a_cordon_reaches_placement() -> None:
    table = new_table()
    table.on_link_up(PEER, OLD, now=1)
    table.on_status(PEER, status(), now=1)
    rng = random.Random(0)
    assert choose_holders(table.candidates(), 1, 100, now=2, rng=rng) == [PEER]
    nodes = tuple(replace(node, cordoned=node.number == PEER) for node in cluster_of(3).node)
    table.on_members(replace(cluster_of(3), node=nodes))
    assert choose_holders(table.candidates(), 1, 100, now=2, rng=rng) == []
    table.on_members(cluster_of(3))
    assert choose_holders(table.candidates(), 1, 100, now=2, rng=rng) == [PEER]


def test_why_there_is_no_link_is_kept_until_there_is_one() -> None:
    table = new_table()

    def link() -> tuple[LinkState, str]:
        row = next(each for each in table.statistics().nodes if each.config.number == PEER)
        return row.link, row.link_reason

    assert link() == (LinkState.UNTRIED, "")
    table.on_no_link(PEER, LinkState.REFUSED_THERE, "another cluster")
    assert link() == (LinkState.REFUSED_THERE, "another cluster")
    table.on_link_up(PEER, OLD, now=1)
    table.on_no_link(PEER, LinkState.REFUSED_HERE, "a second link")
    assert link() == (LinkState.LINKED, "")
    table.on_link_lost(PEER, OLD, now=2)
    table.on_no_link(PEER, LinkState.LOST, "they are silent")
    table.on_no_link(PEER, LinkState.UNREACHABLE, "they are silent")
    assert link() == (LinkState.LOST, "they are silent")
    table.on_no_link(PEER, LinkState.UNREACHABLE, "no route")
    assert link() == (LinkState.UNREACHABLE, "no route")
    table.on_no_link(NodeId(9), LinkState.UNREACHABLE, "no member")
