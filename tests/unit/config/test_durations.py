import pytest
from hypothesis import given, strategies as st

from config.durations import DURATION_SECONDS_MAX, format_duration, parse_duration
from config.errors import Mismatch


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1), ("90", 90), ("30s", 30), ("10m", 600), ("1h", 3600), ("2d", 172_800)],
)
def test_a_duration_has_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "0", "0h", "-1", "1.5h", "1 h", "10M", "1w", "367d", "9" * 400, "\uff11h"]
)
def test_what_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(Mismatch, match="a duration such as 30s, 10m, 1h"):
        parse_duration(text)


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert 0 < parse_duration(text) <= DURATION_SECONDS_MAX
    except Mismatch:
        pass


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"), (0.4, "0s"), (59, "59s"), (60, "1m"), (95, "1m 35s"), (3600, "1h"),
        (7260, "2h 1m"), (7259, "2h"), (90_000, "1d 1h"),
    ],
)  # fmt: skip
def test_it_is_shown_in_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
