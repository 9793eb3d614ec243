import random
from dataclasses import replace
from typing import Any

import pytest

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate, choose_holders
from nodemanager.states import NodeState


def candidate(
    node: int, *, free_bytes: int = 1000, zone: str = "", state: NodeState = NodeState.UP
) -> Candidate:
    return Candidate(
        node=NodeId(node),
        state=state,
        is_linked=True,
        is_accepting=True,
        free_bytes=free_bytes,
        budget_bytes=10_000,
        zone=zone,
    )


def choose_some(
    *candidates: Candidate,
    copies: int = 1,
    block_bytes: int = 100,
    now: float = 10.0,
    our_zone: str = "",
    seed: int = 0,
) -> list[NodeId]:
    return choose_holders(
        candidates, copies, block_bytes, now=now, rng=random.Random(seed), our_zone=our_zone
    )


def choose(*candidates: Candidate, **how: Any) -> NodeId | None:
    """Return the one holder of one copy."""
    chosen = choose_some(*candidates, **how)
    return chosen[0] if chosen else None


def test_of_two_the_one_with_the_larger_free_part_takes_the_block() -> None:
    small, large = candidate(1, free_bytes=900), candidate(2, free_bytes=1000)
    assert choose(small, large) == 2
    assert choose(replace(small, budget_bytes=1000), large) == 1


def test_of_many_two_are_drawn() -> None:
    """The emptiest does not take all: its STATUS is old by the time that others have chosen it too."""
    nodes = [candidate(node, free_bytes=1000 + node) for node in range(1, 6)]
    chosen = [choose(*nodes, seed=seed) for seed in range(200)]
    assert set(chosen) == {2, 3, 4, 5}
    assert chosen.count(NodeId(5)) < 120


def test_copies_are_on_different_nodes_or_nowhere() -> None:
    nodes = [candidate(1), candidate(2), candidate(3, free_bytes=50)]
    assert sorted(choose_some(*nodes, copies=2)) == [1, 2]
    assert choose_some(*nodes, copies=3) == []


def test_copies_are_in_different_zones_first() -> None:
    nodes = [
        candidate(1, zone="a", free_bytes=9000),
        candidate(2, zone="b", free_bytes=8000),
        candidate(3, zone="b", free_bytes=8000),
        candidate(4, zone="c", free_bytes=200),
    ]
    for seed in range(20):
        chosen = choose_some(*nodes, copies=2, our_zone="a", seed=seed)
        assert {NodeId(4)} < set(chosen) < {2, 3, 4}
    assert choose_some(*nodes, copies=4, our_zone="a")[-1] in {1, 2, 3}


@pytest.mark.parametrize("state", [state for state in NodeState if state is not NodeState.UP])
def test_a_node_that_is_not_up_takes_nothing(state: NodeState) -> None:
    assert choose(candidate(1, state=state)) is None


def test_a_node_without_a_link_takes_nothing() -> None:
    assert choose(replace(candidate(1), is_linked=False)) is None


def test_a_node_that_does_not_accept_takes_nothing() -> None:
    assert choose(replace(candidate(1), is_accepting=False)) is None


def test_a_node_takes_what_just_fits() -> None:
    assert choose(candidate(1, free_bytes=100), block_bytes=100) == 1
    assert choose(candidate(1, free_bytes=99), block_bytes=100) is None


def test_a_node_that_refused_is_left_alone_until_its_time_has_passed() -> None:
    refused = replace(candidate(1, free_bytes=5000), refused_until=11.0)
    assert choose(refused, candidate(2), now=10.9) == 2
    assert choose(refused, candidate(2), now=11.0) == 1


def test_another_zone_comes_before_more_room() -> None:
    near, far = candidate(1, free_bytes=9000, zone="a"), candidate(2, zone="b")
    assert choose(near, far, our_zone="a") == 2


def test_our_own_zone_is_better_than_nobody() -> None:
    assert choose(candidate(1, zone="a"), our_zone="a") == 1


def test_zones_count_only_when_both_sides_have_one() -> None:
    unknown, far = candidate(1, free_bytes=9000), candidate(2, zone="b")
    assert choose(unknown, far, our_zone="") == 1
    assert choose(unknown, far, our_zone="a") == 2


def test_equals_take_turns_and_a_seed_repeats_the_choice() -> None:
    nodes = [candidate(n) for n in (1, 2, 3)]
    chosen = [choose(*nodes, seed=seed) for seed in range(50)]
    assert set(chosen) == {1, 2, 3}
    assert chosen == [choose(*nodes, seed=seed) for seed in range(50)]
