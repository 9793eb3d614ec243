"""Which holders can be asked now, and how many peers may be given pages."""

from dataclasses import replace

import pytest

from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.remote.holders.reach import Reach, ReachableCopies
from tests.helpers.clusters import cluster_of
from tests.helpers.made_owner import INCARNATION, ONE, OTHER, THIRD, Owner
from tests.helpers.made_pages import MIB

NO_COPIES = ReachableCopies(0, 0, frozenset())


class Reaching:
    """An owner, and what it believes of three peers that are linked."""

    def __init__(self) -> None:
        self.owner = Owner(copies=3)
        self.cluster = cluster_of(4)
        self.nodes = NodeTable(self.cluster, NodeId(0), incarnation=Incarnation(9))
        self.reach = Reach(self.owner.holders, self.nodes)
        for node in (ONE, OTHER, THIRD):
            self.nodes.on_link_up(node, INCARNATION, now=0)

    def drain(self, *draining: NodeId) -> None:
        nodes = (replace(each, draining=each.number in draining) for each in self.cluster.node)
        self.nodes.on_members(replace(self.cluster, node=tuple(nodes)))
        self.nodes.on_intents(now=0)

    def believe(self, node: NodeId, state: NodeState) -> None:
        """Come to believe that of a peer that is up and linked; its link has not noticed."""
        match state:
            case NodeState.UP:
                pass
            case NodeState.DRAINING:
                self.drain(node)
            case NodeState.LEFT:
                self.nodes.on_goodbye(node, INCARNATION, now=0)
            case _:
                self.nodes.on_verdict(Verdict(node, state, INCARNATION, "as told"), now=0)
        assert self.nodes.state(node) is state
        assert self.nodes.is_linked(node)


@pytest.fixture
def reaching() -> Reaching:
    return Reaching()


@pytest.mark.parametrize(
    ("state", "can_be_asked", "is_given_up"),
    [
        (NodeState.UP, True, False),
        (NodeState.DRAINING, True, False),
        (NodeState.SUSPECT, False, False),
        (NodeState.DOWN, False, True),
        (NodeState.LEFT, False, True),
    ],
)
def test_what_is_believed_of_a_node_decides_whether_it_is_asked_or_given_up(
    reaching: Reaching, state: NodeState, *, can_be_asked: bool, is_given_up: bool
) -> None:
    holder = reaching.owner.holder(ONE)
    reaching.believe(ONE, state)
    assert reaching.reach.is_reachable(holder) is can_be_asked
    assert reaching.reach.is_given_up(holder) is is_given_up
    other = reaching.owner.holder(OTHER)
    assert reaching.reach.is_reachable(other)
    assert not reaching.reach.is_given_up(other)


def test_without_a_link_a_holder_is_not_asked_and_not_given_up(reaching: Reaching) -> None:
    holder = reaching.owner.holder(ONE)
    reaching.nodes.on_link_lost(ONE, INCARNATION, now=0)
    assert not reaching.reach.is_reachable(holder)
    assert not reaching.reach.is_given_up(holder)


def test_an_incarnation_that_is_over_is_not_asked_though_its_node_is_up_again(
    reaching: Reaching,
) -> None:
    over, later = reaching.owner.holder(ONE), Incarnation(2)
    reaching.nodes.on_link_up(ONE, later, now=0)
    reaching.owner.holders.bury(ONE, later)
    assert not reaching.reach.is_reachable(over)
    assert reaching.reach.is_reachable(reaching.owner.holders.of(ONE, later))


def test_a_page_is_asked_for_where_it_is_and_can_be_had(reaching: Reaching) -> None:
    owner, reach = reaching.owner, reaching.reach
    holders_of = owner.store.rows.holders
    at_all = holders_of(owner.put_and_send(ONE, OTHER, THIRD)[0])
    at_one = holders_of(owner.put_and_send(ONE)[0])
    assert reach.copies_at(at_all) == ReachableCopies(3, 3, frozenset({ONE, OTHER, THIRD}))
    assert reach.copies_at(at_one) == ReachableCopies(1, 1, frozenset({ONE}))
    reaching.nodes.on_link_lost(ONE, INCARNATION, now=0)
    assert reach.copies_at(at_all) == ReachableCopies(2, 2, frozenset({OTHER, THIRD}))
    assert reach.copies_at(at_one) == NO_COPIES


