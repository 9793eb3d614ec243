"""What a check finds: ok, or what gets worse, what was found, what is expected, and the line to type.  Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """How a check ends; the words are those of the output."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


# Worst first.
ORDER: Final = (State.ERROR, State.WARNING, State.OK)
EXIT_STATUS: Final = {State.OK: 0, State.WARNING: 1, State.ERROR: 2}
assert set(ORDER) == set(EXIT_STATUS) == set(State)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check.  One that is not ok says all of it."""

    # Names are part of the JSON: they stay.
    check: str
    state: State
    found: str
    # What gets worse.
    risk: str = ""
    expected: str = ""
    # What an operator types.
    fix: str = ""
    # Whether that changes the machine at once, and nothing stops for it: `doctor --apply` types it.
    applies_now: bool = False

    def __post_init__(self) -> None:
        """Check that there is a line to type for whatever is not ok."""
        parts = (self.risk, self.expected, self.fix)
        assert all(parts) if self.state is not State.OK else not any(parts), self

    def __str__(self) -> str:
        """Return it without the line to type."""
        if self.state is State.OK:
            return self.found
        return f"{self.risk}: found {self.found}, expected {self.expected}"


def ok(check: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(check=check, state=State.OK, found=found)


def worst(findings: Iterable[Finding]) -> State:
    """Return the state that the exit status tells."""
    found = {finding.state for finding in findings}
    return next((state for state in ORDER if state in found), State.OK)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the same, in the order in which they matter; of equals in the order of the checks."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.state))
