"""How long the guest's program waited for a page, phase by phase; the table is made by tests/plugins/stalls.py."""

import re
from dataclasses import dataclass

PHASE = re.compile(r"^hog: (.+), slowest page (\d+) ms$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stall:
    """The slowest page of a phase."""

    milliseconds: int
    phase: str


def stalls(said: str) -> list[Stall]:
    """Return those of all phases that are over."""
    return [Stall(int(milliseconds), phase) for phase, milliseconds in PHASE.findall(said)]


def worst(found: list[Stall]) -> Stall:
    """Return the longest; the program may have ended before any phase did."""
    return max(found, key=lambda stall: stall.milliseconds, default=Stall(0, "none"))
