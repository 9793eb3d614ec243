"""What the demo prints: one live line at a terminal, plain lines elsewhere, a table, and claims that hold or not."""

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final, TextIO

MIB: Final = 2**20
_LIVE_SECONDS: Final = 0.05
_CLEAR_LINE: Final = "\r\x1b[K"
_LABEL_WIDTH: Final = 12

Row = tuple[str, str, str]


class Report:
    """Writes to one stream; remembers whether all that was claimed held."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._has_live_line = False
        self._live_at = 0.0
        self.has_failed = False

    def say(self, label: str, text: str) -> None:
        """Print a line that stays."""
        self._write(f"{label:<{_LABEL_WIDTH}}{text}".rstrip() + "\n")

    def is_live_due(self) -> bool:
        """Whether the live line is old enough to be worth a new one; never without a terminal."""
        return self._is_terminal and time.perf_counter() - self._live_at >= _LIVE_SECONDS

    def live(self, label: str, text: str) -> None:
        """Replace the live line.

        What is too long for the terminal is cut, for it could not be wiped.
        """
        columns = shutil.get_terminal_size().columns
        self._write(f"{label:<{_LABEL_WIDTH}}{text}"[: columns - 1])
        self._has_live_line = True
        self._live_at = time.perf_counter()

    def end_live_line(self) -> None:
        """Wipe the live line, if there is one."""
        self._write("")

    def table(self, rows: Sequence[Row]) -> None:
        """Print rows of what, how much, and a remark."""
        what_width = max(len(what) for what, _, _ in rows)
        count_width = max(len(count) for _, count, _ in rows)
        for what, count, remark in rows:
            line = f"  {what:<{what_width}}  {count:>{count_width}}  {remark}"
            self._write(line.rstrip() + "\n")

    def claim(self, text: str, *, holds: bool) -> None:
        """Print something that must be true, and whether it is."""
        self.has_failed |= not holds
        self._write(f"  {'ok' if holds else 'FAILED':<8}{text}\n")

    def _write(self, text: str) -> None:
        if self._has_live_line:
            text = _CLEAR_LINE + text
            self._has_live_line = False
        self._stream.write(text)
        self._stream.flush()


def complain(text: str) -> None:
    """Print one line to standard error."""
    sys.stderr.write(f"demo: {text}\n")
    sys.stderr.flush()


def mib(count: float) -> str:
    """Return a number of bytes for people."""
    return f"{count / MIB:,.1f} MiB"
