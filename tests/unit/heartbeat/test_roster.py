"""What is believed, and what is counted of it."""

from heartbeat.knobs import SELF_DOUBT_SUSPECTS_MIN
from nodemanager.ids import Incarnation, NodeId
from tests.helpers.detector_parts import Parts
from tests.helpers.heartbeat_messages import DOWN, SUSPECT, UP, row

ONE = NodeId(1)


def test_a_suspicion_that_is_denied_is_counted_as_cleared() -> None:
    roster = Parts(5).roster
    roster.accuse(ONE, 0)
    roster.on_row(row(1, UP, refutation=1), 1)
    assert (roster.accusations_total, roster.suspicions_total) == (1, 1)
    assert (roster.cleared_suspicions_total, roster.downs_total) == (1, 0)


def test_a_confirmation_is_an_accusation_and_no_new_suspicion() -> None:
    roster = Parts(5).roster
    roster.on_row(row(1, SUSPECT, accuser=2), 0)
    roster.accuse(ONE, 0)
    roster.accuse(ONE, 1)
    assert (roster.accusations_total, roster.suspicions_total) == (2, 1)


def test_a_suspicion_that_nobody_denies_ends_in_down_which_may_be_denied_too() -> None:
    roster = Parts(5).roster
    roster.accuse(ONE, 0)
    roster.end_suspicions(roster.next_deadline())
    assert (roster.downs_total, roster.cleared_suspicions_total) == (1, 0)
    roster.on_row(row(1, UP, refutation=1), 50)
    assert (roster.cleared_downs_total, roster.cleared_suspicions_total) == (1, 0)


def test_a_new_incarnation_clears_nothing_of_the_old_one() -> None:
    roster = Parts(5).roster
    roster.on_row(row(1, DOWN, accuser=2), 0)
    roster.on_row(row(1, UP, incarnation=2), 1)
    assert (roster.downs_total, roster.cleared_downs_total) == (1, 0)


def test_the_link_clears_a_down_in_the_same_incarnation() -> None:
    roster = Parts(5).roster
    roster.on_row(row(1, DOWN, accuser=2), 10)
    roster.on_linked(ONE, Incarnation(1), 11)
    assert roster.cleared_downs_total == 1


def test_of_what_comes_over_the_link_of_a_node_that_is_up_nothing_follows() -> None:
    roster = Parts(5).roster
    assert roster.on_linked(ONE, Incarnation(2), 10), "it was not heard before, as such"
    assert not roster.on_linked(ONE, Incarnation(2), 11)
    assert roster.members[ONE].linked_at == 11
    assert not roster.on_linked(ONE, Incarnation(1), 12)
    assert roster.members[ONE].linked_at == 11, "an earlier one says nothing of this"
    roster.accuse(ONE, 13)
    assert roster.on_linked(ONE, Incarnation(2), 14)


def test_one_accuser_waits_six_times_as_long_as_three() -> None:
    alone, together = Parts(10).roster, Parts(10).roster
    alone.accuse(ONE, 0)
    for accuser in (2, 3, 4):
        together.on_row(row(1, SUSPECT, accuser=accuser), 0)
    assert alone.next_deadline() == 6 * together.next_deadline() == 24


def test_our_doubt_keeps_confirmed_suspicions_from_ending() -> None:
    roster = Parts(2 * SELF_DOUBT_SUSPECTS_MIN).roster
    for node in (1, 2, 3):
        for accuser in (3, 4, 5):
            roster.on_row(row(node, SUSPECT, accuser=accuser), 0)
    doubts = [roster.is_in_doubt]
    roster.end_suspicions(5)
    assert roster.downs_total == 0
    roster.on_row(row(3, UP, refutation=1), 6)
    assert [*doubts, roster.is_in_doubt] == [True, False]
    roster.end_suspicions(6)
    assert roster.downs_total == 2


def test_each_denial_is_higher_than_what_it_denies_and_costs_trust_in_ourselves() -> None:
    parts = Parts(3)
    parts.roster.on_row(row(0, SUSPECT, refutation=4, accuser=1), 0)
    parts.roster.on_row(row(0, SUSPECT, refutation=4, accuser=2), 0)
    assert parts.roster.refutation == 5
    assert parts.roster.refutations_total == 1
    assert parts.awareness.multiplier == 2
    assert parts.roster.gossip.take(9) == [row(0, UP, refutation=5, accuser=0)]


def test_news_of_strangers_is_none() -> None:
    parts = Parts(3)
    parts.roster.on_row(row(9, DOWN, accuser=1), 0)
    assert parts.judged() == []
    assert not len(parts.roster.gossip)


def test_who_is_down_already_is_not_accused() -> None:
    parts = Parts(3)
    parts.roster.on_row(row(1, DOWN, accuser=2), 0)
    assert parts.judged() == [(1, DOWN)]
    parts.roster.accuse(ONE, 1)
    assert parts.judged() == []
    assert parts.roster.accusations_total == 0


def test_our_sleep_gives_suspects_as_much_more_time() -> None:
    roster = Parts(5).roster
    roster.accuse(ONE, 0)
    ends_at = roster.next_deadline()
    roster.postpone(7)
    assert roster.next_deadline() == ends_at + 7
