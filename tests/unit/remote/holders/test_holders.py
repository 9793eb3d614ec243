"""Holder ids: one for each incarnation, a bounded number for each node."""

from config.limits import NODE_NUMBER_MAX
from nodemanager.ids import Incarnation, NodeId
from ramsterd.remote.holders.holders import HOLDERS_MAX, INCARNATIONS_MAX, Holder, Holders

PEER, OTHER = NodeId(1), NodeId(2)


def live(holders: Holders, node: NodeId, life: int) -> Holder:
    """Begin an incarnation of a node, ending the one before."""
    incarnation = Incarnation(life)
    holders.bury(node, incarnation)
    return holders.of(node, incarnation)


def test_all_nodes_together_never_use_more_ids_than_a_row_can_name() -> None:
    assert (NODE_NUMBER_MAX + 1) * INCARNATIONS_MAX <= HOLDERS_MAX


def test_a_node_whose_lives_end_faster_than_sweeps_go_has_no_id_left() -> None:
    holders = Holders()
    lives = [live(holders, PEER, life) for life in range(1, INCARNATIONS_MAX + 1)]
    assert holders.has_id_for(PEER), "its present incarnation has one"
    assert not holders.has_free_id(PEER)
    holders.end(PEER)
    assert not holders.has_id_for(PEER)
    assert holders.has_id_for(OTHER)
    holders.forget(lives[0])
    assert holders.has_id_for(PEER)
    assert live(holders, PEER, INCARNATIONS_MAX + 1).id not in {each.id for each in lives[1:]}


def test_ids_are_used_again_when_all_others_were() -> None:
    holders = Holders()
    first = live(holders, PEER, 1)
    last = 1
    for life in range(2, HOLDERS_MAX + 2):
        holders.forget(holders.end(PEER))
        last = live(holders, PEER, life).id
    assert last == first.id