def test_a_holder_that_is_awaited_counts_once(reaching: Reaching) -> None:
    holder = reaching.owner.holder(ONE)
    holder.is_awaited = True
    assert reaching.reach.copies_at([holder.id]) == ReachableCopies(1, 1, frozenset({ONE}))
    reaching.nodes.on_link_lost(ONE, INCARNATION, now=0)
    assert reaching.reach.copies_at([holder.id]) == ReachableCopies(0, 1, frozenset())


def test_a_page_that_no_peer_has_can_be_had_nowhere(reaching: Reaching) -> None:
    reaching.owner.put(1)
    row = reaching.owner.store.rows.high - 1
    assert reaching.reach.copies_at(reaching.owner.store.rows.holders(row)) == NO_COPIES


def test_pages_may_be_given_to_peers_that_are_up_and_linked(reaching: Reaching) -> None:
    assert reaching.reach.placeable_nodes() == 3
    reaching.drain(ONE)
    assert reaching.reach.placeable_nodes() == 2
    reaching.believe(OTHER, NodeState.SUSPECT)
    assert reaching.reach.placeable_nodes() == 1
    reaching.nodes.on_link_lost(THIRD, INCARNATION, now=0)
    assert reaching.nodes.state(THIRD) is NodeState.UP
    assert reaching.reach.placeable_nodes() == 0


@pytest.mark.parametrize("state", [NodeState.UP, NodeState.SUSPECT, NodeState.DOWN])
def test_a_holder_may_come_back_unless_it_left_or_ended(
    reaching: Reaching, state: NodeState
) -> None:
    holder = reaching.owner.holder(ONE)
    reaching.believe(ONE, state)
    reaching.nodes.on_link_lost(ONE, INCARNATION, now=0)
    assert reaching.reach.may_come_back(holder)
    reaching.nodes.on_goodbye(ONE, INCARNATION, now=0)
    assert not reaching.reach.may_come_back(holder)
    other = reaching.owner.holder(OTHER)
    reaching.owner.holders.bury(OTHER, Incarnation(2))
    assert not reaching.reach.may_come_back(other)


def status_of(free_bytes: int) -> PeerStatus:
    return PeerStatus(
        free_bytes=free_bytes, budget_bytes=64 * MIB, is_accepting=True, pressure=0.0, pages_held_for_us=0
    )  # fmt: skip


def test_peers_that_are_away_and_might_take_pages(reaching: Reaching) -> None:
    """One without a link, one that is down, and not one that had no room when it was heard last."""
    nodes, reach = reaching.nodes, reaching.reach
    for node in (ONE, OTHER, THIRD):
        nodes.on_status(node, status_of(MIB), now=0)
    assert reach.peers_away() == []
    nodes.on_link_lost(ONE, INCARNATION, now=0)
    reaching.believe(OTHER, NodeState.DOWN)
    assert reach.peers_away() == [ONE, OTHER]
    nodes.on_status(OTHER, status_of(0), now=0)
    assert reach.peers_away() == [ONE]
    nodes.on_link_up(ONE, INCARNATION, now=0)
    nodes.on_link_lost(ONE, INCARNATION, now=0)
    assert reach.peers_away() == [ONE], "it has said nothing yet on its last link"
    nodes.on_goodbye(ONE, INCARNATION, now=0)
    assert reach.peers_away() == []


def test_peers_that_are_to_get_no_pages_are_not_waited_for(reaching: Reaching) -> None:
    reaching.drain(ONE)
    reaching.nodes.on_link_lost(ONE, INCARNATION, now=0)
    assert reaching.reach.peers_away() == []
