"""The jobs of this node, looked at with each snapshot, and their changes told to the log and to the events.

One is looked at every `JOBS_SECONDS` in any case, every `REST_SECONDS` while there is no job, and
after each pause of the process.  Nodes that drain are asked how far they are: by themselves, by the node where the operator was, by nodes whose operator watches, and by all nodes
once at the beginning, and once in a while after the deadline.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import trio

from config.event_kinds import EventKind, about
from nodemanager.ids import NodeId
from ramsterd.host.certificate import wall_clock
from ramsterd.host.loop_clock import sleep_to_turn, world_time
from ramsterd.jobs.job import Job, JobStatistics
from ramsterd.jobs.table import JobChange, JobNews, JobTable
from ramsterd.jobs.work import JobKind, JobState
from ramsterd.observe.health_watch import HEALTH_SECONDS
from ramsterd.observe.job_asking import DrainAsking
from ramsterd.observe.job_facts import Moment, works_of
from ramsterd.observe.snapshot import DaemonStatistics

logger = logging.getLogger("ramster.jobs")

# A snapshot among 12 nodes takes 0.6 ms.
JOBS_SECONDS: Final = 1.0
# As often as health is looked at: one snapshot is enough for both.
REST_SECONDS: Final = HEALTH_SECONDS


class JobWatch:
    """See the module's text."""

    def __init__(
        self,
        statistics: Callable[[], DaemonStatistics],
        ask_drained: Callable[[NodeId], None],
        *,
        look: Callable[[], DaemonStatistics] | None = None,
        wall: Callable[[], float] = wall_clock,
        clock: Callable[[], float] = world_time,
    ) -> None:
        """Wire it.

        Args:
            statistics: Takes a snapshot, and has it looked at by `seen`.
            ask_drained: Asks a node that drains how far it is.
            look: Takes a snapshot, too, where one of a moment ago is as good; None: takes a new one.
            wall: Seconds since 1970.
            clock: Monotonic seconds that go on while the process is stopped.
        """
        self.statistics = statistics
        self._snapshot = look or statistics
        self.wall = wall
        self.table = JobTable()
        self._asking = DrainAsking()
        self._ask_drained = ask_drained
        self._clock = clock

    def now(self) -> float:
        """Return the time by which jobs are judged."""
        return self._clock()

    def seen(self, now: DaemonStatistics) -> DaemonStatistics:
        """Return a snapshot with the jobs that follow from it."""
        at = Moment(wall=self.wall(), uptime_seconds=now.uptime_seconds)
        works = works_of(now.node, now.engine, now.membership.drains, at)
        paused_seconds = now.pauses.paused_seconds_total
        self.table.look(works, now=self._clock(), paused_seconds=paused_seconds)
        return replace(now, jobs=self.table.statistics())

    async def run(self) -> None:
        """Look, ask and tell until cancelled."""
        while True:
            self._look_at(self._snapshot())
            await sleep_to_turn(REST_SECONDS if self.table.is_at_rest else JOBS_SECONDS)

    def look(self) -> None:
        """Look, ask and tell once, with what is so now."""
        self._look_at(self.statistics())

    def _look_at(self, now: DaemonStatistics) -> None:
        for node in self._asking.due(now, at=trio.current_time()):
            self._ask_drained(node)
        self.tell()

    def on_watched(self, job: Job) -> None:
        """An operator looks at a job, and will soon again."""
        self._asking.on_watched(job.work.node, at=trio.current_time())

    def tell(self) -> None:
        """Tell what changed since the last time."""
        for news in self.table.take_news():
            job = news.job
            extra = about(_kind(news), node=_other_node(job), job=job.id, state=job.state.value)
            level = logging.WARNING if _is_bad(news) else logging.INFO
            logger.log(level, "%s", told(news), extra=extra)


def _is_bad(news: JobNews) -> bool:
    return news.change is JobChange.OVERDUE or news.job.state is JobState.FAILED


def _kind(news: JobNews) -> EventKind:
    is_drain = news.job.kind is JobKind.DRAIN
    match news.change:
        case JobChange.BEGAN:
            return EventKind.DRAIN_BEGAN if is_drain else EventKind.JOB_BEGAN
        case JobChange.ENDED:
            return EventKind.DRAIN_ENDED if is_drain else EventKind.JOB_ENDED
        case JobChange.OVERDUE:
            return EventKind.JOB_OVERDUE


def _other_node(job: JobStatistics) -> str:
    return job.node if job.kind is JobKind.DRAIN else ""


def told(news: JobNews) -> str:
    """Return a change as the log has it."""
    job = news.job
    name = f"{job.id} of {job.what}"
    match news.change:
        case JobChange.BEGAN:
            by = f", ordered at node {job.by}" if job.by else ""
            return f"{name} begins{by}" + (f": {job.reason}" if job.reason else "")
        case JobChange.ENDED:
            return f"{name}: {job.outcome}"
        case JobChange.OVERDUE:
            return f"{name} is overdue: {overdue_text(job)}"


def overdue_text(job: JobStatistics) -> str:
    """Return what is left of a job that is overdue, and what an operator may type."""
    left = (job.total or 0) - job.done
    return (
        f"{left:,} {job.noun}{'' if left == 1 else 's'} are left, and none is dropped;"
        f" type `ramsterctl job watch {job.id}`, or `ramsterctl job cancel {job.id}`"
    )
