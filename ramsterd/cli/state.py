"""`ramsterctl exports`, `export reset` and `pool reset`: what is lost, and how it becomes blank."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from config.units import human_bytes
from ramsterd.cli.ask import Ask, AskEach
from ramsterd.cli.colour import LOST
from ramsterd.cli.columns import Column, format_table
from ramsterd.cli.gather import rows_of, show_answers
from ramsterd.cli.output import OUTPUT_OPTION, Output, show
from ramsterd.cli.target import Target, at_nodes

POLL_SECONDS: Final = 0.05


def exports_command(ask: Ask, ask_each: AskEach) -> click.Command:
    """Return `exports`."""

    @click.command()
    @at_nodes
    @OUTPUT_OPTION
    @click.pass_obj
    def exports(target: Target, output: Output) -> None:
        """Show every export of this node and its state.

        blank: no page was written.  used: it has pages.
        lost: its pages ended with an earlier run of ramsterd, and clients are refused.
        """

        def text_of(results: Sequence[Any], nodes: Sequence[str]) -> str:
            rows, of = rows_of([each["exports"] for each in results], nodes)
            table = format_table(EXPORT_COLUMNS, rows, is_wide=output.is_wide, nodes=of)
            lost = [format_lost(each["state_file"]) for each in results]
            notes = [
                f"{node}: {line}" if node else line
                for node, lines in zip(nodes or [""], lost, strict=True)
                for line in lines
            ]
            return "\n".join([table, *notes])

        show_answers(ask, ask_each, target, output, "status", text_of, pick=exports_of)

    return exports


def exports_of(status: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of exports, and what is lost of them and of pools."""
    return {"exports": status["exports"], "lost": status["state_file"]["lost"]}


def reset_command(ask: Ask) -> click.Command:
    """Return `export reset`."""

    @click.command("reset")
    @click.argument("name")
    @OUTPUT_OPTION
    @click.pass_obj
    def reset(target: Target, name: str, output: Output) -> None:
        """Make the lost export NAME blank, and open it for clients.

        Its pages are gone for ever.  First stop every client that used the export before: such a
        client would read zeros in place of its data.  An export that is no longer in ramsterd.toml
        is forgotten.
        """
        _reset(ask, target, output, f"export {name}", "export-reset", name=name)

    return reset


def pool_group(ask: Ask) -> click.Group:
    """Return the group `pool`."""

    @click.group()
    def pool() -> None:
        """Change a pool of the tmem socket; `pools` shows them."""

    @pool.command("reset")
    @click.argument("user", type=int)
    @click.argument("name")
    @OUTPUT_OPTION
    @click.pass_obj
    def reset(target: Target, user: int, name: str, output: Output) -> None:
        """Make the lost pool NAME of the user id USER empty, as if its program had destroyed it."""
        what = f"pool {name!r} of user {user}"
        _reset(ask, target, output, what, "pool-reset", user=user, name=name)

    return pool


def _reset(
    ask: Ask, target: Target, output: Output, what: str, command: str, **arguments: object
) -> None:
    while (result := ask(target, command, **arguments))["state"] != "blank":
        time.sleep(POLL_SECONDS)
    show(result, output, lambda _: f"{what} is blank")


EXPORT_COLUMNS: Final = (
    Column("NAME", lambda row: row["name"]),
    Column("SIZE", lambda row: human_bytes(row["size_bytes"]), is_right=True),
    Column("PAGES", lambda row: f"{row['pages']:,}", is_right=True),
    Column("STATE", lambda row: row["state"], colours=LOST),
    Column(
        "UNREADABLE PAGES", lambda row: f"{row['unreadable_pages']:,}", is_right=True, is_wide=True
    ),
    Column("SWAP", lambda row: "yes" if row["is_swap"] else "no", is_wide=True),
    Column("EXACT SIZE", lambda row: f"{row['size_bytes']:,}", is_right=True, is_wide=True),
)


def format_lost(marks: dict[str, Any]) -> list[str]:
    """Return a line for each loss that nobody has dealt with, and one if the state file can't be written."""
    lines = []
    for loss in marks["lost"]:
        found = datetime.fromtimestamp(loss["lost_at"], UTC)
        is_export = loss["user"] is None
        what = (
            f"export {loss['name']}"
            if is_export
            else f"pool {loss['name']!r} of user {loss['user']}"
        )
        command = (
            f"export reset {loss['name']}"
            if is_export
            else f"pool reset {loss['user']} {loss['name']}"
        )
        lines.append(
            f"{'LOST':<15}{what}: its pages ended with an earlier run of ramsterd, found at {found:%Y-%m-%d %H:%M} UTC;"
            f" make it blank with `ramsterctl {command}`"
        )
    if marks["problem"]:
        lines.append(
            f"{'STATE FILE':<15}not written: first writes to blank exports are refused: {marks['problem']}"
        )
    return lines
