"""Options of commands that begin a job."""

from typing import Final

import click

from ramsterd.cli.options import to_seconds

DETACH_OPTION: Final = click.option(
    "--monitor/--detach",
    "is_monitored",
    default=True,
    show_default=True,
    help="Show progress until the job ends, or return at once with its name.",
)
DEADLINE_OPTION: Final = click.option(
    "--deadline",
    "deadline_seconds",
    metavar="DURATION",
    callback=to_seconds,
    help="Until when it should be done: 30m, 2h, 1d.  After that it goes on, and is overdue.",
)
REASON_OPTION: Final = click.option(
    "-m",
    "--message",
    "reason",
    metavar="REASON",
    default="",
    help="Why, for `jobs`, the log and the events of all nodes; 200 bytes at most.",
)
