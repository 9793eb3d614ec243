"""A rate for work that nobody waits for, as pages that may be moved now: what was not used is saved up, a little."""

from typing import Final

SAVED_SECONDS_MAX: Final = 0.1


class PageRate:
    """How many pages may be moved now."""

    def __init__(self, pages_per_second_max: int) -> None:
        self._pages_per_second_max = pages_per_second_max
        self._saved = 0.0
        self._ticked_at: float | None = None

    def set_rate(self, pages_per_second_max: int) -> None:
        """Allow more or less from the next tick on."""
        self._pages_per_second_max = pages_per_second_max

    def on_tick(self, now: float) -> float:
        """Allow what the time since the last tick gives.

        Return that time in seconds, 0 at the first.
        """
        seconds = 0.0 if self._ticked_at is None else now - self._ticked_at
        self._ticked_at = now
        rate = self._pages_per_second_max
        # At least two pages: a low rate is saved up to one, and what is over is not lost.
        saved_max = max(2.0, rate * SAVED_SECONDS_MAX) if rate else 0.0
        self._saved = min(self._saved + rate * seconds, saved_max)
        return seconds

    @property
    def pages(self) -> int:
        """How many pages may be moved; what was moved beyond that is made good first."""
        return max(0, int(self._saved))

    def spend(self, pages: int) -> None:
        """So many pages are moved."""
        self._saved -= pages
