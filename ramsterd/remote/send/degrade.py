"""Degrade: on how many peers a block is kept while fewer peers have room than its pools want copies.

A block waits for `copies` peers.
After a grace time it leaves for fewer peers, down to the minimum of its pools (`copies_min`).
A refusal or a check ends within the grace time, and costs no copy.
Of peers that are not even *present* (they have no link, are not up, or leave a PUT unanswered) half
of it is waited for: that is longer than most suspicions, and a client waits all the while.
A node that is down costs this time once, not for each write.
Pages that left so are at risk (`rebuild`), and get their copies when there are peers for them.

Each number of peers has its own time since when there were fewer, able or present.
What ends for a moment only goes on.
So blocks that want three copies leave for two peers after one grace time, and for one peer after a
second one.
"""

import math
from typing import Final

from config.limits import COPIES_MAX
from ramsterd.remote.limits.alarm import Alarm

# Of the time that a write waits for room.  A peer that hangs is given up after a quarter of it
# (`put_timeout`), and has been absent all that time.
GRACE_PART: Final = 1 / 4
ABSENCE_PART: Final = 1 / 8
# A shortage is over when there have been enough peers for so long: as long as from one STATUS to the
# next while something changes.  Peers that are nearly full have room for a moment after each, and it
# is taken at once.
SETTLED_SECONDS: Final = 0.5


class Degrade(Alarm):
    """Since when there have been too few peers, and what that means."""

    def __init__(self, *, put_wait_seconds_max: float) -> None:
        super().__init__()
        self._able = _Shortage(GRACE_PART * put_wait_seconds_max)
        self._present = _Shortage(ABSENCE_PART * put_wait_seconds_max)

    def look(self, able: int, present: int, now: float, *, since: float = math.inf) -> None:
        """Note how many peers have room now, and how many are there at all.

        What is new of an absence began at `since`, if it was noticed only now.
        """
        self._able.look(able, now)
        self._present.look(present, min(since, now))

    def attainable(self, now: float) -> int:
        """Return for how many peers a block may be made to wait, from what was noted."""
        peers = COPIES_MAX
        while peers and now >= self._over_at(peers):
            peers -= 1
        return peers

    def _over_at(self, peers: int) -> float:
        """Return from when on so many peers are not waited for."""
        return min(self._able.over_at(peers), self._present.over_at(peers))

    def copies_now(self, copies: int, fewest: int, able: int, present: int, now: float) -> int:
        """Return for how many peers a block leaves now; 0: it waits.

        Args:
            copies: How many it wants.
            fewest: How many it must have.
            able: How many have room for it.
            present: How many might have.
            now: Monotonic seconds.
        """
        self.look(able, present, now)
        if copies <= able:
            return copies
        wanted = max(min(copies, self.attainable(now)), fewest)
        if wanted <= able:
            return wanted
        if wanted > fewest:  # it may do with fewer in a while
            self._wake(self._over_at(wanted))
        return 0


class _Shortage:
    """By the number of peers: since when there have been fewer, and how long that is waited for."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._since = [math.inf] * (COPIES_MAX + 1)
        # Since when there have been enough again.
        self._enough_since = [math.inf] * (COPIES_MAX + 1)

    def look(self, count: int, at: float) -> None:
        for peers in range(1, COPIES_MAX + 1):
            if count < peers:
                self._enough_since[peers] = math.inf
                self._since[peers] = min(self._since[peers], at)
                continue
            self._enough_since[peers] = min(self._enough_since[peers], at)
            if at - self._enough_since[peers] >= SETTLED_SECONDS:
                self._since[peers] = math.inf

    def over_at(self, peers: int) -> float:
        return self._since[peers] + self._grace_seconds
