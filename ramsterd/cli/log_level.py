"""`ramsterctl log-level`: what each subsystem logs, and how that changes for a while."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import click

from config.durations import format_duration
from config.model import LogLevel
from ramsterd.cli.ask import Ask, AskEach
from ramsterd.cli.columns import Column, Row, format_table
from ramsterd.cli.gather import rows_of, show_answers
from ramsterd.cli.options import to_seconds
from ramsterd.cli.output import OUTPUT_OPTION, Output, show
from ramsterd.cli.target import Target, at_nodes


def log_level_command(ask: Ask, ask_each: AskEach) -> click.Command:
    """Return the command."""

    @click.command("log-level")
    @click.argument("subsystem", required=False)
    @click.argument("level", required=False, type=click.Choice([each.value for each in LogLevel]))
    @click.option(
        "--for",
        "seconds",
        metavar="DURATION",
        callback=to_seconds,
        help="How long, such as 10m or 1h; without it until ramsterd is restarted.",
    )
    @click.option("--reset", is_flag=True, help="Use the level of ramsterd.toml again.")
    @at_nodes
    @OUTPUT_OPTION
    @click.pass_obj
    def log_level(
        target: Target,
        subsystem: str | None,
        level: str | None,
        seconds: int | None,
        reset: bool,
        output: Output,
    ) -> None:
        """Show how much each subsystem logs, or change it.

        Without arguments: show the level of every subsystem.  With SUBSYSTEM and LEVEL: change it
        in the running daemon, also against ramsterd.toml.  `all` stands for every subsystem.
        `--reset` ends such changes, of one SUBSYSTEM or of all.
        """
        if reset:
            if level is not None or seconds is not None:
                raise click.UsageError(
                    "--reset takes a SUBSYSTEM or nothing: no LEVEL and no --for"
                )
            result = ask(target, "log-level-reset", subsystem=subsystem or "all")
        elif level is not None:
            result = ask(target, "log-level-set", subsystem=subsystem, level=level, seconds=seconds)
        elif subsystem is None and seconds is None:
            text_of = partial(text_of_all, node=target.node)
            show_answers(ask, ask_each, target, output, "log-level", text_of)
            return
        else:
            raise click.UsageError(
                "a change needs a subsystem and a level, such as `ramsterctl log-level net debug --for 10m`"
            )
        show(result, output, lambda levels: text_of_levels([levels], ()))

    return log_level


def _changed(level: Row) -> str:
    if not level["is_changed"]:
        return ""
    left = level["seconds_left"]
    return "until a restart" if left is None else f"for {format_duration(left)} more"


LEVEL_COLUMNS: Final = (
    Column("SUBSYSTEM", lambda row: row["subsystem"]),
    Column("LEVEL", lambda row: row["level"]),
    Column("CONFIGURED", lambda row: row["configured"]),
    Column("CHANGED", _changed),
)


def text_of_all(results: Sequence[Any], nodes: Sequence[str], *, node: str = "") -> str:
    """Return the same, with what to type for another level, at the node that was asked."""
    at = f" --node {node or 'NAME'}" if node or nodes else ""
    *others, last = [each.value for each in LogLevel]
    lines = [
        f"to change a level ({', '.join(others)} or {last}) for ten minutes",
        f"type: ramsterctl log-level net debug --for 10m{at}",
    ]
    if any(each["is_changed"] for of in results for each in of.values()):
        lines += ["to end all changes", f"type: ramsterctl log-level --reset{at}"]
    return "\n".join([text_of_levels(results, nodes), *lines])


def text_of_levels(results: Sequence[Any], nodes: Sequence[str]) -> str:
    """Return one line a subsystem, of each node."""
    levels = [[{"subsystem": name, **each} for name, each in of.items()] for of in results]
    rows, of = rows_of(levels, nodes)
    return format_table(LEVEL_COLUMNS, rows, nodes=of)
