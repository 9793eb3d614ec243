"""The jobs of a node: those that go on, and the last ones that ended.  Pure.

The table does no work, and keeps none: each look brings all work that the machines know of, and
what is new begins a job, what is over ends one.  So a job can't disagree with the machine that does
it, and nothing has to be undone when the daemon ends.

A job is named by its kind and a number that only rises, `drain-3`.  The number of a drain is the
version of the membership that began it, so it has one name on all nodes.
"""

import enum
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Final, TypeAlias

from ramsterd.jobs.job import Job, JobStatistics
from ramsterd.jobs.work import (
    BY_ITSELF,
    ENDED_STATES,
    LIVE_STATES,
    RULES,
    JobKind,
    JobState,
    Order,
    Work,
)

# Ended jobs that are shown, and for how long.
ENDED_JOBS_MAX: Final = 64
ENDED_SECONDS_MAX: Final = 7 * 86_400.0
# What nobody has told the log yet; more is not told.
NEWS_MAX: Final = 256

Key: TypeAlias = tuple[JobKind, str]


class JobChange(enum.Enum):
    """What happened to a job."""

    BEGAN = "began"
    OVERDUE = "overdue"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class JobNews:
    """One change, for the log."""

    change: JobChange
    job: JobStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedStatistics:
    """How many jobs of a kind ended, since the daemon started."""

    done: int = 0
    failed: int = 0
    cancelled: int = 0


assert [each.name for each in fields(EndedStatistics)] == [each.value for each in ENDED_STATES]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsStatistics:
    """All jobs: those that go on first, and then the ended ones, the latest first."""

    jobs: tuple[JobStatistics, ...] = ()
    ended_total: dict[JobKind, EndedStatistics] = field(default_factory=dict)


