"""How long a block waits for as many peers as it wants, and for how many it leaves then."""

from config.limits import COPIES_MAX
from ramsterd.remote.send.degrade import ABSENCE_PART, GRACE_PART, SETTLED_SECONDS, Degrade

WAIT_SECONDS = 8.0
GRACE = GRACE_PART * WAIT_SECONDS
ABSENCE = ABSENCE_PART * WAIT_SECONDS


def make() -> Degrade:
    return Degrade(put_wait_seconds_max=WAIT_SECONDS)


def test_with_enough_peers_a_block_leaves_for_as_many_as_it_wants() -> None:
    degrade = make()
    assert degrade.copies_now(2, 1, able=2, present=9, now=10.0) == 2
    assert degrade.copies_now(1, 1, able=5, present=9, now=10.0) == 1
    assert degrade.next_deadline() is None


def test_a_short_shortage_is_waited_for() -> None:
    degrade = make()
    assert degrade.copies_now(2, 1, able=1, present=9, now=10.0) == 0
    assert degrade.is_waiting
    assert degrade.next_deadline() == 10.0 + GRACE
    degrade.on_deadline(10.0 + GRACE)
    assert degrade.next_deadline() is None
    assert degrade.copies_now(2, 1, able=2, present=9, now=10.0 + GRACE) == 2


def test_after_a_while_it_leaves_for_those_there_are() -> None:
    degrade = make()
    degrade.look(1, 9, 10.0)
    assert degrade.copies_now(2, 1, able=1, present=9, now=10.0 + GRACE) == 1
    assert degrade.copies_now(2, 1, able=1, present=9, now=99.0) == 1, "and waits no more"


def test_a_shortage_that_ended_begins_anew() -> None:
    degrade = make()
    degrade.look(1, 9, 10.0)
    degrade.look(2, 9, 10.5)
    degrade.look(2, 9, 10.5 + SETTLED_SECONDS)
    assert degrade.copies_now(2, 1, able=1, present=9, now=10.0 + GRACE) == 0
    assert degrade.next_deadline() == 10.0 + 2 * GRACE


def test_it_never_leaves_for_fewer_than_it_must_have() -> None:
    degrade = make()
    degrade.look(1, 9, 10.0)
    assert degrade.copies_now(2, 2, able=1, present=9, now=99.0) == 0
    assert degrade.copies_now(1, 1, able=0, present=9, now=99.0) == 0
    assert degrade.next_deadline() is None, "no time will help"


def test_each_number_of_peers_has_its_own_time() -> None:
    """Of three wanted there are two for long; when there is one, it is waited for the second again."""
    degrade = make()
    degrade.look(2, 9, 10.0)
    assert degrade.copies_now(3, 1, able=2, present=9, now=20.0) == 2
    assert degrade.copies_now(3, 1, able=1, present=9, now=21.0) == 0
    assert degrade.next_deadline() == 21.0 + GRACE
    assert degrade.copies_now(3, 1, able=1, present=9, now=21.0 + GRACE) == 1


def test_what_is_attainable_follows() -> None:
    degrade = make()
    assert degrade.attainable(10.0) == COPIES_MAX
    degrade.look(1, 9, 10.0)
    assert degrade.attainable(10.0) == COPIES_MAX
    assert degrade.attainable(10.0 + GRACE) == 1
    degrade.look(0, 9, 20.0)
    assert degrade.attainable(20.0 + GRACE) == 0
    degrade.look(COPIES_MAX, 9, 30.0)
    degrade.look(COPIES_MAX, 9, 30.0 + SETTLED_SECONDS)
    assert degrade.attainable(31.0) == COPIES_MAX


def test_a_peer_that_is_not_there_at_all_is_waited_for_half_as_long() -> None:
    degrade = make()
    assert degrade.copies_now(2, 1, able=1, present=1, now=10.0) == 0
    assert degrade.next_deadline() == 10.0 + ABSENCE
    assert degrade.copies_now(2, 1, able=1, present=1, now=10.0 + ABSENCE) == 1


def test_one_that_is_back_and_has_no_room_is_waited_for_as_such() -> None:
    degrade = make()
    degrade.look(1, 1, 10.0)
    assert degrade.copies_now(2, 1, able=1, present=2, now=10.5) == 0
    degrade.look(1, 2, 10.5 + SETTLED_SECONDS)
    assert degrade.copies_now(2, 1, able=1, present=2, now=10.0 + ABSENCE) == 0
    assert degrade.copies_now(2, 1, able=1, present=2, now=10.0 + GRACE) == 1


def test_an_absence_that_is_noticed_late_began_before() -> None:
    degrade = make()
    degrade.look(2, 2, 10.0)
    degrade.look(1, 1, 12.0, since=12.0 - ABSENCE)
    assert degrade.copies_now(2, 1, able=1, present=1, now=12.0) == 1


def test_room_for_a_moment_after_each_status_ends_no_shortage() -> None:
    """It is used while it is there; else a cluster that is nearly full would wait for ever."""
    degrade = make()
    waited = []
    for tick in range(int(GRACE / SETTLED_SECONDS) + 1):
        now = 10.0 + tick * SETTLED_SECONDS
        assert degrade.copies_now(2, 1, able=2, present=2, now=now) == 2
        waited.append(degrade.copies_now(2, 1, able=1, present=2, now=now + 0.1))
    assert waited[0] == 0
    assert waited[-1] == 1
