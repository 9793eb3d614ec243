"""`ramsterctl verify`: every page in memory is read and compared with its checksum."""

import click

from ramsterd.cli.ask import Ask
from ramsterd.cli.job_options import DETACH_OPTION, REASON_OPTION
from ramsterd.cli.job_watching import status_of, tell_end, watch
from ramsterd.cli.output import OUTPUT_OPTION, Output, show_json
from ramsterd.cli.target import AT_NODE, Target


def verify_command(ask: Ask) -> click.Command:
    """Return the command."""

    @click.command()
    @click.option(
        "--invariants",
        is_flag=True,
        help="Also check that the tables of pages do not contradict each other.",
    )
    @DETACH_OPTION
    @REASON_OPTION
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def verify(
        target: Target, invariants: bool, is_monitored: bool, reason: str, output: Output
    ) -> None:
        """Unpack every compressed page (zpage) in this node's memory, and compare it with its checksum.

        Programs continue meanwhile.  A damaged page is dropped: if there is another copy, that copy
        is used.  Ctrl-C ends the waiting, not the verification.
        """
        begun = ask(target, "verify", invariants=invariants, reason=reason)["jobs"]
        if not is_monitored and not output.is_json:
            click.echo("\n".join(begun))
            return
        found = [
            watch(ask, target, each, is_quiet=output.is_json)
            if is_monitored
            else ask(target, "job", id=each)
            for each in begun
        ]
        if output.is_json:
            engine = ask(target, "status")["engine"]
            tables = {"tables": engine["audit"]} if invariants else {}
            show_json({**engine["scrub"], **tables, "jobs": found})
        else:
            for each in found:
                tell_end(each)
        if is_monitored:
            raise SystemExit(max(map(status_of, found), default=0))

    return verify
