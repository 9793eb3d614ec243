import random
from dataclasses import replace

import pytest

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate, choose_holder
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
        zone=zone,
    )


def choose(
    *candidates: Candidate,
    zpage_bytes: int = 100,
    now: float = 10.0,
    exclude: frozenset[NodeId] = frozenset(),
    our_zone: str = "",
    seed: int = 0,
) -> NodeId | None:
    return choose_holder(
        candidates,
        zpage_bytes,
        now=now,
        rng=random.Random(seed),
        exclude=exclude,
        our_zone=our_zone,
    )


def test_the_node_with_most_free_bytes_takes_the_block() -> None:
    assert choose(candidate(1), candidate(2, free_bytes=2000), candidate(3)) == 2


@pytest.mark.parametrize("state", [state for state in NodeState if state is not NodeState.UP])
def test_a_node_that_is_not_up_takes_nothing(state: NodeState) -> None:
    assert choose(candidate(1, state=state)) is None


def test_a_node_without_a_link_takes_nothing() -> None:
    assert choose(replace(candidate(1), is_linked=False)) is None


def test_a_node_that_does_not_accept_takes_nothing() -> None:
    assert choose(replace(candidate(1), is_accepting=False)) is None


def test_a_node_takes_what_just_fits() -> None:
    assert choose(candidate(1, free_bytes=100), zpage_bytes=100) == 1
    assert choose(candidate(1, free_bytes=99), zpage_bytes=100) is None


def test_a_node_that_refused_is_left_alone_until_its_time_has_passed() -> None:
    refused = replace(candidate(1, free_bytes=5000), refused_until=11.0)
    assert choose(refused, candidate(2), now=10.9) == 2
    assert choose(refused, candidate(2), now=11.0) == 1


def test_excluded_nodes_are_passed_over() -> None:
    nodes = candidate(1, free_bytes=5000), candidate(2)
    assert choose(*nodes, exclude=frozenset({NodeId(1)})) == 2
    assert choose(*nodes, exclude=frozenset({NodeId(1), NodeId(2)})) is None


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
