"""Degrade: on how many peers a block is kept while fewer peers have room than its pools want copies.

A block waits for `copies` peers.
After a grace time it leaves for fewer peers, down to the minimum of its pools (`copies_min`).
A suspicion, a refusal or a check ends within the grace time, and costs no copy.
A node that is down costs this time once, not for each write.
Pages that left so are at risk (`rebuild`), and get their copies when there are peers for them.

Each number of peers has its own time since when there were fewer.
So blocks that want three copies leave for two peers after one grace time, and for one peer after a
second one.
"""

import math
from typing import Final

from config.limits import COPIES_MAX
from ramsterd.remote.limits.alarm import Alarm

# Of the time that a write waits for room.  With as much for a peer that hangs (`put_timeout`) half
# of it is left.
GRACE_PART: Final = 1 / 4


class Degrade(Alarm):
    """Since when there have been too few peers, and what that means."""

    def __init__(self, *, put_wait_seconds_max: float) -> None:
        super().__init__()
        self._grace_seconds = GRACE_PART * put_wait_seconds_max
        # By the number of peers: since when there have been fewer.
        self._short_since = [math.inf] * (COPIES_MAX + 1)

    def look(self, able: int, now: float) -> None:
        """Note how many peers have room now."""
        for peers in range(1, COPIES_MAX + 1):
            if able >= peers:
                self._short_since[peers] = math.inf
            elif self._short_since[peers] == math.inf:
                self._short_since[peers] = now

    def attainable(self, now: float) -> int:
        """Return for how many peers a block may be made to wait, from what was noted."""
        peers = COPIES_MAX
        while peers and now >= self._short_since[peers] + self._grace_seconds:
            peers -= 1
        return peers

    def copies_now(self, copies: int, fewest: int, able: int, now: float) -> int:
        """Return for how many peers a block leaves now; 0: it waits.

        Args:
            copies: How many it wants.
            fewest: How many it must have.
            able: How many have room for it.
            now: Monotonic seconds.
        """
        self.look(able, now)
        wanted = max(min(copies, self.attainable(now)), fewest)
        if wanted <= able:
            return wanted
        if wanted > fewest:  # it may do with fewer in a while
            self._wake(self._short_since[wanted] + self._grace_seconds)
        return 0
