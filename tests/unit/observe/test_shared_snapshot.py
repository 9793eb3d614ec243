"""All that look in the same moment see the same snapshot, and nobody an old one."""

import pytest

from ramsterd.observe.shared_snapshot import MOMENT_SECONDS, SharedSnapshot
from ramsterd.observe.snapshot import DaemonStatistics
from tests.helpers.made_statistics import made_statistics

MADE = made_statistics()


class Taker:
    """Counts the snapshots, and may fail."""

    def __init__(self) -> None:
        self.now = 100.0
        self.taken = 0
        self.is_broken = False
        self.shared = SharedSnapshot(self._take, clock=lambda: self.now)

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


def test_one_that_could_not_be_taken_fails_for_each_that_looks() -> None:
    taker = Taker()
    taker.shared()
    taker.now += 1.0
    taker.is_broken = True
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            taker.shared()
    assert taker.taken == 3
