"""An incarnation that no link has shown ends no other."""

import pytest

from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from ramsterd.membership.believed_incarnations import believed

UP, SUSPECT, DOWN = NodeState.UP, NodeState.SUSPECT, NodeState.DOWN
OLD, KNOWN, NEW = Incarnation(4), Incarnation(5), Incarnation(6)


def verdict(state: NodeState, incarnation: Incarnation | None) -> Verdict:
    return Verdict(NodeId(1), state, incarnation, "told")


@pytest.mark.parametrize("is_linked", [True, False])
@pytest.mark.parametrize("incarnation", [OLD, KNOWN])
@pytest.mark.parametrize("state", [UP, SUSPECT, DOWN])
def test_what_is_said_of_a_known_incarnation_counts(
    state: NodeState, incarnation: Incarnation, is_linked: bool
) -> None:
    said = verdict(state, incarnation)
    assert believed(said, known=KNOWN, is_linked=is_linked) is said


@pytest.mark.parametrize("state", [UP, SUSPECT, DOWN])
def test_while_the_link_is_open_it_alone_tells_of_a_new_one(state: NodeState) -> None:
    assert believed(verdict(state, NEW), known=KNOWN, is_linked=True) is None


@pytest.mark.parametrize(
    ("known", "state", "expected"),
    [
        (KNOWN, UP, None),
        (KNOWN, SUSPECT, verdict(SUSPECT, KNOWN)),
        (KNOWN, DOWN, verdict(DOWN, KNOWN)),
        (None, UP, None),
        (None, SUSPECT, None),
        (None, DOWN, verdict(DOWN, None)),
    ],
)
def test_without_a_link_the_incarnation_stays_and_only_its_health_is_believed(
    known: Incarnation | None, state: NodeState, expected: Verdict | None
) -> None:
    assert believed(verdict(state, NEW), known=known, is_linked=False) == expected


def test_one_that_was_never_heard() -> None:
    said = verdict(DOWN, None)
    assert believed(said, known=None, is_linked=False) is said
