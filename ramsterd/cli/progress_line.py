"""One line that says how far something is: rewritten at a terminal, elsewhere printed when it says something new."""

import math
import shutil
from typing import Final, Self, TextIO

# Where lines stay, one that stands still is repeated after so long: it shows that somebody still
# waits.
REPEAT_SECONDS: Final = 10.0
_CLEAR_LINE: Final = "\r\x1b[K"


class ProgressLine:
    """Writes to one stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._has_line = False
        self._news: object = None
        self._shown_at = -math.inf

    def show(self, text: str, news: object, *, now: float) -> None:
        """Show a line; `news` is the part of it that makes it worth a new one."""
        if self._is_terminal:
            # What is too long could not be wiped.
            columns = shutil.get_terminal_size().columns
            self._write(f"{_CLEAR_LINE}{text[: columns - 1]}")
        elif news != self._news or now - self._shown_at >= REPEAT_SECONDS:
            self._write(f"{text}\n")
            self._shown_at = now
        self._has_line, self._news = self._is_terminal, news

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Wipe the line at a terminal, before anything else is printed."""
        if self._has_line:
            self._write(_CLEAR_LINE)
        self._has_line = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
