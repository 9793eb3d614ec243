"""Gets that wait: each is over once, and leaves nothing behind."""

import pytest

from ramsterd.core.page import PoolId
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet, PendingGets

ROW = 3
PAGE = b"page"


@pytest.fixture
def gets() -> PendingGets:
    return PendingGets()


def wait(
    gets: PendingGets,
    *serials: int,
    deadline: float = 10,
    is_ephemeral: bool = False,
    outwaits: bool = False,
    is_each: bool = False,
) -> PendingGet:
    """Begin a get of pages with these serials."""
    pending = PendingGet(
        PoolId(1), b"", range(len(serials)), [None] * len(serials), deadline, outwaits
    )
    pending.is_ephemeral = is_ephemeral
    pending.waits = set(range(len(serials))) if is_each else None
    gets.begin(pending)
    gets.want(pending, [(position, serial, ROW) for position, serial in enumerate(serials)])
    gets.count_down(pending)
    return pending


def serve(gets: PendingGets, serial: int, page: bytes | None = PAGE) -> None:
    for pending, position in gets.take(serial):
        gets.deliver(pending, position, page)


def test_a_get_is_over_when_its_last_page_is_there(gets: PendingGets) -> None:
    pending = wait(gets, 7, 8)
    serve(gets, 8)
    assert gets.take_done() == []
    gets.check_invariants({7})
    serve(gets, 7)
    assert gets.take_done() == [pending]
    assert gets.take_done() == []
    assert (pending.pages, pending.outcome) == ([PAGE, PAGE], None)
    gets.check_invariants(set())


def test_a_get_that_waits_for_nothing_is_over_at_once(gets: PendingGets) -> None:
    pending = wait(gets)
    assert gets.take_done() == [pending]


def test_all_who_wait_for_a_page_are_served_and_only_the_first_has_it_asked_for(
    gets: PendingGets,
) -> None:
    first, second = wait(gets, 7), wait(gets)
    assert gets.want(first, [(0, 7, ROW)]) == []
    assert gets.want(second, [(0, 8, ROW), (1, 7, ROW + 1), (2, 9, ROW)]) == [
        (0, 8, ROW), (2, 9, ROW),
    ]  # fmt: skip
    assert set(gets.wanted) == {7, 8, 9}
    assert [pending for pending, _ in gets.take(7)] == [first, first, second]
    assert 7 not in gets.wanted
    assert gets.take(7) == []


def test_waiters_that_are_put_back_wait_on(gets: PendingGets) -> None:
    pending = wait(gets, 7)
    gets.put_back(7, gets.take(7))
    serve(gets, 7)
    assert gets.take_done() == [pending]


def test_a_lost_page_ends_a_get_and_what_comes_later_changes_nothing(gets: PendingGets) -> None:
    pending = wait(gets, 7, 8)
    gets.finish(pending, GetOutcome.LOST)
    serve(gets, 7)
    serve(gets, 8)
    gets.give_up(pending, 0)
    assert gets.take_done() == [pending]
    assert pending.outcome is GetOutcome.LOST
    assert gets.unreachable == 0


def test_gets_give_up_at_their_deadlines_and_are_forgotten(gets: PendingGets) -> None:
    early, late = wait(gets, 7, 8, deadline=5), wait(gets, 8, deadline=6)
    assert gets.next_deadline() == 5
    assert not gets.expire(4.9)
    assert gets.expire(5)
    assert gets.take_done() == [early]
    assert early.outcome is GetOutcome.UNREACHABLE
    assert 7 not in gets.wanted
    assert gets.next_deadline() == 6
    gets.check_invariants({8})
    serve(gets, 8)
    assert gets.take_done() == [late]
    assert gets.next_deadline() is None
    assert gets.unreachable == 1


def test_ephemeral_pages_are_missed_and_persistent_ones_waited_for(gets: PendingGets) -> None:
    cached, kept = wait(gets, 7, 8, is_ephemeral=True), wait(gets, 9)
    gets.miss([7, 9, 10])
    assert gets.take_done() == []
    gets.miss([8])
    assert gets.take_done() == [cached]
    assert (cached.pages, cached.outcome) == ([None, None], None)
    assert gets.missed == 2
    assert not kept.is_over


def test_an_ephemeral_get_that_gives_up_has_missed_what_was_missing(gets: PendingGets) -> None:
    pending = wait(gets, 7, 8, 9, is_ephemeral=True)
    serve(gets, 8)
    assert gets.expire(10)
    assert (pending.pages, pending.outcome) == ([None, PAGE, None], None)
    assert (gets.missed, gets.unreachable) == (2, 0)


