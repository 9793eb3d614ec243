"""The command lines that the documents tell an operator to type."""

import re
from typing import Final

from tests.docs.pages import BOOK, TRANSCRIPT, without_blocks

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


SHOWN: Final = sorted({line for page in BOOK for line in lines_of(page.read_text())})
_INLINE: Final = re.compile(r"`(ramster(?:ctl|d) (?:--socket \S+ )?[a-z][^`]*)`")
# Names of options stand in a sentence without their values.
INLINE: Final = sorted(
    {line for page in BOOK for line in _INLINE.findall(page.read_text()) if is_typed(line)}
)
