"""One time at which pages that wait for something are looked at again.  Pure."""


class Alarm:
    """A machine whose waiters are woken all at once, when the first of them is due."""

    def __init__(self) -> None:
        # None: nobody waits.
        self._wake_at: float | None = None

    def _wake(self, at: float) -> None:
        """Wake at this time, or before."""
        self._wake_at = at if self._wake_at is None else min(at, self._wake_at)

    @property
    def is_waiting(self) -> bool:
        """Whether pages that should leave wait for that time."""
        return self._wake_at is not None

    def next_deadline(self) -> float | None:
        """Return when to try again; None when nobody waits."""
        return self._wake_at

    def on_deadline(self, now: float) -> None:
        """Those who wait ask again in the pass that this call begins."""
        if self._wake_at is not None and self._wake_at <= now:
            self._wake_at = None


def earlier(one: float | None, other: float | None) -> float | None:
    """Return the earlier of two deadlines, None if there is none."""
    if one is None:
        return other
    return one if other is None or one <= other else other
