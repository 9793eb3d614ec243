"""How often strangers may make us write to the log.  Pure.

Whoever can open a connection can make it fail.  Of the warnings about that a bounded number is logged in each
span of time; what was left out is counted, and said with the first one of the next span.  Members have a budget of their own (`net.listener`).
"""

from typing import Final

COMPLAINTS_MAX: Final = 60
SPAN_SECONDS: Final = 60.0


class Complaints:
    """A budget of lines."""

    def __init__(
        self, lines_max: int = COMPLAINTS_MAX, *, span_seconds: float = SPAN_SECONDS
    ) -> None:
        self._lines_max = lines_max
        self._span_seconds = span_seconds
        self._began_at = float("-inf")
        self._lines = 0
        self._left_out = 0
        self.left_out_total = 0

    def allow(self, *, now: float) -> int | None:
        """Return how many lines were left out before this one, or None: leave this one out too."""
        left_out = 0
        if now >= self._began_at + self._span_seconds:
            self._began_at, self._lines = now, 0
            left_out, self._left_out = self._left_out, 0
        if self._lines >= self._lines_max:
            self._left_out += 1
            self.left_out_total += 1
            return None
        self._lines += 1
        return left_out
