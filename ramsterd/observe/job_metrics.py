"""Metrics of jobs: how many go on, and how many ended, by kind and state."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.jobs.table import JobsStatistics
from ramsterd.jobs.work import ENDED_STATES, LIVE_STATES, JobKind
from ramsterd.observe.metric import counter, gauge


def job_metrics(jobs: JobsStatistics) -> Iterator[Metric]:
    """Yield the families."""
    now = Counter((job.kind, job.state) for job in jobs.jobs)
    yield gauge(
        "jobs", "Jobs of `ramsterctl jobs` that go on.", ["kind", "state"],
        [
            ([kind.value, state.value], float(now[kind, state]))
            for kind in JobKind
            for state in LIVE_STATES
        ],
    )  # fmt: skip
    yield counter(
        "ended_jobs", "Jobs that ended since ramsterd started.", ["kind", "state"],
        [
            ([kind.value, state.value], float(getattr(totals, state.value)))
            for kind, totals in jobs.ended_total.items()
            for state in ENDED_STATES
        ],
    )  # fmt: skip
