"""The requests of one connection that wait: for a peer, for room, or for work that is done in slices.  Pure.

Each is bounded by what it may make the daemon hold: the bytes of data that a reply or a payload
keeps in memory meanwhile.
"""

from collections.abc import Callable
from typing import Any

from ramsterd.frontends.clients.counters import Counters


class InFlight:
    """How many requests wait, and how many bytes of data they concern.

    `on_late_reply` is called when one was answered outside of a pass: nobody else would send the
    answer.
    """

    __slots__ = (
        "_bytes_max", "_counters", "_on_late_reply", "_requests_max", "bytes", "count", "is_closed", "is_in_pass",
    )  # fmt: skip

    def __init__(
        self,
        counters: Counters[Any, Any],
        on_late_reply: Callable[[], object],
        *,
        bytes_max: int,
        requests_max: int,
    ) -> None:
        self.count = 0
        self.bytes = 0
        self.is_closed = False
        self.is_in_pass = False
        self._counters = counters
        self._on_late_reply = on_late_reply
        self._bytes_max = bytes_max
        self._requests_max = requests_max

    @property
    def is_full(self) -> bool:
        """Whether no more requests may come."""
        return self.bytes >= self._bytes_max or self.count >= self._requests_max

    def room(self, count_bytes: int) -> int:
        """Return how many more requests of so many bytes each may wait."""
        by_bytes = -((self.bytes - self._bytes_max) // count_bytes)
        return max(0, min(by_bytes, self._requests_max - self.count))

    def begin(self, count_bytes: int, requests: int = 1) -> None:
        """A request waits, or some that have so many bytes together."""
        self.count += requests
        self.bytes += count_bytes
        self._counters.in_flight_count += requests

    def end(self, count_bytes: int, requests: int = 1) -> None:
        """Those wait no more."""
        assert self.count >= requests, "what waits ends once"
        self.count -= requests
        self.bytes -= count_bytes
        self._counters.in_flight_count -= requests

    def on_answered(self) -> None:
        """The reply to a request that had waited is in the queue."""
        if not self.is_in_pass:
            self._on_late_reply()

    def close(self) -> None:
        """The connection is over: nothing waits any more."""
        self.is_closed = True
        self._counters.in_flight_count -= self.count
        self.count = self.bytes = 0
