"""Placement over any candidates: who is chosen could take it, and nobody better was passed over."""

import random

from hypothesis import event, given, strategies as st

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate, choose_holders
from nodemanager.states import NodeState

NOW = 10.0
# Mostly able, so that the choice is really made.
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        node=st.integers(0, 20).map(NodeId),
        state=st.one_of(st.just(NodeState.UP), st.sampled_from(NodeState)),
        is_linked=st.one_of(st.just(True), st.booleans()),
        is_accepting=st.one_of(st.just(True), st.booleans()),
        free_bytes=st.sampled_from([0, 4095, 4096, 10_000, 20_000]),
        budget_bytes=st.sampled_from([0, 20_000, 40_000]),
        rate_limited_until=st.sampled_from([0.0, 0.0, NOW, NOW + 1]),
        pressure=st.sampled_from([0.0, 0.5, 1.0]),
        is_doubtful=st.sampled_from([False, False, True]),
        refused_until=st.sampled_from([0.0, 0.0, NOW, NOW + 1]),
        zone=st.sampled_from(["", "a", "b"]),
    ),
    max_size=8,
    unique_by=lambda candidate: candidate.node,
)


@given(CANDIDATES, st.integers(1, 3), st.sampled_from(["", "a"]), st.integers(0, 5))
def test_able_nodes_are_chosen_other_zones_first(
    candidates: list[Candidate], copies: int, our_zone: str, seed: int
) -> None:
    chosen = choose_holders(
        candidates, copies, 4096, now=NOW, rng=random.Random(seed), our_zone=our_zone
    )
    able = {
        each.node: each
        for each in candidates
        if each.state is NodeState.UP
        and (each.is_linked, each.is_accepting) == (True, True)
        and each.free_bytes >= 4096
        and each.refused_until <= NOW
        and each.rate_limited_until <= NOW
        and not each.is_doubtful
    }
    event(f"{min(len(able), 4)} able, {copies} copies")
    if len(able) < copies:
        assert chosen == []
        return
    assert len(set(chosen)) == copies
    assert set(chosen) <= set(able)
    zones = {our_zone, ""}
    for place, node in enumerate(chosen):
        left = [each for each in able.values() if each.node not in chosen[:place]]
        if our_zone and any(each.zone not in zones for each in left):
            assert able[node].zone not in zones
        zones.add(able[node].zone)
        if len(left) == 2 and not our_zone:
            best = max((not each.is_pressed, each.free_fraction) for each in left)
            assert (not able[node].is_pressed, able[node].free_fraction) == best