def test_a_page_that_nobody_will_ask_for_is_found(gets: PendingGets) -> None:
    wait(gets, 7)
    with pytest.raises(AssertionError, match="nobody will ask"):
        gets.check_invariants({8})


def test_a_get_that_outwaits_gives_up_so_much_later(gets: PendingGets) -> None:
    gets.outwait_seconds = 90
    pending, other = wait(gets, 7, deadline=10, outwaits=True), wait(gets, 7, deadline=11)
    assert gets.next_deadline() == 10
    assert not gets.expire(10)
    assert gets.outwaited == 1
    assert gets.next_deadline() == 11
    assert gets.expire(11)
    assert gets.take_done() == [other]
    gets.check_invariants({7})
    assert gets.next_deadline() == 100
    assert not gets.expire(99)
    assert gets.expire(100)
    assert gets.take_done() == [pending]
    assert pending.outcome is GetOutcome.UNREACHABLE
    assert gets.next_deadline() is None
    assert gets.unreachable == 2


def test_a_get_that_outwaits_is_served_behind_its_deadline(gets: PendingGets) -> None:
    gets.outwait_seconds = 90
    pending = wait(gets, 7, outwaits=True)
    gets.expire(10)
    serve(gets, 7)
    assert gets.take_done() == [pending]
    assert pending.outcome is None
    gets.check_invariants(set())


def test_a_get_that_outwaits_may_be_cancelled(gets: PendingGets) -> None:
    gets.outwait_seconds = 90
    pending = wait(gets, 7, outwaits=True)
    gets.expire(10)
    gets.cancel([pending])
    assert gets.next_deadline() is None
    assert not gets.wanted
    assert gets.take_done() == []


@pytest.mark.parametrize("deadline", [0.1 * each for each in range(1, 30)])
def test_no_rounding_wakes_a_get_too_early(gets: PendingGets, deadline: float) -> None:
    """Else its owner would be woken again and again, and never find anything to do."""
    gets.outwait_seconds = 110.1
    pending = wait(gets, 7, deadline=deadline, outwaits=True)
    gets.expire(deadline)
    last = gets.next_deadline()
    assert last is not None
    gets.expire(last)
    assert gets.take_done() == [pending]


# Pages that are each for itself.


def test_a_page_that_is_for_itself_is_told_of_when_it_comes(gets: PendingGets) -> None:
    """Whatever becomes of the others; and once in a pass, however many came."""
    pending = wait(gets, 7, 8, 9, is_each=True)
    assert pending.reads == 3
    serve(gets, 9)
    serve(gets, 7)
    assert gets.take_done() == [pending]
    assert (pending.take_came(), pending.reads, pending.is_over) == ([2, 0], 1, False)
    gets.check_invariants({8})
    ((_, position),) = gets.take(8)
    gets.fail(pending, position, GetOutcome.LOST)
    assert gets.take_done() == [pending]
    assert (pending.take_came(), pending.failed) == ([1], {1: GetOutcome.LOST})
    assert pending.is_over
    assert pending.outcome is None
    gets.check_invariants(set())


def test_at_the_deadline_only_those_fail_that_still_wait(gets: PendingGets) -> None:
    pending = wait(gets, 7, 8, 9, is_each=True)
    serve(gets, 8)
    gets.take_done()
    assert pending.take_came() == [1]
    assert gets.expire(10)
    assert gets.take_done() == [pending]
    assert pending.take_came() == [0, 2]
    assert pending.failed == dict.fromkeys([0, 2], GetOutcome.UNREACHABLE)
    assert (pending.is_over, gets.unreachable, gets.wanted) == (True, 2, {})


def test_of_ephemeral_ones_those_are_a_miss(gets: PendingGets) -> None:
    pending = wait(gets, 7, 8, is_each=True, is_ephemeral=True)
    gets.miss([8])
    assert gets.expire(10)
    assert pending.take_came() == [1, 0]
    assert (pending.failed, pending.is_over, gets.missed) == ({}, True, 2)


def test_those_of_a_client_that_is_gone_are_over(gets: PendingGets) -> None:
    pending = wait(gets, 7, 8, is_each=True)
    serve(gets, 7)
    gets.cancel([pending])
    assert pending.is_over
    assert gets.wanted == {}
    gets.check_invariants(set())
