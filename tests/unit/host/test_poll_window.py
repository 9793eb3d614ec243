"""The window follows what came: it grows with what is near, and ends with what is far."""

from hypothesis import given, strategies as st

from ramsterd.host.poll_window import (
    FIRST_NANOSECONDS,
    PAUSE_NANOSECONDS_MAX,
    PAUSE_NANOSECONDS_MIN,
    PollWindow,
)

MAX = 100_000


def windows(*waits: int, nanoseconds_max: int = MAX) -> list[int]:
    window = PollWindow(nanoseconds_max)
    found = []
    for each in waits:
        window.on_waited(each, 0)
        found.append(window.nanoseconds)
    return found


def test_what_comes_a_little_later_makes_it_grow_up_to_the_limit() -> None:
    assert windows(*[60_000] * 5) == [4000, 8000, 16_000, 32_000, 64_000]
    assert windows(*[90_000] * 7)[-2:] == [MAX, MAX]


def test_what_comes_within_it_leaves_it() -> None:
    assert windows(*[60_000] * 5, 60_000, 1, 64_000)[-3:] == [64_000] * 3


def test_what_comes_later_than_the_longest_ends_it() -> None:
    assert windows(*[60_000] * 5, MAX + 1) == [4000, 8000, 16_000, 32_000, 64_000, 0]


def test_an_idle_loop_does_not_poll() -> None:
    assert set(windows(*[250_000_000] * 9)) == {0}


def test_none_is_none() -> None:
    assert set(windows(0, 1, 5000, 10**9, nanoseconds_max=0)) == {0}


@given(waits=st.lists(st.integers(0, 4 * MAX)), nanoseconds_max=st.integers(0, MAX))
def test_it_is_never_longer_than_the_limit(waits: list[int], nanoseconds_max: int) -> None:
    found = windows(*waits, nanoseconds_max=nanoseconds_max)
    assert all(0 <= each <= nanoseconds_max for each in found)
    for wait, before, after in zip(waits, [0, *found], found, strict=False):
        assert after <= max(before, min(wait, before) * 2, FIRST_NANOSECONDS)


def pauses(*idle: int) -> list[int]:
    """Find the core crowded again and again, so long after the end of each pause; return how long each pause was."""
    window, now, found = PollWindow(MAX), 0, []
    for each in (0, *idle):
        now += each
        window.on_waited(50_000, now)
        assert window.nanoseconds, "the pause is over"
        window.on_crowded(now)
        assert window.nanoseconds == 0
        began_at = now
        while not window.nanoseconds:
            now += PAUSE_NANOSECONDS_MIN // 2
            window.on_waited(50_000, now)
        found.append(now - began_at)
    return found


def test_where_others_want_the_core_no_window_begins_for_a_while() -> None:
    assert pauses() == [PAUSE_NANOSECONDS_MIN]


def test_that_is_longer_each_time_up_to_a_limit() -> None:
    found = pauses(*[1000] * 9)
    assert found[:4] == [PAUSE_NANOSECONDS_MIN * 2**power for power in range(4)]
    assert found[-2:] == [PAUSE_NANOSECONDS_MAX] * 2


def test_and_short_again_when_nobody_wanted_it_for_as_long() -> None:
    found = pauses(1000, 1000, PAUSE_NANOSECONDS_MIN * 4)
    assert found == [PAUSE_NANOSECONDS_MIN * each for each in (1, 2, 4, 1)]
