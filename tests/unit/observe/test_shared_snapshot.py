"""All that look in the same moment see the same snapshot, and nobody an old one that something has happened since."""

import pytest

from ramsterd.observe.shared_snapshot import MOMENT_SECONDS, REST_SECONDS, SharedSnapshot
from ramsterd.observe.snapshot import DaemonStatistics
from tests.helpers.made_statistics import made_statistics

MADE = made_statistics()


class Taker:
    """Counts the snapshots, and may fail."""

    def __init__(self) -> None:
        self.now = 100.0
        self.taken = 0
        self.is_broken = False
        self.sign = self.asked = 0
        self.is_settled = False
        self.shared = SharedSnapshot(
            self._take,
            signs=self._signs,
            is_settled=lambda _: self.is_settled,
            clock=lambda: self.now,
        )

    def _signs(self) -> int:
        self.asked += 1
        return self.sign

    def _take(self) -> DaemonStatistics:
        self.taken += 1
        if self.is_broken:
            raise ZeroDivisionError
        return MADE


def test_one_is_enough_for_a_moment() -> None:
    taker = Taker()
    assert taker.shared() is MADE
    taker.now += MOMENT_SECONDS / 2
    assert taker.shared() is MADE
    assert taker.taken == 1
    taker.now += MOMENT_SECONDS
    taker.shared()
    assert taker.taken == 2


def looks(taker: Taker, seconds: float) -> int:
    """Look each second; return how many snapshots were taken."""
    before = taker.taken
    for _ in range(int(seconds)):
        taker.now += 1.0
        taker.shared()
    return taker.taken - before


def test_one_is_enough_while_nothing_happens_and_time_changes_nothing() -> None:
    taker = Taker()
    assert looks(taker, 10) == 10
    taker.is_settled = True
    assert looks(taker, 3 * REST_SECONDS) == 3


def test_whether_anything_has_happened_is_asked_once_in_a_moment() -> None:
    taker = Taker()
    taker.is_settled = True
    taker.shared()
    taker.now += 1.0
    assert taker.shared() is taker.shared()
    assert (taker.taken, taker.asked) == (1, 2)


def test_whatever_happens_is_seen_at_the_next_look() -> None:
    taker = Taker()
    taker.is_settled = True
    looks(taker, 3)
    taker.sign += 1
    assert looks(taker, 1) == 1
    assert looks(taker, 1) == 0


def test_one_that_could_not_be_taken_fails_for_each_that_looks() -> None:
    taker = Taker()
    taker.shared()
    taker.now += 1.0
    taker.is_broken = True
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            taker.shared()
    assert taker.taken == 3
