"""How much a counter has risen of late.  Pure."""

from collections import deque
from typing import Final, Generic, TypeVar

Number = TypeVar("Number", int, float)

WINDOW_SECONDS: Final = 60.0
# Looks that come sooner than this after another are not remembered.
APART_SECONDS: Final = 1.0


class Recent(Generic[Number]):
    """One counter."""

    def __init__(self, first: Number) -> None:
        """`first` is what the counter began with."""
        self._first: Number = first
        # When it had which value, oldest first: one from before the window, and those inside it.
        self._seen: deque[tuple[float, Number]] = deque()

    def on_total(self, total: Number, now: float) -> Number:
        """Return by how much it is more than it was `WINDOW_SECONDS` ago."""
        if not self._seen:
            self._seen.append((now - APART_SECONDS, self._first))
        if now >= self._seen[-1][0] + APART_SECONDS:
            self._seen.append((now, total))
        while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()
        return total - self._seen[0][1]
