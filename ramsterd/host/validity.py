"""How long a certificate is valid, in the words of the log, `check-config` and `status`.  Pure."""

import enum
from datetime import UTC, datetime
from typing import Final

from config.durations import format_duration
from config.units import human_count

DAY_SECONDS: Final = 86_400
# From when on an end is announced.
WARN_SECONDS: Final = 30.0 * DAY_SECONDS


class Validity(enum.Enum):
    """How near its end a certificate is."""

    GOOD = enum.auto()
    ENDING = enum.auto()
    ENDED = enum.auto()


def judge_validity(seconds_left: float) -> Validity:
    """Return how near the end is; `seconds_left` is negative when it is over."""
    if seconds_left < 0:
        return Validity.ENDED
    return Validity.ENDING if seconds_left < WARN_SECONDS else Validity.GOOD


def format_span(seconds: float) -> str:
    """Return how long it is to the end, or since: whole days, and below a day what counts then."""
    if seconds >= DAY_SECONDS:
        return human_count(int(seconds // DAY_SECONDS), "day")
    return format_duration(seconds)


def format_validity(expires_at: float, *, at: float) -> str:
    """Return the date of its end and how long that is from `at`, both in seconds since 1970."""
    end = f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d}"
    span = format_span(abs(expires_at - at))
    return (
        f"expired on {end}, {span} ago" if expires_at < at else f"is valid until {end}, {span} left"
    )
