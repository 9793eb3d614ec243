from nodemanager.ids import NodeId
from ramsterd.remote.limits.refusal_backoff import (
    DOUBLED_MAX,
    SILENCE_DOUBLED_MAX,
    SILENCE_SECONDS,
    RefusalBackoff,
)

PEER, OTHER = NodeId(1), NodeId(2)


def test_each_refusal_after_a_wait_doubles_the_next_up_to_a_bound() -> None:
    refusals, now, waits = RefusalBackoff(1.0), 10.0, []
    for _ in range(DOUBLED_MAX + 3):
        until = refusals.on_refused(PEER, now)
        assert refusals.refused_until(PEER) == until
        waits.append(until - now)
        now = until
    assert waits == [1, 2, 4, 8, 16, 16, 16]


def test_frames_refused_together_are_one_refusal() -> None:
    refusals = RefusalBackoff(1.0)
    assert [refusals.on_refused(PEER, 10 + each / 10) for each in range(4)] == [11] * 4
    assert refusals.on_refused(PEER, 11.0) == 13


def test_what_is_stored_ends_the_row() -> None:
    refusals = RefusalBackoff(1.0)
    for now in (10.0, 11.0, 13.0):
        refusals.on_refused(PEER, now)
    refusals.on_stored(PEER)
    assert refusals.on_refused(PEER, 20.0) == 21


def test_what_was_given_up_may_arrive_until_more_is_stored_or_the_link_is_lost() -> None:
    refusals = RefusalBackoff(1.0)
    for settle in (refusals.on_stored, refusals.on_link_lost):
        refusals.on_unanswered(PEER, 10.0)
        refusals.on_heard(PEER)
        assert refusals.is_unsettled(PEER), "that STATUS may be older than the PUT"
        settle(PEER)
        assert not refusals.is_unsettled(PEER)


def test_peers_are_judged_one_by_one() -> None:
    refusals = RefusalBackoff(1.0)
    refusals.on_refused(PEER, 10.0)
    refusals.on_unanswered(PEER, 10.0)
    assert refusals.refused_until(OTHER) == 0
    assert not refusals.is_doubtful(OTHER)


def test_who_left_a_put_unanswered_is_doubtful_until_it_is_heard() -> None:
    refusals = RefusalBackoff(1.0)
    refusals.on_unanswered(PEER, 10.0)
    assert refusals.is_doubtful(PEER)
    refusals.on_heard(PEER)
    assert not refusals.is_doubtful(PEER)
    refusals.on_unanswered(PEER, 10.0)
    refusals.on_stored(PEER)
    assert not refusals.is_doubtful(PEER)


def test_each_silence_after_a_wait_doubles_the_next_until_something_is_stored() -> None:
    """It is heard meanwhile, so that it is not doubtful: a STATUS is no answer."""
    refusals, now, waits = RefusalBackoff(1.0), 10.0, []
    for _ in range(SILENCE_DOUBLED_MAX + 2):
        refusals.on_unanswered(PEER, now)
        refusals.on_unanswered(PEER, now + 0.1)
        refusals.on_heard(PEER)
        waits.append(refusals.silent_until(PEER) - now)
        now = refusals.silent_until(PEER)
    assert waits[:3] == [SILENCE_SECONDS, 2 * SILENCE_SECONDS, 4 * SILENCE_SECONDS]
    assert waits[-1] == waits[-2] == SILENCE_SECONDS * 2**SILENCE_DOUBLED_MAX
    refusals.on_stored(PEER)
    assert refusals.silent_until(PEER) == 0


def test_more_room_ends_the_present_wait_and_not_the_row() -> None:
    refusals = RefusalBackoff(1.0)
    refusals.on_refused(PEER, 10.0)
    refusals.on_more_room(PEER)
    assert refusals.refused_until(PEER) == 0
    assert refusals.on_refused(PEER, 10.5) == 11, "it belongs to the first refusal"
    assert refusals.refused_until(PEER) == 11
    assert refusals.on_refused(PEER, 11.0) == 13


def test_who_refused_is_listed_until_it_is_forgotten() -> None:
    refusals = RefusalBackoff(1.0)
    refusals.on_refused(PEER, 10.0)
    assert refusals.refusals() == {PEER: 11}
    refusals.forget(PEER)
    assert refusals.refusals() == {}