class JobTable:
    """See the module's text."""

    def __init__(
        self,
        *,
        ended_jobs_max: int = ENDED_JOBS_MAX,
        ended_seconds_max: float = ENDED_SECONDS_MAX,
    ) -> None:
        self._ended_seconds_max = ended_seconds_max
        self._live: dict[Key, Job] = {}
        # The latest first.
        self._ended: deque[Job] = deque(maxlen=ended_jobs_max)
        # Work that is over for good and still known to its machine: it begins no other job.
        self._over: set[Key] = set()
        # Work that is no job yet, as it was when it appeared, and when that was.
        self._appeared: dict[Key, tuple[float, Work]] = {}
        self._last_number = dict.fromkeys(JobKind, 0)
        self._orders: dict[JobKind, Order] = {}
        self._ended_totals = dict.fromkeys(JobKind, EndedStatistics())
        self._news: deque[JobNews] = deque(maxlen=NEWS_MAX)
        self._now = 0.0

    def expect(self, kind: JobKind, order: Order) -> None:
        """An operator begins work of a kind in this step: the job that the next look begins is theirs."""
        self._orders[kind] = order

    @property
    def is_at_rest(self) -> bool:
        """Whether no job goes on, and none is about to begin."""
        return not (self._live or self._appeared)

    def look(self, works: Iterable[Work], *, now: float, paused_seconds: float = 0.0) -> None:
        """Take note of all work that there is.

        Args:
            works: All of it.
            now: Monotonic seconds that go on while this process is stopped.
            paused_seconds: For how long of them it was: nothing stood still then.
        """
        self._now = now
        present: set[Key] = set()
        for work in sorted(works, key=lambda each: each.number):
            key = work.kind, work.key
            assert key not in present, "two machines do the same work"
            present.add(key)
            self._on_work(key, work, now, paused_seconds)
        for key in self._live.keys() - present:
            self._live[key].on_gone(now=now)
            self._on_ended(key)
        self._over &= present
        self._appeared = {key: each for key, each in self._appeared.items() if key in present}
        self._orders.clear()
        while self._ended and now - (self._ended[-1].ended_at or now) > self._ended_seconds_max:
            self._ended.pop()

    def _on_work(self, key: Key, work: Work, now: float, paused_seconds: float) -> None:
        rule = RULES[work.kind]
        if key in self._over:
            return
        job = self._live.get(key)
        if job is None:
            if not self._has_appeared(key, work, now):
                return
            job = self._begin(key)
        # Who ordered it is known only as it begins.
        work = work if work.order != BY_ITSELF else replace(work, order=job.work.order)
        was_overdue = job.state is JobState.OVERDUE
        job.on_work(work, now=now, clear_seconds=rule.clear_seconds, paused_seconds=paused_seconds)
        if not job.is_live:
            self._on_ended(key)
            if not rule.recurs:
                self._over.add(key)
        elif job.state is JobState.OVERDUE and not was_overdue:
            self._tell(JobChange.OVERDUE, job)

    def _has_appeared(self, key: Key, work: Work, now: float) -> bool:
        rule = RULES[work.kind]
        if rule.recurs and not (work.is_active and work.left):
            self._appeared.pop(key, None)
            return False
        appeared_at, _ = self._appeared.setdefault(key, (now, work))
        return now - appeared_at >= rule.appear_seconds

    def _begin(self, key: Key) -> Job:
        # What was done before it counted as a job is done by the job.
        appeared_at, work = self._appeared.pop(key)
        if work.order == BY_ITSELF:
            work = replace(work, order=self._orders.pop(work.kind, BY_ITSELF))
        job = Job(f"{work.kind.value}-{self._number(work)}", work, now=appeared_at)
        self._live[key] = job
        if not work.is_resumed:
            self._tell(JobChange.BEGAN, job)
        return job

    def _number(self, work: Work) -> int:
        # Versions rise.  Two drains have one where two nodes began them at the same time.
        number = max(work.number, self._last_number[work.kind] + 1)
        self._last_number[work.kind] = number
        return number

    def _on_ended(self, key: Key) -> None:
        job = self._live.pop(key)
        self._ended.appendleft(job)
        totals, name = self._ended_totals[job.work.kind], job.state.value
        more = {name: getattr(totals, name) + 1}
        self._ended_totals[job.work.kind] = replace(totals, **more)
        # A node that was drained before this daemon started is no news.
        if job.done or not job.work.is_resumed:
            self._tell(JobChange.ENDED, job)

    def _tell(self, change: JobChange, job: Job) -> None:
        if job.work.is_ours:
            self._news.append(JobNews(change, job.statistics(self._now)))

    def take_news(self) -> list[JobNews]:
        """Return what happened since the last call."""
        news = list(self._news)
        self._news.clear()
        return news

    def find(self, job_id: str) -> Job | None:
        """Return the job of a name, ended or not."""
        jobs = (*self._live.values(), *self._ended)
        return next((job for job in jobs if job.id == job_id), None)

    def of(self, kind: JobKind, key: str) -> Job | None:
        """Return the job that does some work, or did it last."""
        jobs = (*self._live.values(), *self._ended)
        return next((job for job in jobs if (job.work.kind, job.work.key) == (kind, key)), None)

    def statistics(self) -> JobsStatistics:
        """Return a snapshot, as of the last look."""
        order = list(JobKind)
        live = sorted(
            self._live.values(), key=lambda job: (order.index(job.work.kind), job.began_at)
        )
        return JobsStatistics(
            jobs=tuple(job.statistics(self._now) for job in (*live, *self._ended)),
            ended_total=dict(self._ended_totals),
        )

    def check_invariants(self) -> None:
        """Assert what must be true between calls."""
        jobs = [*self._live.values(), *self._ended]
        assert len({job.id for job in jobs}) == len(jobs), "two jobs of one name"
        assert all(job.is_live and job.state in LIVE_STATES for job in self._live.values())
        assert all(not job.is_live and job.outcome for job in self._ended)
        assert not self._over & self._live.keys(), "work that is over, and goes on"
