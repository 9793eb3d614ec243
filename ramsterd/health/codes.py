"""The codes of `ramsterctl health`: a fixed set, each with its severities and its hysteresis.  Pure.

A code has a heading in docs/health.md.  Codes are part of the JSON, of metrics and of alerts, so
they stay: the set only grows.
"""

import enum
from dataclasses import dataclass
from typing import Final


class Severity(enum.Enum):
    """How bad it is; the larger value is worse."""

    OK = 0
    WARN = 1
    ERR = 2


class Code(enum.Enum):
    """What can be wrong.  Of those that are equally bad the first is shown first."""

    PAGES_LOST = "PAGES_LOST"
    EXPORT_LOST = "EXPORT_LOST"
    MEMORY_FULL = "MEMORY_FULL"
    UNWRITTEN = "UNWRITTEN"
    CERT_EXPIRED = "CERT_EXPIRED"
    CORRUPT_FOUND = "CORRUPT_FOUND"
    NODE_DOWN = "NODE_DOWN"
    PAGES_AT_RISK = "PAGES_AT_RISK"
    LINK_DOWN = "LINK_DOWN"
    MEMBERS_DIFFER = "MEMBERS_DIFFER"
    STARVED = "STARVED"
    JOB_OVERDUE = "JOB_OVERDUE"
    MEMORY_NEARFULL = "MEMORY_NEARFULL"
    MEMORY_STUCK = "MEMORY_STUCK"
    SWAP_UNSAFE = "SWAP_UNSAFE"
    NOT_KEPT = "NOT_KEPT"
    CERT_EXPIRING = "CERT_EXPIRING"
    CLOCK_SKEW = "CLOCK_SKEW"
    VERSION_SKEW = "VERSION_SKEW"


@dataclass(frozen=True, slots=True)
class Rule:
    """How bad a code can be, and how long it must hold, or be over, before that counts."""

    severities: tuple[Severity, ...]
    # Trouble that is over sooner was none: a peer that restarts has no link for a second or two.
    appear_seconds: float = 0.0
    # What comes and goes by itself stays on for so long, and so does the worse severity.  What an
    # operator ends by a command ends at once.
    clear_seconds: float = 0.0


_WARN: Final = (Severity.WARN,)
_ERR: Final = (Severity.ERR,)
_BOTH: Final = (Severity.WARN, Severity.ERR)
RULES: Final = {
    Code.PAGES_LOST: Rule(_ERR),
    Code.EXPORT_LOST: Rule(_ERR),
    Code.MEMORY_FULL: Rule(_ERR, clear_seconds=10.0),
    Code.UNWRITTEN: Rule(_BOTH),
    Code.CERT_EXPIRED: Rule(_ERR),
    Code.CORRUPT_FOUND: Rule(_BOTH),
    Code.NODE_DOWN: Rule(_BOTH, clear_seconds=5.0),
    Code.PAGES_AT_RISK: Rule(_WARN, appear_seconds=3.0, clear_seconds=5.0),
    Code.LINK_DOWN: Rule(_WARN, appear_seconds=5.0, clear_seconds=5.0),
    Code.MEMBERS_DIFFER: Rule(_BOTH),
    # Several late answers or pauses come before it: a node that gets no CPU says so while it can.
    Code.STARVED: Rule(_WARN, clear_seconds=10.0),
    # A node that has no news of the job asks for some first.
    Code.JOB_OVERDUE: Rule(_WARN, appear_seconds=3.0),
    Code.MEMORY_NEARFULL: Rule(_WARN, appear_seconds=5.0, clear_seconds=10.0),
    Code.MEMORY_STUCK: Rule(_WARN),
    Code.SWAP_UNSAFE: Rule(_WARN, appear_seconds=10.0, clear_seconds=10.0),
    Code.NOT_KEPT: Rule(_WARN),
    Code.CERT_EXPIRING: Rule(_WARN),
    # A second answer has to say the same (ramsterd.asking.comparer).
    Code.CLOCK_SKEW: Rule(_WARN, appear_seconds=10.0, clear_seconds=10.0),
    # Each rolling upgrade has some of it: it is trouble where nobody ends the upgrade.
    Code.VERSION_SKEW: Rule(_WARN, appear_seconds=3600.0, clear_seconds=10.0),
}
assert set(RULES) == set(Code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One code that holds now."""

    code: Code
    severity: Severity
    # One line with figures, and one for each node, export or pool that it is about.
    summary: str
    details: tuple[str, ...] = ()
    # What an operator types next.
    command: str
    # How many are affected, where more of them are worse.
    count: int = 1

    def __post_init__(self) -> None:
        """Check that it is one of its code, and says what to type."""
        assert self.severity in RULES[self.code].severities, self
        assert self.summary, self
        assert self.command, self
        assert all(self.details), self


def warn(
    code: Code, summary: str, *, command: str, details: tuple[str, ...] = (), count: int = 1
) -> Finding:
    """Return a finding that is a warning."""
    return Finding(
        code=code, severity=Severity.WARN, summary=summary, details=details, command=command,
        count=count,
    )  # fmt: skip


def err(
    code: Code, summary: str, *, command: str, details: tuple[str, ...] = (), count: int = 1
) -> Finding:
    """Return a finding that is an error."""
    return Finding(
        code=code, severity=Severity.ERR, summary=summary, details=details, command=command,
        count=count,
    )  # fmt: skip
