"""A text stream whose lines go to the log queue: what is printed must not block the loop either.

Python itself prints (an exception that nobody caught, or in a finalizer, or a thread; a warning),
and so do libraries.
"""

import io
from collections.abc import Callable
from typing import Final

# A line that does not end is cut.
LINE_CHARACTERS_MAX: Final = 4096


class LineStream(io.TextIOBase):
    """Hands each whole line that is written to it, without its newline, to a function."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self._unfinished = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in typeshed
        """Return how lines are encoded."""
        return "utf-8"

    def write(self, text: str) -> int:
        """Take a piece of text."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        for line in lines:
            self._say(line)
        if len(self._unfinished) > LINE_CHARACTERS_MAX:
            self.end_line()
        return len(text)

    def end_line(self) -> None:
        """Say what has no newline yet."""
        unfinished, self._unfinished = self._unfinished, ""
        if unfinished:
            self._say(unfinished)
