"""Time that counts as waiting: that in which the loop ran, or slept as it meant to.  Pure.

A process that was stopped, or whose machine was suspended, or that got no processor, has not
waited: it could not have seen an answer that was there.  So the time that all deadlines are
measured by stands still meanwhile.

The first reader of the clock after such a *pause* finds it, because the loop says until when it
means to sleep, and reads the clock at least once in each of its rounds: what lies between is a
pause if it is longer than any round of ours should be.  Then the time stays what it was when the
loop went to sleep, and goes on when all that came meanwhile has been handled: when the loop has
polled once, and has nothing left to do.  So the answers that wait in sockets are read before any
deadline ends, however near that was.

Known weakness: a pause shorter than `PAUSE_SECONDS_MIN` counts as waiting, as does what a sleep had
left when it began.
"""

from dataclasses import dataclass
from typing import Final

# Rounds of the loop take milliseconds.  A busy machine may take a tenth of a second away; to count
# that as no time would make all timeouts longer there.
PAUSE_SECONDS_MIN: Final = 0.5
# The loop sleeps no longer at a time, so that little of a pause hides in a sleep.  Nobody waits for
# what has a deadline sooner than that: the loop sleeps until then.
SLEEP_SECONDS_MAX: Final = 1.0
# After a pause time goes on at the latest then, though the loop always has something to do.
STILL_SECONDS_MAX: Final = 2.0
assert max(SLEEP_SECONDS_MAX, PAUSE_SECONDS_MIN) < STILL_SECONDS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseStatistics:
    """How often and how long the loop did not run, though it would have."""

    pauses_total: int
    paused_seconds_total: float


class LoopTime:
    """Turns seconds of the world (monotonic) into seconds of the loop.  Both begin alike."""

    def __init__(self, world: float) -> None:
        self._world = world
        self._now = world
        # How much of the world's time did not count.
        self._behind = 0.0
        # Until when the loop means to sleep.
        self._wakes_at = world
        # While time stands still: until when at the latest, and whether the loop has polled since.
        self._still_until: float | None = None
        self._has_polled = False
        self.pauses_total = 0
        self._paused_seconds_total = 0.0

    @property
    def stands_still(self) -> bool:
        """Whether what came during a pause is not handled yet."""
        return self._still_until is not None

    def read(self, world: float) -> float:
        """Return the time of the loop; `world` never goes back."""
        elapsed = world - self._world
        if elapsed > PAUSE_SECONDS_MIN:
            late = world - max(self._world, self._wakes_at)
            if late > PAUSE_SECONDS_MIN:
                self._on_pause(world, late)
        if self._still_until is not None:
            return self._stand_still(world)
        self._world = self._wakes_at = world
        self._now = max(self._now, world - self._behind)
        return self._now

    def sleep_seconds(self, world: float, deadline: float) -> float:
        """Return how long the loop may sleep, now that it has nothing to do.

        `deadline` is a time of the loop.
        """
        now = self.read(world)
        if self._still_until is not None:
            if not self._has_polled:
                self._has_polled = True
                return 0.0
            self._go_on()
        seconds = max(0.0, min(deadline - now, SLEEP_SECONDS_MAX))
        self._wakes_at = world + seconds
        return seconds

    def statistics(self) -> PauseStatistics:
        """Return a snapshot."""
        return PauseStatistics(
            pauses_total=self.pauses_total, paused_seconds_total=self._paused_seconds_total
        )

    def _on_pause(self, world: float, seconds: float) -> None:
        self.pauses_total += 1
        self._paused_seconds_total += seconds
        self._still_until = world + STILL_SECONDS_MAX
        self._has_polled = False

    def _stand_still(self, world: float) -> float:
        assert self._still_until is not None
        self._world = self._wakes_at = world
        self._behind = world - self._now
        if world >= self._still_until:
            self._go_on()
        return self._now

    def _go_on(self) -> None:
        self._still_until = None
