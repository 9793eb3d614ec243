"""Mutes: codes that an operator knows of, which count for nothing for a while.  Pure.

A mute is of how bad the code is at that moment.  It ends after its time, and as soon as the code is
worse than that: with a higher severity, or with more nodes, exports or pages affected.  That the
code clears meanwhile, and comes back no worse, does not end it: the nodes of a rack are restarted
one after the other.  Mutes end with the process.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ramsterd.health.codes import Code, Finding, Severity

# A week: what is muted for longer is not known, but forgotten.
MUTE_SECONDS_MAX: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class MuteEnded:
    """A code counts again; `is_worse` if that is why."""

    code: Code
    is_worse: bool


@dataclass(frozen=True, slots=True)
class _Mute:
    until: float
    severity: Severity
    count: int

    def is_exceeded_by(self, finding: Finding) -> bool:
        """Whether a finding is worse than what was muted."""
        is_worse = finding.severity.value > self.severity.value
        return is_worse or finding.count > self.count


class Mutes:
    """At most one for each code."""

    def __init__(self) -> None:
        self._mutes: dict[Code, _Mute] = {}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._mutes)

    def mute(self, finding: Finding, seconds: float, now: float) -> None:
        """Mute a code as bad as it is now; again: from now on, as it is now."""
        assert 0 < seconds <= MUTE_SECONDS_MAX
        self._mutes[finding.code] = _Mute(now + seconds, finding.severity, finding.count)

    def unmute(self, code: Code) -> bool:
        """End a mute; return whether there was one."""
        return self._mutes.pop(code, None) is not None

    def seconds_left(self, code: Code, now: float) -> float:
        """Return for how long a code is muted yet; 0: it is not."""
        mute = self._mutes.get(code)
        return 0.0 if mute is None else max(0.0, mute.until - now)

    def on_findings(self, findings: Iterable[Finding], now: float) -> list[MuteEnded]:
        """Return which mutes end with what holds now."""
        found = {finding.code: finding for finding in findings}
        ended = []
        for code, mute in list(self._mutes.items()):
            is_worse = code in found and mute.is_exceeded_by(found[code])
            if is_worse or now >= mute.until:
                del self._mutes[code]
                ended.append(MuteEnded(code, is_worse))
        return ended
