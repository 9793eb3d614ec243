"""How long a certificate is valid, in the words of the log, `check-config` and `status`.  Pure."""

from datetime import UTC, datetime
from typing import Final

DAY_SECONDS: Final = 86_400
# From when on an end is announced.
WARN_SECONDS: Final = 30.0 * DAY_SECONDS


def format_validity(expires_at: float, *, at: float) -> str:
    """Return the date of its end and how many whole days that is from `at`, both in seconds since 1970."""
    end = f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d}"
    days, is_over = int(abs(expires_at - at) // DAY_SECONDS), expires_at < at
    count = "1 day" if days == 1 else f"{days:,} days"
    return f"expired on {end}, {count} ago" if is_over else f"is valid until {end}, {count} left"
