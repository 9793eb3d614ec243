"""`ramsterctl events`: what happened to a node lately, or to all members, and what happens."""

import contextlib
import time
from typing import Any

import click

from config.event_kinds import EventKind
from ramsterd.cli.ask import Ask, AskEach, AskFailed, try_ask
from ramsterd.cli.event_reader import EventReader
from ramsterd.cli.events_of_all import POLL_SECONDS, follow_all, show_all
from ramsterd.cli.format_events import HEAD, event_json, event_line
from ramsterd.cli.options import one_of, to_seconds
from ramsterd.cli.output import OUTPUT_OPTION, Output, tell
from ramsterd.cli.target import Target, at_nodes


def events_command(ask: Ask, ask_each: AskEach) -> click.Command:
    """Return the command."""

    @click.command()
    @click.option(
        "--since",
        metavar="DURATION",
        callback=to_seconds,
        help="Only events of the last 10m, 1h, 2d.",
    )
    @click.option("--follow", "-f", is_flag=True, help="Go on with new events until Ctrl-C.")
    @click.option(
        "--kind",
        "kinds",
        multiple=True,
        metavar="KIND",
        help="Only events of this kind; may be given several times.  docs/events.md lists the kinds.",
        **one_of([kind.value for kind in EventKind], "kind"),
    )
    @at_nodes
    @OUTPUT_OPTION
    @click.pass_obj
    def events(
        target: Target, since: int | None, follow: bool, kinds: tuple[str, ...], output: Output
    ) -> None:
        """Show what happened to a node lately, oldest first; with --cluster to all members.

        ramsterd keeps the last 2,048 events, and none over a restart.  With `-o json` each line is
        an object.  `--follow` outlives a restart of ramsterd, and says so on standard error.

        With --cluster the events of all members come in the order of their times, by the clock of
        each, and each with the node that has it.  Members that say nothing are named at the end.
        """
        wanted: dict[str, Any] = {"kinds": list(kinds)} if kinds else {}
        if since is not None:
            wanted["since"] = time.time_ns() / 1e9 - since
        # Ctrl-C is how it ends.
        with contextlib.suppress(KeyboardInterrupt):
            if target.is_cluster:
                show_them = follow_all if follow else show_all
                show_them(ask, ask_each, target, wanted, is_json=output.is_json)
            else:
                _show(ask, target, wanted, is_json=output.is_json, follow=follow)

    return events


def _show(ask: Ask, target: Target, wanted: dict[str, Any], *, is_json: bool, follow: bool) -> None:
    if not is_json:
        click.echo(HEAD)
    line_of = event_json if is_json else event_line
    reader = EventReader(tell)

    def read(ask: Ask) -> None:
        reader.has_more = True
        while reader.has_more:
            answer = ask(target, "events", after=reader.after, **wanted)
            for event in reader.on_answer(answer):
                click.echo(line_of(event))

    read(ask)
    while follow:
        time.sleep(POLL_SECONDS)
        try:
            read(try_ask)
        except AskFailed as failed:
            reader.on_no_answer(str(failed))
