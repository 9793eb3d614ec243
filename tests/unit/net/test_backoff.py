import random

from net.backoff import RECONNECT_SECONDS_FIRST, RECONNECT_SECONDS_MAX, Backoff


def test_delays_double_within_their_jitter_up_to_the_most() -> None:
    backoff = Backoff(random.Random(1))
    whole = RECONNECT_SECONDS_FIRST
    for _ in range(10):
        assert whole / 2 <= backoff.next_seconds() <= whole
        whole = min(whole * 2, RECONNECT_SECONDS_MAX)
    assert whole == RECONNECT_SECONDS_MAX


def test_a_reset_starts_over() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(5):
        backoff.next_seconds()
    backoff.reset()
    assert backoff.next_seconds() <= RECONNECT_SECONDS_FIRST


def test_the_same_seed_gives_the_same_delays() -> None:
    one, other = Backoff(random.Random(7)), Backoff(random.Random(7))
    assert [one.next_seconds() for _ in range(9)] == [other.next_seconds() for _ in range(9)]
