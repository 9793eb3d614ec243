"""Stall: for how long something that should move has stood still.  Pure.

What the measure is, in what the time is counted and how long is too long is for the caller to say: memory that should be
given back (`core.resize`), pages that should leave (`remote.hold.recall_holder`).
"""


class Stall:
    """The last value of a measure, and since when it has been that."""

    def __init__(self) -> None:
        self._progress: object = None
        self._since = 0.0

    def restart(self, at: float) -> None:
        """The wait begins anew, whatever the measure says."""
        self._since = at

    def look(self, progress: object, at: float, *, is_moving: bool = False) -> float:
        """Take note of the measure; return for how long it has stood still, 0 if it moved or need not."""
        if is_moving or progress != self._progress:
            self._since = at
        self._progress = progress
        return at - self._since
