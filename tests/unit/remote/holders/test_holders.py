"""Holder ids: one for each incarnation, a bounded number for each node."""

from config.limits import NODE_NUMBER_MAX
from nodemanager.ids import Incarnation, NodeId
from ramsterd.remote.holders.holders import HOLDERS_MAX, INCARNATIONS_MAX, Holder, Holders

PEER, OTHER = NodeId(1), NodeId(2)


def live(holders: Holders, node: NodeId, number: int) -> Holder:
    """Begin an incarnation of a node, ending the one before."""
    incarnation = Incarnation(number)
    holders.bury(node, incarnation)
    return holders.of(node, incarnation)


def test_all_nodes_together_never_use_more_ids_than_a_row_can_name() -> None:
    assert (NODE_NUMBER_MAX + 1) * INCARNATIONS_MAX <= HOLDERS_MAX


def test_a_node_whose_incarnations_end_faster_than_sweeps_go_has_no_id_left() -> None:
    holders = Holders()
    alive = [live(holders, PEER, number) for number in range(1, INCARNATIONS_MAX + 1)]
    assert holders.has_id_for(PEER), "its present incarnation has one"
    assert not holders.has_free_id(PEER)
    holders.end(PEER)
    assert not holders.has_id_for(PEER)
    assert holders.has_id_for(OTHER)
    holders.forget(alive[0])
    assert holders.has_id_for(PEER)
    assert live(holders, PEER, INCARNATIONS_MAX + 1).id not in {each.id for each in alive[1:]}


def test_ids_are_used_again_when_all_others_were() -> None:
    holders = Holders()
    first = live(holders, PEER, 1)
    last = 1
    for number in range(2, HOLDERS_MAX + 2):
        holders.forget(holders.end(PEER))
        last = live(holders, PEER, number).id
    assert last == first.id


class NotedHolders:
    """What the next process would be told."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int]] = []

    def on_holder_known(self, holder: int, node: NodeId, incarnation: Incarnation) -> None:
        self.noted.append((f"{node} {incarnation}", holder))

    def on_holder_ended(self, holder: int) -> None:
        self.noted.append(("ended", holder))

    def on_holder_forgotten(self, holder: int) -> None:
        self.noted.append(("forgotten", holder))


def test_what_ids_mean_is_noted_for_the_next_process() -> None:
    journal = NotedHolders()
    holders = Holders(journal)
    first = live(holders, PEER, 1)
    assert live(holders, PEER, 1) is first
    live(holders, PEER, 2)
    holders.forget(first)
    holders.end(PEER)
    assert journal.noted == [("1 1", 1), ("ended", 1), ("1 2", 2), ("forgotten", 1), ("ended", 2)]


def test_ids_that_kept_rows_name_are_taken_up() -> None:
    holders = Holders()
    dead = holders.adopt(7, PEER, Incarnation(1), is_dead=True, pages=3)
    living = holders.adopt(5, PEER, Incarnation(2), is_dead=False, pages=4)
    assert holders.living(PEER) is living
    assert (dead.pages, living.pages) == (3, 4)
    assert holders.of(PEER, Incarnation(2)) is living
    assert live(holders, OTHER, 1).id == 8
    holders.forget(dead)
    assert holders.get(7) is None
    assert holders.bury(PEER, Incarnation(3)) is living


def test_what_was_put_to_a_process_that_is_linked_is_agreed_on_until_another_process_is() -> None:
    holders = Holders()
    holders.on_link_up(PEER, 2)
    assert holders.is_agreed(PEER), "it has nothing of ours"
    live(holders, PEER, 1)
    assert holders.is_agreed(PEER)
    holders.on_link_up(PEER, 2)
    assert holders.is_agreed(PEER), "another link to the same process"
    holders.on_link_up(PEER, 3)
    assert not holders.is_agreed(PEER)
    live(holders, PEER, 2)
    assert holders.is_agreed(PEER), "what an incarnation kept that ended is of no concern"
