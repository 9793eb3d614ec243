"""Watching a job until it ends: `job watch`, and what follows `node drain` and `verify`."""

import sys
import time
from typing import Any, Final

import click

from ramsterd.cli.ask import Ask
from ramsterd.cli.format_jobs import is_over, last_line, overdue_line, watch_line
from ramsterd.cli.output import INTERRUPTED, fail, warn
from ramsterd.cli.progress_line import ProgressLine
from ramsterd.cli.target import Target

POLL_SECONDS: Final = 0.5


def watch(ask: Ask, target: Target, job_id: str, *, is_quiet: bool = False) -> dict[str, Any]:
    """Show how far a job is until it ends, or passes its deadline meanwhile; return it.

    Ctrl-C ends the process with a line that says that the job goes on.
    """
    try:
        with ProgressLine(sys.stderr) as line:
            was_overdue = True
            while True:
                job: dict[str, Any] = ask(target, "job", id=job_id)
                is_overdue = job["state"] == "overdue"
                if is_over(job) or (is_overdue and not was_overdue):
                    return job
                was_overdue = is_overdue
                if not is_quiet:
                    news = job["state"], job["done"], job["total"], job["waits_for"]
                    line.show(watch_line(job), news, now=time.perf_counter())
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        again = f"{job_id} --node {target.node}" if target.node else job_id
        fail(
            f"{job_id} goes on; `ramsterctl job watch {again}` shows it again,"
            f" `ramsterctl job cancel {again}` ends it",
            INTERRUPTED,
        )


def tell_end(job: dict[str, Any]) -> None:
    """Print the one line with which a watch ends, and what an operator should know then."""
    if is_over(job):
        click.echo(last_line(job))
        warn(job["remarks"])
    else:
        click.echo(overdue_line(job))


def status_of(job: dict[str, Any]) -> int:
    """Return the exit status that goes with a job: 0 for one that is done."""
    return 0 if job["state"] == "done" else 1
