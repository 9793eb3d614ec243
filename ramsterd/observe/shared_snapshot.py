"""One snapshot for all that look in the same moment: it is the dearest part of a look, and of a daemon at rest."""

from collections.abc import Callable
from typing import Final

from ramsterd.host.loop_clock import world_time
from ramsterd.observe.snapshot import DaemonStatistics

# Those that wake in one round of the loop look within this time.
MOMENT_SECONDS: Final = 0.1


class SharedSnapshot:
    """Call it: it returns a snapshot that is not older than a moment."""

    def __init__(
        self,
        take: Callable[[], DaemonStatistics],
        *,
        clock: Callable[[], float] = world_time,
    ) -> None:
        """Wire it; `clock` is monotonic seconds that go on while the process is stopped."""
        self._take = take
        self._clock = clock
        self._taken_at = float("-inf")
        self._snapshot: DaemonStatistics | None = None

    def __call__(self) -> DaemonStatistics:
        """Return it."""
        now = self._clock()
        if self._snapshot is None or now - self._taken_at > MOMENT_SECONDS:
            # One that can't be taken is no snapshot, also for the next who looks.
            self._snapshot = None
            self._snapshot, self._taken_at = self._take(), now
        return self._snapshot
