"""Stall: for how long something that should move has stood still.  Pure.

What the measure is, when it has moved, in what the time is counted and how long is too long is for
the caller to say: memory that should be given back (`core.resize`), pages that should leave
(`remote.hold.recall_holder`), a drain that an operator waits for (`cli.drain_progress`).
"""

import operator
from collections.abc import Callable
from typing import Generic, TypeVar

ProgressT = TypeVar("ProgressT")


class Stall(Generic[ProgressT]):
    """The last value of a measure that counted as progress, and since when it has been that."""

    def __init__(self, has_moved: Callable[[ProgressT, ProgressT], bool] = operator.ne) -> None:
        """Begin without a value.

        `has_moved` compares the last one that counted with the present one.
        """
        self._has_moved = has_moved
        self._progress: ProgressT | None = None
        self._since = 0.0

    def restart(self, at: float) -> None:
        """The wait begins anew, whatever the measure says."""
        self._since = at

    def look(self, progress: ProgressT, at: float, *, is_moving: bool = False) -> float:
        """Take note of the measure.

        Return for how long it has stood still, 0 if it moved or need not.
        """
        if is_moving or self._progress is None or self._has_moved(self._progress, progress):
            self._progress, self._since = progress, at
        return at - self._since


def has_fallen(lowest: int, number: int) -> bool:
    """Whether a number that should fall is lower than ever."""
    return number < lowest
