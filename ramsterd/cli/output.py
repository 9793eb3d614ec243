"""How commands print: a table or JSON, warnings, and the one line with which a command fails."""

import enum
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

import click

from ramsterd.cli.colour import wants_colour

EX_UNAVAILABLE: Final = 69  # sysexits.h
EX_CONFIG: Final = 78
# What a shell says of a program that Ctrl-C ended.
INTERRUPTED: Final = 130


class Output(enum.Enum):
    """The value of `-o`."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"

    @property
    def is_json(self) -> bool:
        """Whether a program reads it."""
        return self is Output.JSON

    @property
    def is_wide(self) -> bool:
        """Whether a table has all its columns."""
        return self is Output.WIDE


OUTPUT_OPTION: Final = click.option(
    "-o",
    "--output",
    type=click.Choice([output.value for output in Output]),
    default=Output.TABLE.value,
    show_default=True,
    callback=lambda _context, _option, value: Output(value),
    help="Print a table for people, with more columns if wide, or JSON for programs.",
)


def show(result: Any, output: Output, text_of: Callable[[Any], str]) -> None:
    """Print a result, for programs or for people; an empty text is no line."""
    if output.is_json:
        show_json(result)
    elif text := text_of(result):
        show_text(text)


def show_json(result: Any) -> None:
    """Print a result for programs."""
    click.echo(json.dumps(result, indent=2))


def show_text(text: str) -> None:
    """Print a text for people; colours stay only where they can be seen."""
    click.echo(text, color=wants_colour(sys.stdout, os.environ))


def warn(warnings: Iterable[str]) -> None:
    """Print what follows from a command and is easily overlooked."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def tell(message: str) -> None:
    """Print one line on standard error: what is no result."""
    click.echo(f"ramsterctl: {message}", err=True)


def fail(message: str, status: int = 1, *, program: str = "ramsterctl") -> NoReturn:
    """End the process with one line on standard error."""
    click.echo(f"{program}: {message}", err=True)
    raise SystemExit(status)
