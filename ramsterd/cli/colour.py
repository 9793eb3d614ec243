"""Colours of words that an operator looks for: severities and states.  Pure, but for one question to a stream.

Texts are made with their colours, and lose them where they are printed, if nobody can see them.
"""

from collections.abc import Mapping
from typing import Final, TextIO

import click

GOOD: Final = "green"
DOUBTFUL: Final = "yellow"
BAD: Final = "red"

# As `health` and `doctor` begin their lines.
SEVERITIES: Final = {
    "OK": GOOD,
    "ok": GOOD,
    "WARN": DOUBTFUL,
    "WARNING": DOUBTFUL,
    "ERR": BAD,
    "ERROR": BAD,
}
NODE_STATES: Final = {
    "up": GOOD,
    "joining": DOUBTFUL,
    "suspect": DOUBTFUL,
    "draining": DOUBTFUL,
    "down": BAD,
}
LOST: Final = {"lost": BAD}


def paint(text: str, colours: Mapping[str, str]) -> str:
    """Return a text in the colour of the word that it is, which may have blanks around it."""
    colour = colours.get(text.strip())
    return text if colour is None else click.style(text, fg=colour)


def paint_heads(text: str, colours: Mapping[str, str]) -> str:
    """Return a text in which the first word of each line has its colour; lines that are indented have none."""
    lines = [line.partition(" ") for line in text.split("\n")]
    return "\n".join(f"{paint(word, colours)}{blank}{rest}" for word, blank, rest in lines)


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether somebody sees colours, and has not asked for none (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
