"""Backoff: a node that failed gets nothing for a while, and twice as long after each further failure.

The users of a backoff decide what a failure is, and what ends the backoff: `refusal_backoff` for
refusals, `trust` for bad copies.
"""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """One node's failures in a row, and until when it is left alone."""

    seconds_first: float
    doubled_max: int
    failures: int = 0
    until: float = -math.inf

    def fail(self, now: float) -> bool:
        """Note a failure.

        Return whether it counts: what fails during a wait belongs to the failure before it.
        """
        if now < self.until:
            return False
        self.until = now + self.seconds_first * 2 ** min(self.failures, self.doubled_max)
        self.failures += 1
        return True
