"""The health of a node over time: facts in, what `status`, metrics and `ramsterctl health` show out.  Pure.

Each snapshot of the node is judged here as it is taken.  So health is of the very figures beside
it, and changes are found however often that is; `take_news` has them for the log.
"""

from dataclasses import dataclass

from ramsterd.health.codes import Code, Finding, Severity
from ramsterd.health.facts import Facts, Past
from ramsterd.health.judge import judge
from ramsterd.health.mutes import MuteEnded, Mutes
from ramsterd.health.notes import notes
from ramsterd.health.recent import Recent
from ramsterd.health.tolerance import failure_tolerance
from ramsterd.health.watch import Change, Watch


class NothingToMute(Exception):
    """The code does not hold; the message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeStatistics:
    """A code that holds."""

    code: str
    severity: Severity
    summary: str
    details: tuple[str, ...]
    command: str
    active_seconds: float
    # For how long it counts for nothing yet; 0: it counts.
    muted_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthStatistics:
    """One snapshot: the worst severity that is not muted, and the codes that hold, the worst first."""

    severity: Severity = Severity.OK
    failure_tolerance_nodes: int = 0
    codes: tuple[CodeStatistics, ...] = ()
    # Members that get no new pages because an operator said so: a line for each.
    notes: tuple[str, ...] = ()


class Health:
    """See the module's text."""

    def __init__(self) -> None:
        self._watch = Watch()
        self._mutes = Mutes()
        self._refused_puts, self._long_rounds = Recent[int](0), Recent[int](0)
        self._pauses, self._paused_seconds = Recent[int](0), Recent[float](0.0)
        self._news: list[Change | MuteEnded] = []

    def on_facts(self, facts: Facts, now: float) -> HealthStatistics:
        """Judge a snapshot, and return how it stands."""
        past = Past(
            active=self._watch.active_codes,
            refused_puts=self._refused_puts.on_total(facts.memory.refused_puts_total, now),
            long_rounds=self._long_rounds.on_total(facts.process.long_rounds_total, now),
            pauses=self._pauses.on_total(facts.process.pauses_total, now),
            paused_seconds=self._paused_seconds.on_total(facts.process.paused_seconds_total, now),
        )
        self._news += self._watch.on_findings(judge(facts, past), now)
        self._news += self._mutes.on_findings(self._findings(), now)
        return self._statistics(facts, now)

    def _findings(self) -> list[Finding]:
        return [active.finding for active in self._watch.active]

    def _statistics(self, facts: Facts, now: float) -> HealthStatistics:
        codes = [
            CodeStatistics(
                code=active.finding.code.value,
                severity=active.finding.severity,
                summary=active.finding.summary,
                details=active.finding.details,
                command=active.finding.command,
                active_seconds=now - active.since,
                muted_seconds=self._mutes.seconds_left(active.finding.code, now),
            )
            for active in self._watch.active
        ]
        codes.sort(key=lambda each: (each.muted_seconds > 0, -each.severity.value))
        counting = [each.severity for each in codes if not each.muted_seconds]
        return HealthStatistics(
            severity=max(counting, key=lambda severity: severity.value, default=Severity.OK),
            failure_tolerance_nodes=failure_tolerance(facts),
            codes=tuple(codes),
            notes=notes(facts),
        )

    @property
    def is_settled(self) -> bool:
        """Whether time alone changes nothing: no code is about to appear or to clear, no mute is about to end."""
        return self._watch.is_settled and not self._mutes

    def take_news(self) -> list[Change | MuteEnded]:
        """Return what changed since the last call."""
        news, self._news = self._news, []
        return news

    def mute(self, code: Code, seconds: float, now: float) -> None:
        """Let a code that holds count for nothing for a while.

        Raises:
            NothingToMute: It does not hold.
        """
        finding = next((each for each in self._findings() if each.code is code), None)
        if finding is None:
            raise NothingToMute(f"{code.value} does not hold now: there is nothing to mute")
        self._mutes.mute(finding, seconds, now)

    def unmute(self, code: Code) -> None:
        """Let a code count again.

        Raises:
            NothingToMute: It is not muted.
        """
        if not self._mutes.unmute(code):
            raise NothingToMute(f"{code.value} is not muted: nothing has changed")
