import random

from heartbeat.rounds import Rounds
from nodemanager.ids import NodeId

NODES = [NodeId(number) for number in range(10)]


def new_rounds(seed: int = 1) -> Rounds:
    return Rounds(random.Random(seed))


def test_each_node_has_its_turn_once_in_a_round() -> None:
    rounds = new_rounds()
    for _ in range(5):
        turns = [rounds.next(NODES) for _ in NODES]
        assert sorted(node for node in turns if node is not None) == NODES


def test_no_node_waits_longer_than_two_rounds_less_one_turn() -> None:
    """The bound of SWIM, section 4.3: last in one round, first in the next, or the other way round."""
    rounds = new_rounds()
    last_turn = dict.fromkeys(NODES, 0)
    for turn in range(1, 2000):
        node = rounds.next(NODES)
        assert node is not None
        assert turn - last_turn[node] <= 2 * len(NODES) - 1
        last_turn[node] = turn


def test_rounds_are_shuffled_anew() -> None:
    rounds = new_rounds()
    orders = {tuple(rounds.next(NODES) for _ in NODES) for _ in range(5)}
    assert len(orders) == 5


def test_who_is_gone_loses_its_turn_and_who_came_waits_for_the_next_round() -> None:
    rounds = new_rounds()
    first = rounds.next(NODES)
    left = [node for node in NODES if node not in {first, 3}]
    came = NodeId(42)
    turns = [rounds.next([*left, came]) for _ in left]
    assert sorted(node for node in turns if node is not None) == left
    second = [rounds.next([*left, came]) for _ in range(len(left) + 1)]
    assert came in second


def test_nobody_has_no_turn() -> None:
    rounds = new_rounds()
    assert rounds.next([]) is None
    rounds.next(NODES)
    assert rounds.next([]) is None
    assert rounds.next([NodeId(7)]) == 7
