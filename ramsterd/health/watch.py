"""Which codes count as holding: what is judged, with hysteresis, and what changed.  Pure.

A code appears when it has held for its `appear_seconds`, and clears when it was over for its
`clear_seconds`; so what goes and comes at its border changes nothing.  It gets worse at once, and
better as it clears.  While it stays on, the finding that held last is shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ramsterd.health.codes import RULES, Code, Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A code appeared, got worse or better, or cleared."""

    # As it was found last.
    finding: Finding
    # OK: it did not hold, or does not any more.
    before: Severity
    after: Severity
    # Since it appeared.
    seconds: float

    @property
    def code(self) -> Code:
        """Which code."""
        return self.finding.code


@dataclass(frozen=True, slots=True)
class Active:
    """A code that holds, and since when."""

    finding: Finding
    since: float


@dataclass(slots=True)
class _Entry:
    # What is shown; of one that does not count yet, what was found first.
    finding: Finding
    since: float
    has_appeared: bool = False
    # Since when it is over, or is less bad; None: it is as bad as is shown.
    better_since: float | None = None


class Watch:
    """All codes of one node."""

    def __init__(self) -> None:
        self._entries: dict[Code, _Entry] = {}

    @property
    def active(self) -> list[Active]:
        """Return what holds, in the order of the codes."""
        entries = ((code, self._entries.get(code)) for code in Code)
        return [
            Active(entry.finding, entry.since)
            for _, entry in entries
            if entry is not None and entry.has_appeared
        ]

    @property
    def is_settled(self) -> bool:
        """Whether time alone changes nothing: no code is about to appear, to clear, or to be less bad."""
        entries = self._entries.values()
        return all(each.has_appeared and each.better_since is None for each in entries)

    @property
    def active_codes(self) -> frozenset[Code]:
        """Return the codes that hold."""
        return frozenset(active.finding.code for active in self.active)

    def on_findings(self, findings: Iterable[Finding], now: float) -> list[Change]:
        """Return what changes with what is found now."""
        found = {finding.code: finding for finding in findings}
        changes = (
            self._on_found(found[code], now) if code in found else self._on_absent(code, now)
            for code in Code
        )
        return [change for change in changes if change is not None]

    def _on_found(self, found: Finding, now: float) -> Change | None:
        rule = RULES[found.code]
        entry = self._entries.setdefault(found.code, _Entry(found, now))
        if not entry.has_appeared:
            entry.finding = found
            if now < entry.since + rule.appear_seconds:
                return None
            entry.has_appeared, entry.since = True, now
            return Change(finding=found, before=Severity.OK, after=found.severity, seconds=0.0)
        before = entry.finding.severity
        if found.severity.value >= before.value:
            entry.better_since = None
        elif not self._is_better_for_good(entry, now):
            return None
        entry.finding = found
        if found.severity is before:
            return None
        entry.better_since = None
        return Change(finding=found, before=before, after=found.severity, seconds=now - entry.since)

    def _on_absent(self, code: Code, now: float) -> Change | None:
        entry = self._entries.get(code)
        if entry is None:
            return None
        if entry.has_appeared and not self._is_better_for_good(entry, now):
            return None
        del self._entries[code]
        if not entry.has_appeared:
            return None
        return Change(
            finding=entry.finding,
            before=entry.finding.severity,
            after=Severity.OK,
            seconds=now - entry.since,
        )

    def _is_better_for_good(self, entry: _Entry, now: float) -> bool:
        if entry.better_since is None:
            entry.better_since = now
        return now >= entry.better_since + RULES[entry.finding.code].clear_seconds
