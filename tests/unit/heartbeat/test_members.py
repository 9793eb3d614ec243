"""Which news is newer: the order in which it arrives must not matter."""

import itertools

import pytest

from heartbeat.datagram import Row
from heartbeat.members import Member, Members
from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from tests.helpers.heartbeat_messages import DOWN, SUSPECT, UP, row

# From the oldest to the newest.
IN_ORDER = [
    row(1, UP, incarnation=1),
    row(1, SUSPECT, incarnation=1),
    row(1, DOWN, incarnation=1),
    row(1, UP, incarnation=1, refutation=1),
    row(1, DOWN, incarnation=1, refutation=1),
    row(1, UP, incarnation=2),
    row(1, SUSPECT, incarnation=2, refutation=3),
]


def believing(known: Row) -> Member:
    member = Member(NodeId(1))
    member.take(known)
    return member


@pytest.mark.parametrize(("older", "newer"), [*itertools.combinations(range(len(IN_ORDER)), 2)])
def test_newer_news_wins_and_older_does_not(older: int, newer: int) -> None:
    assert believing(IN_ORDER[older]).is_news(IN_ORDER[newer])
    assert not believing(IN_ORDER[newer]).is_news(IN_ORDER[older])


@pytest.mark.parametrize("known", IN_ORDER)
def test_the_same_again_is_no_news(known: Row) -> None:
    assert not believing(known).is_news(known)


@pytest.mark.parametrize("first", IN_ORDER)
def test_of_a_member_that_was_never_heard_all_is_news(first: Row) -> None:
    assert Member(NodeId(1)).is_news(first)


def test_a_suspicion_is_the_same_only_of_one_incarnation_and_one_refutation() -> None:
    member = believing(row(1, SUSPECT, refutation=1, accuser=2))
    assert member.is_same_suspicion(row(1, SUSPECT, refutation=1, accuser=3))
    assert not member.is_same_suspicion(row(1, SUSPECT, refutation=2, accuser=3))
    assert not member.is_same_suspicion(row(1, SUSPECT, refutation=1, incarnation=2))
    assert not member.is_same_suspicion(row(1, DOWN, refutation=1))
    assert not believing(row(1, UP)).is_same_suspicion(row(1, SUSPECT))


def test_what_we_tell_is_what_we_believe() -> None:
    assert Member(NodeId(1)).row() is None
    assert believing(row(1, DOWN, refutation=2, accuser=5)).row() == row(
        1, DOWN, refutation=2, accuser=5
    )


def test_members_come_and_go_and_one_that_was_gone_begins_anew() -> None:
    members = Members([NodeId(1), NodeId(2)])
    members[NodeId(1)].take(row(1, UP))
    assert members.on_members_changed([NodeId(1), NodeId(3)]) == [3]
    assert members[NodeId(1)].state is NodeState.UP
    assert members.get(NodeId(2)) is None
    assert members.on_members_changed([NodeId(3)]) == []
    assert members.on_members_changed([NodeId(3), NodeId(1)]) == [1]
    assert members[NodeId(1)].state is NodeState.JOINING


def test_suspects_live_and_those_never_heard_or_down_are_silent() -> None:
    members = Members([NodeId(number) for number in range(1, 5)])
    for number, state in ((1, UP), (2, SUSPECT), (3, DOWN)):
        members[NodeId(number)].take(row(number, state))
    assert members.live() == [1, 2]
    assert members.silent() == [3, 4]
    assert [members.count(state) for state in (UP, SUSPECT, DOWN, NodeState.JOINING)] == [1] * 4
    assert len(members) == len(members.all()) == 4
