"""What travels on a datagram besides its purpose."""

import pytest

from heartbeat.datagram import ROWS_MAX, DatagramKind as Kind
from heartbeat.knobs import Knobs
from heartbeat.outbox import NO_PROBE
from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from tests.helpers.detector_parts import Parts
from tests.helpers.heartbeat_messages import DOWN, SUSPECT, row

ONE = NodeId(1)


def with_accused(state: NodeState, knobs: Knobs | None = None) -> Parts:
    """Return parts that believe this of node 1, and have told everybody long ago."""
    parts = Parts(4, knobs)
    parts.roster.on_row(row(1, state, accuser=2), 0)
    while len(parts.roster.gossip):
        parts.roster.gossip.take(ROWS_MAX)
    parts.outbox.take()
    return parts


@pytest.mark.parametrize("state", [SUSPECT, DOWN])
def test_who_is_accused_hears_of_it_each_time(state: NodeState) -> None:
    parts = with_accused(state)
    for _ in range(20):
        parts.outbox.send(Kind.PING, ONE, NO_PROBE)
        parts.outbox.send(Kind.PING, NodeId(2), NO_PROBE)
        to_one, to_two = parts.sent()
        assert to_one.rows == (row(1, state, accuser=2),)
        assert to_two.rows == ()


def test_without_buddies_only_who_is_down_hears_of_it() -> None:
    knobs = Knobs(has_buddies=False)
    for state, rows in ((SUSPECT, ()), (DOWN, (row(1, DOWN, accuser=2),))):
        parts = with_accused(state, knobs)
        parts.outbox.send(Kind.PING, ONE, NO_PROBE)
        assert parts.sent()[0].rows == rows


def test_a_datagram_carries_no_more_than_its_limit() -> None:
    parts = Parts(2 * ROWS_MAX)
    for node in parts.others:
        parts.roster.on_row(row(node, SUSPECT, accuser=3), 0)
    parts.outbox.take()
    parts.outbox.send(Kind.PING, ONE, NO_PROBE)
    (sent,) = parts.sent()
    assert len(sent.rows) == ROWS_MAX
    assert sent.rows[0].node == 1


def test_effects_are_taken_once() -> None:
    parts = Parts(3)
    parts.outbox.send(Kind.PING, ONE, NO_PROBE)
    parts.roster.on_row(row(1, DOWN, accuser=2), 0)
    assert len(parts.outbox.take()) == 2
    assert parts.outbox.take() == []
