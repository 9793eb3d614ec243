"""Job: one piece of long work from its beginning to its end.  Pure.

States: a job runs, waits while nothing moves, and is overdue past its deadline; from each of these
it may go to each other one, and to an end.  An end is for good.

A job ends when its machine says so, or when nothing is left.  What trails (a drained node's own
pages, which come home as far as they fit) is waited for while it moves.
"""

from dataclasses import dataclass
from typing import Final

from config.durations import format_duration
from config.units import human_count
from ramsterd.core.stall import Stall
from ramsterd.jobs.work import LIVE_STATES, RULES, Ending, JobKind, JobState, Work

# Nothing has moved for so long: the job says what it waits for.
STALL_SECONDS: Final = 10.0
# What trails has not moved for so long: no more of it fits.
TRAILING_SECONDS: Final = 10.0
# Over how long the rate is averaged that the end is estimated by.  If nothing has moved for so long
# there is no estimate.
RATE_SECONDS: Final = 5.0
# Rates of less say nothing.
RATE_MIN: Final = 0.1
# A number that wobbles, or falls by less than a hundredth, would be called progress for ever.
PROGRESS_PER_CENT_MIN: Final = 1

# What is done with pages, as a past participle.
_DID: Final = {
    JobKind.DRAIN: "moved",
    JobKind.REBUILD: "copied again",
    JobKind.RECALL: "moved",
    JobKind.VERIFY: "checked",
}
assert set(_DID) == set(JobKind)


