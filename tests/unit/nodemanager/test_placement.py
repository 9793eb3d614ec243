import random
import statistics
from dataclasses import dataclass, replace
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


def test_a_node_at_its_cap_is_passed_over_until_it_is_open() -> None:
    capped = replace(candidate(1, free_bytes=5000), rate_limited_until=11.0)
    assert choose(capped, candidate(2), now=10.9) == 2
    assert choose(capped, candidate(2), now=11.0) == 1
    assert choose(capped, now=10.9) is None
    assert choose_some(capped, candidate(2), copies=2, now=10.9) == []


def test_a_doubtful_node_takes_nothing() -> None:
    assert choose(replace(candidate(1), is_doubtful=True)) is None


def test_a_pressed_node_takes_what_nobody_else_takes() -> None:
    roomy, other = candidate(1, free_bytes=9000), candidate(2)
    pressed = replace(roomy, pressure=0.99)
    assert choose(pressed, other) == 2
    assert choose(pressed) == 1
    assert choose(replace(roomy, pressure=0.9), other) == 1


def test_another_zone_is_worth_more_than_ease() -> None:
    pressed = replace(candidate(1, zone="b"), pressure=0.99)
    assert choose(pressed, candidate(2, zone="a"), our_zone="a") == 1


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


NODES = 64
ROUNDS = 80
BLOCK = 100


@dataclass
class Round:
    """Holders as they are; owners see them only from time to time, and what each itself sent since."""

    holders: list[Candidate]

    def place(self, rng: random.Random, shares: list[int], copies: int) -> None:
        """Let owners, by their shares, send blocks that each want so many copies."""
        before = list(self.holders)
        for share in rng.sample(shares, len(shares)):
            seen = list(before)
            for _ in range(share):
                nodes = choose_holders(seen, copies, BLOCK, now=10.0, rng=rng, our_zone="a")
                zones = [self.holders[node].zone for node in nodes]
                assert len(nodes) == copies
                assert len(set(zones)) == copies or zones[0] == ""
                for node in nodes:
                    for view in (seen, self.holders):
                        view[node] = replace(view[node], free_bytes=view[node].free_bytes - BLOCK)

    def held_parts(self) -> list[float]:
        return [1 - each.free_fraction for each in self.holders]


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("budgets", [[1], [1, 1, 1, 1, 1, 1, 1, 8]], ids=["equal", "unequal"])
@pytest.mark.parametrize("zones", [[""], ["b", "c", "d", "e"]], ids=["no zones", "zones"])
def test_by_old_figures_and_uneven_owners_64_nodes_fill_evenly(
    seed: int, copies: int, budgets: list[int], zones: list[str]
) -> None:
    """Eight owners of 1 to 8 shares, who learn what the others did only after each has sent."""
    rng = random.Random(seed)
    sizes = [12_000 * budgets[n % len(budgets)] for n in range(NODES)]
    nodes = Round(
        [
            replace(
                candidate(n, free_bytes=size, zone=zones[n // 4 % len(zones)]), budget_bytes=size
            )
            for n, size in enumerate(sizes)
        ]
    )
    for _ in range(ROUNDS):
        nodes.place(rng, [1, 1, 2, 2, 4, 4, 8, 8], copies)
    parts = nodes.held_parts()
    assert max(parts) <= 1.3 * statistics.median(parts)
    assert min(parts) >= 0.7 * statistics.median(parts)
