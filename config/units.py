"""Sizes as people write them: `"512MiB"` or a plain number of bytes."""

import re
from typing import Final

from config.errors import Mismatch

# Binary multiples only: "MB" means two different numbers to two people, so it is refused.
UNIT_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# More digits than any size needs; longer text is a mistake, and turning it into a number costs
# time.
DIGITS_MAX: Final = 20
_SIZE: Final = re.compile(rf"([0-9]{{1,{DIGITS_MAX}}}) ?([A-Za-z]*)")
EXPECTED: Final = "a size such as 4096, '64KiB', '512MiB' or '2GiB'"


def parse_bytes(value: object) -> int:
    """Return the number of bytes that an int or a text like `"512MiB"` means.

    Raises:
        Mismatch: (a ValueError) It is neither, is negative, or has a unit that is not B, KiB, MiB,
            GiB or TiB.
    """
    if isinstance(value, bool):
        raise Mismatch(f"{EXPECTED}, not a boolean")
    if isinstance(value, int):
        if value < 0:
            raise Mismatch(f"{EXPECTED}, not a negative number")
        return value
    if not isinstance(value, str):
        raise Mismatch(EXPECTED)
    match = _SIZE.fullmatch(value)
    if match is None:
        raise Mismatch(EXPECTED)
    digits, unit = match.groups()
    if unit and unit not in UNIT_BYTES:
        raise Mismatch(f"{EXPECTED}; the units are {', '.join(UNIT_BYTES)}")
    return int(digits) * UNIT_BYTES[unit or "B"]


def format_bytes(count: int) -> str:
    """Return the shortest exact text that `parse_bytes` reads back: `536870912` is `512MiB`."""
    for unit, unit_bytes in reversed(UNIT_BYTES.items()):
        if count and count % unit_bytes == 0:
            return f"{count // unit_bytes}{unit}"
    return f"{count}B"


def human_bytes(count: int) -> str:
    """Return a size for people, rounded to one decimal: `1610612736` is `1.5 GiB`, `1000` is `1000 B`."""
    name, unit_bytes = "B", 1
    for larger, larger_bytes in UNIT_BYTES.items():
        # What would round up to 1024.0 is one of the next unit already.
        if count >= larger_bytes - larger_bytes / 2048:
            name, unit_bytes = larger, larger_bytes
    if unit_bytes == 1:
        return f"{count} B"
    return f"{count / unit_bytes:.1f}".removesuffix(".0") + f" {name}"


def human_count(count: int, noun: str = "page") -> str:
    """Return how many there are, for people: `4192` is `4,192 pages`, `1` is `1 page`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
