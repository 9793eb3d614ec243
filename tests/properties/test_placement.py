"""Placement over any candidates: who is chosen could take it, and nobody better was passed over."""

import random

from hypothesis import event, given, strategies as st

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate, choose_holder
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
        refused_until=st.sampled_from([0.0, 0.0, NOW, NOW + 1]),
        zone=st.sampled_from(["", "a", "b"]),
    ),
    max_size=8,
    unique_by=lambda candidate: candidate.node,
)


@given(
    CANDIDATES,
    st.sets(st.integers(0, 20).map(NodeId), max_size=3),
    st.sampled_from(["", "a"]),
    st.integers(0, 5),
)
def test_the_best_able_node_is_chosen(
    candidates: list[Candidate], exclude: set[NodeId], our_zone: str, seed: int
) -> None:
    chosen = choose_holder(
        candidates, 4096, now=NOW, rng=random.Random(seed), exclude=exclude, our_zone=our_zone
    )
    able = [
        each
        for each in candidates
        if each.state is NodeState.UP
        and (each.is_linked, each.is_accepting) == (True, True)
        and each.free_bytes >= 4096
        and each.refused_until <= NOW
        and each.node not in exclude
    ]
    event(f"{min(len(able), 3)} able")
    if not able:
        assert chosen is None
        return
    holder = next(each for each in able if each.node == chosen)
    elsewhere = [each for each in able if our_zone and each.zone not in {"", our_zone}]
    rivals = elsewhere or able
    assert holder in rivals
    assert holder.free_bytes == max(each.free_bytes for each in rivals)
