"""One snapshot for all that look in the same moment, or while nothing changes: it is the dearest part of a look.

A daemon at rest looks at itself again and again, with cold caches: each snapshot takes milliseconds
then, and shows what the one before showed.
"""

from collections.abc import Callable
from typing import Final

from ramsterd.host.loop_clock import world_time
from ramsterd.observe.snapshot import DaemonStatistics

# Those that wake in one round of the loop look within this time.
MOMENT_SECONDS: Final = 0.1
# What time alone changes is found so late: a certificate that runs out, a disk that fills up.
REST_SECONDS: Final = 10.0


class SharedSnapshot:
    """Call it: it returns a snapshot that is not older than a moment, or one that nothing has happened since."""

    def __init__(
        self,
        take: Callable[[], DaemonStatistics],
        *,
        signs: Callable[[], object],
        is_settled: Callable[[DaemonStatistics], bool],
        clock: Callable[[], float] = world_time,
    ) -> None:
        """Wire it.

        Args:
            take: Takes a snapshot.
            signs: Returns something cheap that is not what it was if anything has happened.
            is_settled: Whether time alone changes nothing that follows from a snapshot: no code of
                health is about to appear, no job goes on, nobody waits.
            clock: Monotonic seconds that go on while the process is stopped.
        """
        self._take = take
        self._signs, self._is_settled = signs, is_settled
        self._clock = clock
        # When it was taken, and when it was found good enough last.
        self._taken_at = self._good_at = float("-inf")
        self._signs_then: object = None
        self._snapshot: DaemonStatistics | None = None

    def __call__(self) -> DaemonStatistics:
        """Return it."""
        now = self._clock()
        present = self._snapshot
        if present is not None and now - self._good_at <= MOMENT_SECONDS:
            return present
        signs, self._good_at = self._signs(), now
        if present is not None and self._is_good_enough(present, signs, now):
            return present
        # One that can't be taken is no snapshot, also for the next who looks.
        self._snapshot = None
        taken, self._taken_at, self._signs_then = self._take(), now, signs
        self._snapshot = taken
        return taken

    def _is_good_enough(self, present: DaemonStatistics, signs: object, now: float) -> bool:
        if now - self._taken_at >= REST_SECONDS or signs != self._signs_then:
            return False
        return self._is_settled(present)
