"""`ramsterctl events`: what happened to a node lately, and what happens."""

import contextlib
import time
from typing import Any, Final

import click

from config.event_kinds import EventKind
from ramsterd.cli.ask import Ask, AskFailed, try_ask
from ramsterd.cli.format_events import HEAD, EventReader, event_json, event_line
from ramsterd.cli.options import to_seconds
from ramsterd.cli.output import OUTPUT_OPTION, Output
from ramsterd.cli.target import AT_NODE, Target

POLL_SECONDS: Final = 1.0


def events_command(ask: Ask) -> click.Command:
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
        type=click.Choice([kind.value for kind in EventKind]),
        metavar="KIND",
        help="Only events of this kind; may be given several times.  docs/events.md lists the kinds.",
    )
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def events(
        target: Target, since: int | None, follow: bool, kinds: tuple[str, ...], output: Output
    ) -> None:
        """Show what happened to a node lately, oldest first.

        ramsterd keeps the last 2,048 events, and none over a restart.  With `-o json` each line is
        an object.  `--follow` outlives a restart of ramsterd, and says so on standard error.
        """
        arguments: dict[str, Any] = {"kinds": list(kinds)} if kinds else {}
        if since is not None:
            arguments["since"] = time.time_ns() / 1e9 - since
        if not output.is_json:
            click.echo(HEAD)
        line_of = event_json if output.is_json else event_line
        reader = EventReader(line_of, click.echo, _tell)
        # Ctrl-C is how it ends.
        with contextlib.suppress(KeyboardInterrupt):
            while reader.on_answer(ask(target, "events", after=reader.after, **arguments)):
                pass
            while follow:
                time.sleep(POLL_SECONDS)
                _read_on(target, reader, arguments)

    return events


def _tell(text: str) -> None:
    click.echo(f"ramsterctl: {text}", err=True)


def _read_on(target: Target, reader: EventReader, arguments: dict[str, Any]) -> None:
    try:
        while reader.on_answer(try_ask(target, "events", after=reader.after, **arguments)):
            pass
    except AskFailed as failed:
        reader.on_no_answer(str(failed))
