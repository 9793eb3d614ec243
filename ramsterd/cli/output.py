"""How commands print: JSON or text, warnings, and the one line with which a command fails."""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

import click

EX_UNAVAILABLE: Final = 69  # sysexits.h
EX_CONFIG: Final = 78
JSON_OPTION: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of text."
)
OUTPUT_OPTION: Final = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Print a table for people, or JSON for programs.",
)


def show(result: Any, as_json: bool, text_of: Callable[[Any], str]) -> None:
    """Print a result, for programs or for people; an empty text is no line."""
    if text := json.dumps(result, indent=2) if as_json else text_of(result):
        click.echo(text)


def warn(warnings: Iterable[str]) -> None:
    """Print what follows from a command and is easily overlooked."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def fail(message: str, status: int = 1, *, program: str = "ramsterctl") -> NoReturn:
    """End the process with one line on standard error."""
    click.echo(f"{program}: {message}", err=True)
    raise SystemExit(status)
