"""The jobs of a node of a simulated cluster: what its daemon would show of them."""

from collections.abc import Callable

from nodemanager.ids import NodeId
from ramsterd.jobs.job import JobStatistics
from ramsterd.jobs.table import JobTable
from ramsterd.observe.job_facts import Moment, works_of
from tests.simulation.cluster import Cluster

LOOK_SECONDS = 0.5


class Jobs:
    """Looks at one node as its daemon does, and asks nodes that drain, unless that is for others to do."""

    def __init__(self, cluster: Cluster, node: int, *, asks: bool = True) -> None:
        self._cluster, self._node, self._asks = cluster, node, asks
        self.table = JobTable()

    def look(self) -> tuple[JobStatistics, ...]:
        """Return all jobs."""
        node = self._cluster[self._node]
        members = node.peers.members
        drains = members.inquiries.drains_said()
        at = Moment(wall=self._cluster.now, uptime_seconds=self._cluster.now)
        works = works_of(f"node{self._node}", node.engine.statistics(), drains, at)
        self.table.look(works, now=self._cluster.now)
        self.table.check_invariants()
        for drained in drains if self._asks else ():
            members.inquiries.ask_drained(NodeId(drained))
        return self.table.statistics().jobs

    def run_until(
        self, is_so: Callable[[JobStatistics], bool], kind: str, *, seconds: float = 60
    ) -> JobStatistics:
        """Let time pass until the latest job of a kind is so."""
        jobs: list[JobStatistics] = []
        for _ in range(int(seconds / LOOK_SECONDS)):
            jobs = [job for job in self.look() if job.kind.value == kind]
            if jobs and is_so(jobs[0]):
                return jobs[0]
            self._cluster.run(LOOK_SECONDS)
        raise AssertionError(jobs)
