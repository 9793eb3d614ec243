"""`ramsterctl version`: what this program is, and what every member of the cluster runs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import click

from ramsterd import __version__
from ramsterd.cli.ask import Ask, AskEach
from ramsterd.cli.columns import Column, format_table
from ramsterd.cli.gather import Told, ask_members, end_unless_all
from ramsterd.cli.output import OUTPUT_OPTION, Output, show
from ramsterd.cli.target import Target
from ramsterd.host.build import BUILD

COLUMNS: Final = (
    Column("WHAT", lambda row: row["what"]),
    Column("VERSION", lambda row: row["version"]),
    Column("BUILD", lambda row: row["build"]),
)


def version_command(ask: Ask, ask_each: AskEach) -> click.Command:
    """Return the command."""

    @click.command("version")
    @OUTPUT_OPTION
    @click.pass_obj
    def version(target: Target, output: Output) -> None:
        """Show the version and build of this program, and of ramsterd on every member.

        Without an answer of all members the exit status is 1.
        """
        told: list[Told] = []
        program = {"version": __version__, "build": BUILD}
        try:
            told = ask_members(ask, ask_each, replace(target, node=""), "version")
        finally:
            # What this program is, it knows without a daemon.
            show(to_json(program, told), output, lambda _: format_versions(program, told))
        end_unless_all(told)

    return version


def to_json(program: dict[str, str], told: Sequence[Told]) -> dict[str, Any]:
    """Return all versions for programs."""
    return {
        "program": program,
        "nodes": {
            each.node: {"error": each.problem}
            if each.problem
            else {key: each.result[key] for key in ("version", "build")}
            for each in told
        },
    }


def format_versions(program: dict[str, str], told: Sequence[Told]) -> str:
    """Return one line for this program, and one a node that has answered."""
    rows = [{"what": "ramsterctl", **program}]
    rows += [{"what": f"node {each.node}", **each.result} for each in told if not each.problem]
    return format_table(COLUMNS, rows)
