"""Any reads of any pages: windows are bounded, and no request names a page twice."""

from hypothesis import given, strategies as st

from ramsterd.remote.fetch.trend import WINDOW_PAGES_MAX, Trend

# Where, how long, in steps of what, how often; how much may be asked for, and what comes of it.
READS = st.tuples(
    st.integers(0, 1 << 16),
    st.integers(1, 300),
    st.one_of(st.just(0), st.integers(-100, 100)),
    st.integers(1, 9),
    st.integers(0, 512),
    st.sampled_from(["used", "late", "wasted"]),
)


@given(st.lists(READS, min_size=1, max_size=5))
def test_windows_are_bounded_and_no_page_is_asked_for_twice(
    reads: list[tuple[int, int, int, int, int, str]],
) -> None:
    trend = Trend(0, 1)
    for index, count, step, times, pages_max, outcome in reads:
        for each in range(times):
            # Of lengths that differ, with one stride.
            length = max(1, count - each % 3 * (count // 3))
            trend.on_read(max(0, index + each * (count + step) + count - length), length)
            taken = trend.take(pages_max)
            pages = [page for start, run in taken for page in range(start, start + run)]
            assert len(pages) <= max(pages_max, length)
            assert len(set(pages)) == len(pages)
            assert all(page >= 0 for page in pages)
            assert 0 <= trend.ahead <= WINDOW_PAGES_MAX + length
            assert 0 <= trend.window <= WINDOW_PAGES_MAX
            if outcome == "wasted":
                trend.on_wasted(len(pages))
            else:
                trend.on_used(len(pages), is_late=outcome == "late")
