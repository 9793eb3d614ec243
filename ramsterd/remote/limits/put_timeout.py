"""Put timeout: how long a peer may take to answer a PUT before its blocks go to another peer.

Sending again costs the bytes twice, so it must be rare, also where all peers are slow.
So the timeout is a multiple of recent answer times, late answers included.
While answers come soon it is a part of the time that a write waits for room: the write then sees
two more attempts.
"""

from typing import Final

_MEAN_WEIGHT: Final = 1 / 8
_MEANS: Final = 4
# Of the time that a write waits for room, at least.
_LEAST_PART: Final = 1 / 4


class PutTimeout:
    """The estimate."""

    def __init__(self, *, put_wait_seconds_max: float, request_seconds_max: float) -> None:
        """Begin with no answer known.

        Args:
            put_wait_seconds_max: How long a write waits for room.
            request_seconds_max: When a request fails for want of an answer.
        """
        self._most = request_seconds_max
        self._least = min(_LEAST_PART * put_wait_seconds_max, request_seconds_max)
        self._mean = 0.0
        self.seconds = self._least

    def on_answer(self, seconds: float) -> None:
        """An answer took so long."""
        self._mean += _MEAN_WEIGHT * (seconds - self._mean)
        self.seconds = min(max(_MEANS * self._mean, self._least), self._most)