def _has_progressed(lowest: int, number: int) -> bool:
    return (lowest - number) * 100 >= max(lowest * PROGRESS_PER_CENT_MIN, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatistics:
    """One job, as it is shown."""

    id: str
    kind: JobKind
    state: JobState
    node: str
    what: str
    # Empty: the daemon does it by itself.
    by: str
    reason: str
    age_seconds: float
    # None: it goes on.
    ended_seconds: float | None
    seconds_to_deadline: float | None
    noun: str
    done: int
    # None: not known yet.
    total: int | None
    # What comes home behind it, as far as it fits; None: not known yet.
    trailing: int | None
    # How old these figures are: the node that works said them last.
    as_of_seconds: float
    per_second: float
    # None: nothing moves, or nobody knows.
    seconds_left: float | None
    waits_for: str
    # One line; empty while it goes on.
    outcome: str
    remarks: tuple[str, ...]


class Job:
    """See the module's text."""

    def __init__(self, job_id: str, work: Work, *, now: float) -> None:
        self.id = job_id
        self.work = work
        self.began_at = now - work.age_seconds
        self.ended_at: float | None = None
        self.state = JobState.RUNNING
        self.outcome = ""
        self.done = 0
        self._waits_for = ""
        self._peak = work.left or 0
        self._left_max = work.left_max
        # Whether the node that works was restarted, and has counted anew since.
        self._is_counted_anew = False
        self._base = (work.done_total or 0) if RULES[work.kind].recurs else 0
        self._lost_base = work.lost_total
        self._left, self._trailing = Stall(_has_progressed), Stall(_has_progressed)
        self._rate = 0.0
        self._looked_at = self._moved_at = now
        self._paused_seconds = 0.0
        # Since when there is nothing to do.
        self._idle_since: float | None = None

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None

    def on_work(
        self, work: Work, *, now: float, clear_seconds: float, paused_seconds: float = 0.0
    ) -> None:
        """See how it stands; it may end by that.

        Args:
            work: How it stands.
            now: Monotonic seconds.
            clear_seconds: For how long there must be nothing to do.
            paused_seconds: For how long of all seconds until now nobody could look.
        """
        assert self.is_live
        self._paused_seconds = paused_seconds
        self.work = work
        self._measure(work, now)
        if work.ending is not None:
            self.end(work.ending, now=now)
        elif self._is_over(work, now, clear_seconds):
            self.end(self._ending(), now=now)
        else:
            self.state = self._live_state(work, now)

    def on_gone(self, *, now: float) -> None:
        """The machine knows nothing of it any more: it was called off."""
        left = self.work.left
        if left == 0:
            self.end(self._ending(), now=now)
            return
        why = "" if left is None else f"{human_count(left, self.work.noun)} left"
        self.end(Ending(JobState.CANCELLED, self._told_done(), why), now=now)

    def end(self, ending: Ending, *, now: float) -> None:
        """End, for good."""
        assert self.is_live
        assert ending.state not in LIVE_STATES
        self.state, self.ended_at = ending.state, now
        self._waits_for, self._rate = "", 0.0
        why = f": {ending.why};" if ending.why else ","
        is_partial = self.work.is_resumed and self.work.left_max is None
        since = " since ramsterd started" if is_partial or self._is_counted_anew else ""
        is_late = ending.state is JobState.DONE and _is_late(self.work)
        late = ", after its deadline" if is_late else ""
        took = told_seconds(now - self.began_at)
        self.outcome = f"{ending.state.value}{why} {ending.did}{since} in {took}{late}"

    def _measure(self, work: Work, now: float) -> None:
        before = self.done
        self._peak = self._peak_of(work)
        if work.done_total is not None:
            self.done = max(0, work.done_total - self._base)
        elif work.left is not None:
            self.done = self._peak - work.left
        seconds, self._looked_at = now - self._looked_at, now
        if seconds > 0:
            rate = max(0, self.done - before) / seconds
            self._rate += (rate - self._rate) * min(1.0, seconds / RATE_SECONDS)
        if self.done > before:
            self._moved_at = now

    def _peak_of(self, work: Work) -> int:
        if work.left_max is None:
            return max(self._peak, work.left or 0)
        self._is_counted_anew |= self._left_max is not None and work.left_max < self._left_max
        self._left_max = work.left_max
        return max(work.left_max, work.left or 0)

    def _is_over(self, work: Work, now: float, clear_seconds: float) -> bool:
        if work.is_active:
            self._idle_since = None
            is_trailing = work.left == 0 and bool(work.trailing)
            return is_trailing and self._trails_in_vain(work, now)
        self._idle_since = now if self._idle_since is None else self._idle_since
        return now - self._idle_since >= clear_seconds

    def _trails_in_vain(self, work: Work, now: float) -> bool:
        # Old figures say nothing of now: only the same ones again are a standstill.
        at = now - self._paused_seconds - work.trailing_as_of_seconds
        return self._trailing.look(work.trailing or 0, at) >= TRAILING_SECONDS

    def _live_state(self, work: Work, now: float) -> JobState:
        at = now - self._paused_seconds - work.as_of_seconds
        stalled = 0.0 if not work.left else self._left.look(work.left, at)
        is_stalled = stalled >= STALL_SECONDS
        self._waits_for = work.waits_for or (work.stall_reason if is_stalled else "")
        # Whether it is late is known only of work whose figures are.
        if work.left and _is_late(work):
            return JobState.OVERDUE
        return JobState.WAITING if self._waits_for else JobState.RUNNING

    def _ending(self) -> Ending:
        lost = self.work.lost_total - self._lost_base
        if lost > 0:
            why = f"{human_count(lost)} lost with the last copy"
            return Ending(JobState.FAILED, self._told_done(), why)
        return Ending(JobState.DONE, self._told_done())

    def _told_done(self) -> str:
        return f"{human_count(self.done, self.work.noun)} {_DID[self.work.kind]}"

    def statistics(self, now: float) -> JobStatistics:
        """Return a snapshot."""
        work, left = self.work, self.work.left if self.is_live else None
        deadline = work.seconds_to_deadline if self.is_live else None
        is_known = work.left is not None and not work.is_counting
        has_moved = now - self._moved_at < RATE_SECONDS and self._rate >= RATE_MIN
        is_moving = is_known and bool(left) and has_moved and not self._waits_for
        return JobStatistics(
            id=self.id,
            kind=work.kind,
            state=self.state,
            node=work.node,
            what=work.what,
            by=work.order.by,
            reason=work.order.reason,
            age_seconds=now - self.began_at,
            ended_seconds=None if self.ended_at is None else now - self.ended_at,
            seconds_to_deadline=deadline,
            noun=work.noun,
            done=self.done,
            total=self.done + work.left if work.left is not None and is_known else None,
            trailing=work.trailing,
            as_of_seconds=work.as_of_seconds if self.is_live else 0.0,
            per_second=self._rate,
            seconds_left=(left or 0) / self._rate if is_moving else None,
            waits_for=self._waits_for,
            outcome=self.outcome,
            remarks=work.remarks,
        )


def _is_late(work: Work) -> bool:
    return work.seconds_to_deadline is not None and work.seconds_to_deadline < 0


def told_seconds(seconds: float) -> str:
    """Return how long something took, for people."""
    if seconds < 1:
        return "less than 1 s"
    return f"{seconds:.0f} s" if seconds < 60 else format_duration(seconds)  # noqa: PLR2004  a minute
