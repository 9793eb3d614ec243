"""How long an answer takes, and after how long it is worth asking another holder.

Smoothed mean and deviation, as TCP estimates its retransmission timer (Jacobson 1988; RFC 6298,
section 2): a hedge leaves at the mean plus four deviations.  Asking twice costs bandwidth, so it
must be the exception.
"""

from typing import Final

# Below this the other holder's answer would come no sooner than the first one's.
HEDGE_SECONDS_MIN: Final = 0.01
# A silent peer holds up a read no longer than this.
HEDGE_SECONDS_MAX: Final = 0.5
# Before the first answer is known.
HEDGE_SECONDS_FIRST: Final = 0.1
_MEAN_WEIGHT: Final = 1 / 8
_DEVIATION_WEIGHT: Final = 1 / 4
_DEVIATIONS: Final = 4

assert HEDGE_SECONDS_MIN < HEDGE_SECONDS_FIRST < HEDGE_SECONDS_MAX


class HedgeDelay:
    """The estimate."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0
        self.hedge_seconds = HEDGE_SECONDS_FIRST

    def on_answer(self, seconds: float) -> None:
        """An answer took so long."""
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
        else:
            self._deviation += _DEVIATION_WEIGHT * (abs(seconds - self._mean) - self._deviation)
            self._mean += _MEAN_WEIGHT * (seconds - self._mean)
        wanted = self._mean + _DEVIATIONS * self._deviation
        self.hedge_seconds = min(max(wanted, HEDGE_SECONDS_MIN), HEDGE_SECONDS_MAX)
