"""What a reader reads next: which trends are found, and how windows grow and shrink."""

import random

import pytest

from ramsterd.remote.fetch.trend import (
    FRAME_PAGES,
    NEAR_PAGES,
    STRIDES_MAX,
    WINDOW_FIRST,
    WINDOW_PAGES_MAX,
    Trend,
    majority,
)

NO_BOUND = 1 << 20


def read(trend: Trend, *runs: tuple[int, int]) -> None:
    for index, count in runs:
        trend.on_read(index, count)


def in_order(count: int = 8, reads: int = 5, *, start: int = 0) -> Trend:
    """Return the trend of a reader in order."""
    trend = Trend(start, count)
    read(trend, *((start + each * count, count) for each in range(1, reads)))
    return trend


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], None), ([7], 7), ([1, 2], None), ([1, 2, 1], 1), ([1, 1, 2, 2], None), ([3, 1, 3, 3], 3)],
)
def test_the_majority_is_more_than_half(values: list[int], expected: int | None) -> None:
    assert majority(values) == expected


def test_the_fourth_read_in_order_shows_a_trend() -> None:
    assert in_order(reads=3).take(NO_BOUND) == []
    assert in_order(reads=4).take(NO_BOUND) == [(32, WINDOW_FIRST)]


def test_reads_of_any_length_are_in_order() -> None:
    trend = Trend(0, 8)
    read(trend, (8, 1), (9, 32), (41, 3), (44, 5))
    assert trend.take(NO_BOUND) == [(49, WINDOW_FIRST)]


def test_a_stride_is_found() -> None:
    trend = Trend(0, 4)
    read(trend, *((20 * each, 4) for each in range(1, 6)))
    runs = trend.take(NO_BOUND)
    assert runs[:3] == [(120, 4), (140, 4), (160, 4)]
    assert sum(count for _, count in runs) == WINDOW_FIRST
    assert trend.take(NO_BOUND) == [], "all that the window has room for is asked for"
    trend.window *= 4
    assert trend.take(NO_BOUND)[0] == (120 + 20 * len(runs), 4)


def test_a_reader_from_behind_to_the_beginning() -> None:
    trend = Trend(40, 4)
    read(trend, (36, 4), (32, 4), (28, 4), (24, 4))
    assert trend.take(NO_BOUND) == [(index, 4) for index in (20, 16, 12, 8, 4, 0)]


def test_some_reads_elsewhere_do_not_end_a_trend() -> None:
    trend = Trend(0, 8)
    for each in range(1, STRIDES_MAX):
        trend.on_read(8 * each, 8)
        if each % 4 == 3:
            assert not trend.on_read(8 * each - 100, 1)
    assert trend.take(NO_BOUND) == [(8 * STRIDES_MAX, WINDOW_FIRST)]


def test_reads_anywhere_have_none() -> None:
    rng = random.Random(1)
    trend = Trend(0, 1)
    for _ in range(10_000):
        trend.on_read(rng.randrange(1 << 20), rng.choice([1, 8, 32]))
        assert trend.take(NO_BOUND) == []


def test_the_same_page_again_and_again_is_no_trend() -> None:
    trend = Trend(7, 1)
    read(trend, *[(7, 1)] * 10)
    assert trend.take(NO_BOUND) == []


def test_what_a_reader_in_order_leaves_out_it_has_passed() -> None:
    trend = in_order()
    assert trend.take(NO_BOUND) == [(40, WINDOW_FIRST)]
    assert not trend.on_read(48, 8)
    assert (trend.end, trend.ahead) == (56, WINDOW_FIRST - 16)
    assert not trend.on_read(40, 8), "as it comes back"
    assert trend.end == 56


def test_a_reader_that_goes_elsewhere_begins_anew() -> None:
    trend = in_order()
    turn = trend.turn
    assert [trend.on_read(500 + 40 * each, 8) for each in range(8)].count(True) > 0
    assert trend.turn > turn


# Windows.


def test_a_window_doubles_while_pages_come_late() -> None:
    trend = in_order()
    windows = [trend.window]
    for _ in range(12):
        trend.on_used(trend.window, is_late=True)
        windows.append(trend.window)
    assert windows[:3] == [WINDOW_FIRST, 2 * WINDOW_FIRST, 4 * WINDOW_FIRST]
    assert windows[-1] == WINDOW_PAGES_MAX


def test_a_window_stays_while_all_comes_in_time() -> None:
    trend = in_order(reads=4)
    trend.take(NO_BOUND)
    for _ in range(4):
        trend.on_read(trend.end, 8)
        trend.on_used(8, is_late=False)
    assert trend.window == WINDOW_FIRST
    trend.on_read(trend.end, 8)
    for _ in range(4):
        trend.on_used(8, is_late=False)
    assert trend.window == 2 * WINDOW_FIRST, "the reader had come further than what was asked for"


def test_a_window_halves_while_pages_come_in_vain_and_closes() -> None:
    trend = in_order()
    trend.window = 4 * WINDOW_FIRST
    trend.on_wasted(2 * WINDOW_FIRST - 1)
    assert trend.window == 4 * WINDOW_FIRST
    trend.on_wasted(1)
    assert trend.window == 2 * WINDOW_FIRST
    trend.on_wasted(WINDOW_FIRST)
    trend.on_wasted(WINDOW_FIRST // 2)
    assert trend.window == 0
    read(trend, (40, 8), (48, 8))
    assert trend.take(NO_BOUND) == []
    read(trend, (56, 8), (64, 8))
    assert trend.take(NO_BOUND) == [(72, WINDOW_FIRST)], "as it has shown again"


def test_what_is_used_outweighs_some_waste() -> None:
    trend = in_order(reads=4)
    for _ in range(10):
        trend.on_wasted(WINDOW_FIRST // 2 - 1)
        trend.on_used(WINDOW_FIRST, is_late=False)
    assert trend.window == WINDOW_FIRST


def test_few_pages_are_not_asked_for() -> None:
    trend = in_order()
    trend.window = 1024
    assert trend.take(1024) == [(40, 1024)]
    trend.on_read(40, FRAME_PAGES - 1)
    assert trend.take(NO_BOUND) == []
    trend.on_read(40 + FRAME_PAGES - 1, 1)
    assert trend.take(NO_BOUND) == [(1064, FRAME_PAGES)]
    assert NEAR_PAGES > FRAME_PAGES
