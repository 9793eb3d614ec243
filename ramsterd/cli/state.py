"""`ramsterctl exports`, `export reset` and `pool reset`: what is lost, and how it becomes blank."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from config.units import human_bytes
from ramsterd.cli.ask import Ask
from ramsterd.cli.colour import LOST
from ramsterd.cli.columns import Column, format_table
from ramsterd.cli.output import OUTPUT_OPTION, Output, show

POLL_SECONDS: Final = 0.05


def exports_command(ask: Ask) -> click.Command:
    """Return `exports`."""

    @click.command()
    @OUTPUT_OPTION
    @click.pass_obj
    def exports(socket_path: Path, output: Output) -> None:
        """Show every export of this node and its state.

        blank: no page was written.  used: it has pages.
        lost: its pages ended with an earlier run of ramsterd, and clients are refused.
        """
        now = ask(socket_path, "status")
        show(
            {"exports": now["exports"], "lost": now["state_file"]["lost"]},
            output,
            lambda _: "\n".join(
                [
                    format_table(EXPORT_COLUMNS, now["exports"], is_wide=output.is_wide),
                    *format_lost(now["state_file"]),
                ]
            ),
        )

    return exports


def export_group(ask: Ask) -> click.Group:
    """Return the group `export`."""

    @click.group()
    def export() -> None:
        """Change an export of this node."""

    @export.command("reset")
    @click.argument("name")
    @OUTPUT_OPTION
    @click.pass_obj
    def reset(socket_path: Path, name: str, output: Output) -> None:
        """Make the lost export NAME blank, and open it for clients.

        Its pages are gone for ever.  First stop every client that used the export before: such a
        client would read zeros in place of its data.  An export that is no longer in ramsterd.toml
        is forgotten.
        """
        _reset(ask, socket_path, output, f"export {name}", "export-reset", name=name)

    return export


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
    def reset(socket_path: Path, user: int, name: str, output: Output) -> None:
        """Make the lost pool NAME of the user id USER empty, as if its program had destroyed it."""
        what = f"pool {name!r} of user {user}"
        _reset(ask, socket_path, output, what, "pool-reset", user=user, name=name)

    return pool


def _reset(
    ask: Ask, socket_path: Path, output: Output, what: str, command: str, **arguments: object
) -> None:
    while (result := ask(socket_path, command, **arguments))["state"] != "blank":
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
