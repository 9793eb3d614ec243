"""What is wrong with long work.  Pure."""

from config.durations import format_duration
from config.units import human_count
from ramsterd.health.codes import Code, Finding, warn
from ramsterd.health.facts import Facts, LateJob, Past
from ramsterd.health.wording import are, named


def job_overdue(facts: Facts, past: Past) -> Finding | None:
    """Return whether jobs are past the deadline that an operator gave them."""
    del past
    late = facts.late_jobs
    if not late:
        return None
    names = [job.name for job in late]
    return warn(
        Code.JOB_OVERDUE,
        f"{human_count(len(late), 'job')} {are(len(late))} past the deadline: {named(names)}",
        details=tuple(map(_late, late)),
        command=f"ramsterctl job watch {names[0]}, or: ramsterctl job cancel {names[0]}",
        count=len(late),
    )


def _late(job: LateJob) -> str:
    waits = f"; waits for {job.waits_for}" if job.waits_for else ""
    return (
        f"{job.name} of {job.what}: {human_count(job.left, job.noun)} left, {format_duration(job.seconds)}"
        f" after the deadline; none is dropped{waits}"
    )
