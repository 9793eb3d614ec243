"""The command lines that an operator is told to type: by the documents, by `--help` and by the manual pages."""

import re
from typing import Final

import click

from ramsterd.cli.examples import EXAMPLES
from tests.docs.pages import BOOK, TRANSCRIPT, without_blocks
from tests.helpers.command_lines import check_line

# Three blanks: a block in a list with numbers.  Some lines are for another machine.
_ALONE: Final = re.compile(r"^(?: {3,4}(?:\$ )?)?(?:ssh \S+ )?(ramster(?:ctl|d) .*)$", re.MULTILINE)


def lines_of(text: str) -> list[str]:
    """Return the lines that a reader types, from indented and from fenced blocks, with or without a prompt."""
    # What a transcript prints is no command; tests/walkthrough types those of it.
    joined = without_blocks(text, TRANSCRIPT).replace("\\\n", " ")
    found = _ALONE.findall(joined)
    return [" ".join(re.sub(r"\s+#.*", "", line).split()) for line in found]


def is_typed(line: str) -> bool:
    """Return whether a line is a command, and not a message that begins like one."""
    return not line.startswith("ramsterd did not run")


def is_whole(line: str) -> bool:
    """Return whether a line of a sentence can be typed as it stands, but for the names in it."""
    # A user is a number: the only name that a command does not take as it stands.
    try:
        check_line(line.replace(" USER ", " 1000 "), is_whole=True)
    except click.UsageError:
        return False
    return "…" not in line


SHOWN: Final = sorted({line for page in BOOK for line in lines_of(page.read_text())})
_INLINE: Final = re.compile(r"`(ramster(?:ctl|d) (?:--socket \S+ )?[a-z][^`]*)`")
# Names of options stand in a sentence without their values.
INLINE: Final = sorted(
    {line for page in BOOK for line in _INLINE.findall(page.read_text()) if is_typed(line)}
)
# Of `--help` and of the manual pages; a shell takes what is in $(…) by itself.
OF_HELP: Final = sorted(
    line.removeprefix('eval "$(').removesuffix(')"') for line in EXAMPLES.values()
)
# Those that are run: tests/docs/test_commands_run.py.
WHOLE: Final = sorted({*SHOWN, *OF_HELP, *filter(is_whole, INLINE)})
