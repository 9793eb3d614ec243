"""A rate as pages that may be moved now."""

import pytest

from ramsterd.remote.limits.page_rate import SAVED_SECONDS_MAX, PageRate


def moved(rate: int, seconds: float, *, tick_seconds: float, at_once: int = 1) -> int:
    """Return how many pages are moved in a time by somebody who moves `at_once` whenever any may be."""
    page_rate, total = PageRate(rate), 0
    for tick in range(int(seconds / tick_seconds) + 1):
        page_rate.on_tick(tick * tick_seconds)
        while page_rate.pages:
            page_rate.spend(at_once)
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
    page_rate = PageRate(1000)
    assert page_rate.on_tick(5.0) == 0
    assert page_rate.on_tick(65.0) == 60
    assert page_rate.pages == 1000 * SAVED_SECONDS_MAX


def test_what_was_too_much_is_made_good() -> None:
    page_rate = PageRate(1024)
    page_rate.on_tick(0.0)
    page_rate.on_tick(1 / 16)
    assert page_rate.pages == 64
    page_rate.spend(192)
    for tick, pages in ((2, 0), (3, 0), (4, 64)):
        page_rate.on_tick(tick / 16)
        assert page_rate.pages == pages
