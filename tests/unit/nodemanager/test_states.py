import pytest

from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import (
    LIVE_STATES,
    TRANSITIONS,
    NodeState,
    Sign,
    Verdict,
    may_fetch,
    may_place,
)


def test_pages_are_placed_only_on_nodes_that_are_up() -> None:
    assert [state for state in NodeState if may_place(state)] == [NodeState.UP]


def test_pages_are_fetched_from_every_node_believed_alive() -> None:
    asked = {state for state in NodeState if may_fetch(state)}
    assert asked == LIVE_STATES == {NodeState.UP, NodeState.SUSPECT, NodeState.DRAINING}


@pytest.mark.parametrize("state", NodeState)
def test_a_node_that_may_be_given_pages_may_be_asked_for_them(state: NodeState) -> None:
    assert may_fetch(state) or not may_place(state)


@pytest.mark.parametrize("sign", [sign for sign in Sign if sign is not Sign.LINKED])
def test_a_node_that_left_comes_back_only_by_a_link(sign: Sign) -> None:
    assert TRANSITIONS[NodeState.LEFT][sign] is NodeState.LEFT
    assert TRANSITIONS[NodeState.LEFT][Sign.LINKED] is NodeState.UP


def test_nothing_leads_back_to_joining() -> None:
    for state, row in TRANSITIONS.items():
        if state is not NodeState.JOINING:
            assert NodeState.JOINING not in row.values()


def test_a_short_silence_does_not_end_a_drain() -> None:
    assert TRANSITIONS[NodeState.DRAINING][Sign.SILENT] is NodeState.DRAINING


@pytest.mark.parametrize("state", [NodeState.JOINING, NodeState.DRAINING, NodeState.LEFT])
def test_a_detector_does_not_speak_of_intents(state: NodeState) -> None:
    with pytest.raises(AssertionError):
        Verdict(NodeId(1), state, Incarnation(1), "")


def test_only_down_may_be_said_of_a_node_never_heard() -> None:
    assert Verdict(NodeId(1), NodeState.DOWN, None, "").incarnation is None
    with pytest.raises(AssertionError):
        Verdict(NodeId(1), NodeState.UP, None, "")
