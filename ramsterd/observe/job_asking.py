"""Which nodes that drain are asked now how far they are.  Pure.

An answer costs the node a walk over all its pages, so most nodes of a cluster do not ask.
"""

from typing import Final

from nodemanager.ids import NodeId
from ramsterd.jobs.work import LIVE_STATES, JobKind, JobState
from ramsterd.observe.snapshot import DaemonStatistics

# Between two questions of a node that follows a drain.
ASK_SECONDS: Final = 2.0
# Of one whose operator watches: they see a number a second.
WATCHED_ASK_SECONDS: Final = 1.0
# An operator who watches looks again sooner than that.
WATCHED_SECONDS: Final = 10.0
# All nodes ask about a drain that is overdue: it may be over.
OVERDUE_ASK_SECONDS: Final = 60.0


class DrainAsking:
    """Remembers who was asked when, and which drains are watched."""

    def __init__(self) -> None:
        self._asked_at: dict[str, float] = {}
        self._watched_at: dict[str, float] = {}

    def on_watched(self, node: str, *, at: float) -> None:
        """An operator looks at the drain of a node."""
        self._watched_at[node] = at

    def due(self, now: DaemonStatistics, *, at: float) -> list[NodeId]:
        """Return which nodes to ask; they count as asked."""
        numbers = {row.config.name: NodeId(row.config.number) for row in now.engine.nodes.nodes}
        drains = {
            job.node: job
            for job in now.jobs.jobs
            if job.kind is JobKind.DRAIN and job.state in LIVE_STATES and job.node in numbers
        }
        self._asked_at = {node: each for node, each in self._asked_at.items() if node in drains}
        self._watched_at = {node: each for node, each in self._watched_at.items() if node in drains}
        due = []
        for node, job in drains.items():
            said = now.membership.drains.get(numbers[node])
            is_unknown = said is None or said.pages_foreign is None
            is_watched = at - self._watched_at.get(node, float("-inf")) < WATCHED_SECONDS
            if is_watched:
                seconds = WATCHED_ASK_SECONDS
            elif is_unknown or now.node in {node, job.by}:
                seconds = ASK_SECONDS
            elif job.state is JobState.OVERDUE or job.as_of_seconds > OVERDUE_ASK_SECONDS:
                # A node whose drain is over tells nobody any more, and its last word may be lost.
                seconds = OVERDUE_ASK_SECONDS
            else:
                continue
            if at - self._asked_at.get(node, float("-inf")) >= seconds:
                self._asked_at[node] = at
                due.append(numbers[node])
        return due
