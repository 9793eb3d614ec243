"""A rate as pages that may be moved now."""

import pytest

from ramsterd.remote.limits.page_rate import SAVED_SECONDS_MAX, Allowance


def moved(rate: int, seconds: float, *, tick_seconds: float, at_once: int = 1) -> int:
    """Return how many pages are moved in a time by somebody who moves `at_once` whenever any may be."""
    allowance, total = Allowance(rate), 0
    for tick in range(int(seconds / tick_seconds) + 1):
        allowance.on_tick(tick * tick_seconds)
        while allowance.pages:
            allowance.spend(at_once)
            total += at_once
    return total


@pytest.mark.parametrize("rate", [1, 7, 2000])
@pytest.mark.parametrize("at_once", [1, 64])
def test_the_rate_is_kept(rate: int, at_once: int) -> None:
    total = moved(rate, 100, tick_seconds=0.05, at_once=at_once)
    assert 0.98 * rate * 100 - at_once <= total <= rate * 100 + at_once


def test_nothing_moves_at_rate_0() -> None:
    assert moved(0, 100, tick_seconds=0.05) == 0


def test_after_a_pause_little_moves_at_once() -> None:
    allowance = Allowance(1000)
    assert allowance.on_tick(5.0) == 0
    assert allowance.on_tick(65.0) == 60
    assert allowance.pages == 1000 * SAVED_SECONDS_MAX


def test_what_was_too_much_is_made_good() -> None:
    allowance = Allowance(1024)
    allowance.on_tick(0.0)
    allowance.on_tick(1 / 16)
    assert allowance.pages == 64
    allowance.spend(192)
    for tick, pages in ((2, 0), (3, 0), (4, 64)):
        allowance.on_tick(tick / 16)
        assert allowance.pages == pages
