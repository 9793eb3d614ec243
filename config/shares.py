"""Sizes as a part of this machine's memory: `"60%"`."""

import re
from fractions import Fraction
from typing import Final, Self

from config.errors import Mismatch
from config.memory import MemoryBound
from config.units import format_bytes, human_bytes

_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")
EXPECTED: Final = "more than 0% and at most 100%"


class Share(int):
    """A number of bytes like any other, that knows how it was written and of what it is a part."""

    written: str
    memory: MemoryBound

    def __new__(cls, written: str, memory: MemoryBound, *, step: int) -> Self:
        """Return what a percentage comes to, rounded down to a multiple of `step`.

        Raises:
            Mismatch: (a ValueError) It is no percentage from 0 to 100, or 0.
        """
        match = _SHARE.fullmatch(written)
        percent = Fraction(match[1]) if match is not None else Fraction(0)
        if not 0 < percent <= 100:  # noqa: PLR2004  percent
            raise Mismatch(EXPECTED)
        count = int(memory.limit_bytes * percent / 100)
        share = super().__new__(cls, count - count % step)
        share.written = written
        share.memory = memory
        return share


def is_share(value: object) -> bool:
    """Whether a value is written as a percentage, right or wrong."""
    return isinstance(value, str) and value.endswith("%")


def describe_size(count: int) -> str:
    """Return a size as its file has it.

    Of a share also what it comes to and of what it is a part.
    """
    if not isinstance(count, Share):
        return format_bytes(count)
    whole = human_bytes(count.memory.limit_bytes)
    return f"{human_bytes(count)} ({count.written} of {count.memory.name}, {whole})"
