from nodemanager.ids import Incarnation
from nodemanager.incarnations import (
    FLOOR_AHEAD_MILLISECONDS_MAX,
    INCARNATION_MAX,
    first_incarnation,
    is_believed,
    show_start,
)

NOW = 1_800_000_000_000
DAY = 24 * 3600 * 1000


def test_a_start_takes_the_clock_where_that_rises() -> None:
    assert first_incarnation(clock_milliseconds=NOW, last=0) == NOW
    assert first_incarnation(clock_milliseconds=NOW, last=NOW - DAY) == NOW


def test_a_start_is_newer_than_the_last_whatever_the_clock_says() -> None:
    for clock in (0, NOW - DAY, NOW - 1, NOW):
        assert first_incarnation(clock_milliseconds=clock, last=NOW) == NOW + 1


def test_a_floor_of_an_honest_peer_is_believed_however_wrong_our_clock() -> None:
    assert is_believed(Incarnation(NOW + DAY), clock_milliseconds=NOW)
    assert is_believed(Incarnation(NOW), clock_milliseconds=0)


def test_no_floor_brings_an_incarnation_near_the_last_there_is() -> None:
    """However often somebody says one: it is measured by the clock, never by an earlier floor."""
    incarnation = first_incarnation(clock_milliseconds=NOW, last=0)
    for _ in range(1000):
        highest = Incarnation(NOW + FLOOR_AHEAD_MILLISECONDS_MAX)
        assert is_believed(highest, clock_milliseconds=NOW)
        assert not is_believed(Incarnation(highest + 1), clock_milliseconds=NOW)
        incarnation = first_incarnation(clock_milliseconds=NOW, last=max(incarnation, highest))
    assert incarnation <= NOW + FLOOR_AHEAD_MILLISECONDS_MAX + 1000 < INCARNATION_MAX // 1_000_000


def test_a_start_is_shown_as_a_time_and_two_of_them_look_different() -> None:
    assert show_start(Incarnation(NOW)) == "2027-01-15 08:00:00.000 UTC"
    assert show_start(Incarnation(NOW + 1)) == "2027-01-15 08:00:00.001 UTC"


def test_a_start_that_no_calendar_has_is_shown_as_its_number() -> None:
    assert show_start(Incarnation(INCARNATION_MAX)) == f"incarnation {INCARNATION_MAX}"
