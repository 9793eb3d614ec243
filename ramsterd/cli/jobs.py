"""`ramsterctl jobs`, `job watch` and `job cancel`: long work of the cluster."""

import click

from ramsterd.cli.ask import Ask, AskEach
from ramsterd.cli.format_jobs import format_jobs, is_over, last_line, watch_line
from ramsterd.cli.gather import blocks_of, show_answers
from ramsterd.cli.job_watching import status_of, tell_end, watch
from ramsterd.cli.output import OUTPUT_OPTION, Output, show, show_json
from ramsterd.cli.target import AT_NODE, Target, at_nodes


def jobs_command(ask: Ask, ask_each: AskEach) -> click.Command:
    """Return `jobs`."""

    @click.command()
    @at_nodes
    @OUTPUT_OPTION
    @click.pass_obj
    def jobs(target: Target, output: Output) -> None:
        """Show long work: drains, rebuild, recall, and verifications.

        Jobs that go on come first, then those that ended, the latest first.  A drain is shown at
        each member, and all other work at the node that does it.  Times are in UTC.
        """
        show_answers(ask, ask_each, target, output, "jobs", blocks_of(format_jobs))

    return jobs


def job_group(ask: Ask) -> click.Group:
    """Return the group."""

    @click.group()
    def job() -> None:
        """Watch or cancel a job that `jobs` shows."""

    job.add_command(_watch(ask))
    job.add_command(_cancel(ask))
    return job


def _watch(ask: Ask) -> click.Command:
    @click.command("watch")
    @click.argument("job_id", metavar="JOB")
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def watch_command(target: Target, job_id: str, output: Output) -> None:
        """Show how far JOB is until it ends; any number of operators may watch.

        Ctrl-C ends the watching, not the job.
        """
        ended = watch(ask, target, job_id, is_quiet=output.is_json)
        if output.is_json:
            show_json(ended)
        else:
            tell_end(ended)
        raise SystemExit(status_of(ended))

    return watch_command


def _cancel(ask: Ask) -> click.Command:
    @click.command("cancel")
    @click.argument("job_id", metavar="JOB")
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def cancel(target: Target, job_id: str, output: Output) -> None:
        """End JOB before it is done.

        A drain: the node gets new pages again, as with `node uncordon`; what has moved stays where
        it is.  A verification stops.  Rebuild and recall can't be cancelled: the answer says what
        to type instead.
        """
        cancelled = ask(target, "job-cancel", id=job_id)
        show(
            cancelled,
            output,
            lambda job: last_line(job) if is_over(job) else watch_line(job),
        )

    return cancel
