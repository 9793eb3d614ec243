"""What jobs look like: a table, the line of one that goes on, and the line with which one ends.  Pure."""

from datetime import datetime
from typing import Any, Final

from config.durations import format_duration

# A node that drains says every two seconds how far it is.  Older figures have their age beside them.
FRESH_SECONDS: Final = 10.0
_DO: Final = {"drain": "move", "rebuild": "copy", "recall": "move", "verify": "check"}
_ENDED_STATES = ("done", "failed", "cancelled")


def is_over(job: dict[str, Any]) -> bool:
    """Return whether a job has ended."""
    return job["state"] in _ENDED_STATES


def last_line(job: dict[str, Any]) -> str:
    """Return the line with which a job ends, such as `drain-3 of node n2: done, …`."""
    return f"{job['id']} of {job['what']}: {job['outcome']}"


def overdue_line(job: dict[str, Any]) -> str:
    """Return the line of a job that has passed its deadline."""
    return (
        f"{job['id']} of {job['what']}: overdue, {progress(job)}. It goes on, and drops no page;"
        f" `ramsterctl job watch {job['id']}` shows how far it is, `ramsterctl job cancel {job['id']}` ends it"
    )


def progress(job: dict[str, Any]) -> str:
    """Return how far a job is: `9,000 of 12,400 pages, 1,500 a second, about 2 s left`."""
    parts = [_far(job)]
    # An older daemon does not tell what follows.
    if job.get("trailing") and job["done"] == job["total"]:
        parts.append(f"{_count(job['trailing'], job['noun'])} of its own not home yet")
    if (old := job.get("as_of_seconds", 0.0)) >= FRESH_SECONDS:
        parts.append(f"as of {format_duration(old)} ago")
    if job["waits_for"]:
        parts.append(f"waits for {job['waits_for']}")
    elif job["seconds_left"] is not None:
        parts.append(f"{job['per_second']:,.0f} a second")
        parts.append(f"about {format_duration(max(1.0, job['seconds_left']))} left")
    return ", ".join(parts)


def _far(job: dict[str, Any]) -> str:
    noun = job["noun"]
    if job["total"] is None:
        return f"{_count(job['done'], noun)} so far" if job["done"] else "not known yet"
    if not job["total"]:
        return f"no {noun}s to {_DO.get(job['kind'], 'do')}"
    return f"{job['done']:,} of {_count(job['total'], noun)}"


def watch_line(job: dict[str, Any]) -> str:
    """Return the line of a job that goes on."""
    late = ""
    if job["state"] == "overdue":
        late = f" overdue by {format_duration(-job['seconds_to_deadline'])},"
    return f"{job['id']} of {job['what']}:{late} {progress(job)}"


def format_jobs(result: dict[str, Any]) -> str:
    """Return a table of the jobs that go on, and the lines of those that ended."""
    jobs = result["jobs"]
    live = [job for job in jobs if not is_over(job)]
    ended = [job for job in jobs if is_over(job)]
    lines = []
    if live:
        lines.append(f"{'JOB':<12} {'STATE':<8} {'BEGAN':<20} PROGRESS")
    for job in live:
        lines.append(
            f"{job['id']:<12} {job['state']:<8} {_date(job['began_at']):<20} {job['what']}: {progress(job)}"
        )
        lines += [f"{'':<12} {text}" for text in _details(job)]
    if ended:
        lines += [""] * bool(live) + [f"{'ENDED':<20} JOB"]
    for job in ended:
        why = f" ({job['reason']})" if job["reason"] else ""
        lines.append(f"{_date(job['ended_at']):<20} {last_line(job)}{why}")
    return "\n".join(lines) or f"node {result['node']} has no jobs"


def _details(job: dict[str, Any]) -> list[str]:
    by = f"ordered at node {job['by']}" if job["by"] else ""
    deadline = f"deadline {_date(job['deadline_at'])}" if job["deadline_at"] else ""
    told = ", ".join(each for each in (by, deadline) if each)
    reason = f": {job['reason']}" if job["reason"] else ""
    return [f"{told}{reason}"] if told or reason else []


def _date(time: str) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M:%S}"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
