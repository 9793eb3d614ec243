"""Durations as people type them at a command: `"10m"`, `"1h"`, `"90"` seconds."""

import itertools
import re
from typing import Final

from config.errors import Mismatch

UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# A hundred years are none: they are a mistake.
DURATION_SECONDS_MAX: Final = 366 * UNIT_SECONDS["d"]
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd]?)")
EXPECTED: Final = "a duration such as 30s, 10m, 1h or 2d, of a year at most"


def parse_duration(text: str) -> int:
    """Return the seconds that a text such as `"10m"` means; a plain number is of seconds.

    Raises:
        Mismatch: (a ValueError) It is none, is nothing, or is more than a year.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Mismatch(EXPECTED)
    seconds = int(match[1]) * UNIT_SECONDS[match[2] or "s"]
    if not 0 < seconds <= DURATION_SECONDS_MAX:
        raise Mismatch(EXPECTED)
    return seconds


def format_duration(seconds: float) -> str:
    """Return it rounded, for people: `95` is `1m 35s`, `7260` is `2h 1m`."""
    left = max(0, round(seconds))
    units = list(reversed(UNIT_SECONDS.items()))
    for (name, unit), (smaller, part) in itertools.pairwise(units):
        if left >= unit:
            rest = left % unit // part
            return f"{left // unit}{name}" + (f" {rest}{smaller}" if rest else "")
    return f"{left}s"
