"""Long work, done a bounded slice at a time: the one helper for all that may touch more than a pass should.

Work is a generator that does a bounded step (some hundred units, see core.work) and yields how many
units that was.  All that is under way shares `SLICE_UNITS` in a pass, in turn, and goes on in the
next pass, a moment later: so a pass is as short with ten of them as with one, and all other work
has its turn in between.

Between two steps anything may have changed: a generator keeps an index or a number to go on from,
never what stood there.
"""

from collections import deque
from collections.abc import Generator
from typing import Final, TypeAlias

# Some 5 ms, and the pause after them: at most two thirds of a processor.
SLICE_UNITS: Final = 4096
SLICE_SECONDS: Final = 0.002

Steps: TypeAlias = Generator[int, None, None]


class Slices:
    """The tasks under way, and when their next slice is due."""

    def __init__(self) -> None:
        self._under_way: deque[Steps] = deque()
        self._next_at = 0.0

    def __len__(self) -> int:
        """Return how much is under way."""
        return len(self._under_way)

    def add(self, steps: Steps) -> None:
        """Begin with the next slice."""
        self._under_way.append(steps)

    def next_deadline(self) -> float | None:
        """Return when the next slice is due."""
        return self._next_at if self._under_way else None

    def on_deadline(self, now: float, units_max: int = SLICE_UNITS) -> None:
        """Do the next slice, if it is due."""
        if self._under_way and self._next_at <= now:
            self._next_at = now + SLICE_SECONDS
            self._run(units_max)

    def _run(self, units_max: int) -> None:
        share, left = max(1, units_max // len(self._under_way)), units_max
        while self._under_way and left > 0:
            steps, used = self._under_way.popleft(), 0
            for units in steps:
                used += units
                if used >= min(share, left):
                    self._under_way.append(steps)
                    break
            left -= max(1, used)
