"""The requests of one connection that wait: for a peer, for room, or for a destroyed pool to be swept.  Pure.

Each is bounded by what it may make the daemon hold.  When the connection ends, the pager forgets them, all but the
destroying of pools, which has begun: nobody is told of its end.
"""

from collections.abc import Callable

from ramsterd.frontends.tmem.counters import Counters
from ramsterd.frontends.tmem.messages import IN_FLIGHT_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX


class InFlight:
    """How many requests wait, and how many bytes of pages they concern.

    `on_late_reply` is called when one was answered outside of a pass: nobody else would send the answer.
    """

    __slots__ = ("_counters", "_on_late_reply", "bytes", "count", "is_closed", "is_in_pass")

    def __init__(self, counters: Counters, on_late_reply: Callable[[], object]) -> None:
        self.count = 0
        self.bytes = 0
        self.is_closed = False
        self.is_in_pass = False
        self._counters = counters
        self._on_late_reply = on_late_reply

    @property
    def is_full(self) -> bool:
        """Whether no more requests may come."""
        return self.bytes >= IN_FLIGHT_BYTES_MAX or self.count >= REQUESTS_IN_FLIGHT_MAX

    def begin(self, count_bytes: int) -> None:
        """A request waits."""
        self.count += 1
        self.bytes += count_bytes
        self._counters.in_flight += 1

    def end(self, count_bytes: int) -> None:
        """A request waits no more."""
        self.count -= 1
        self.bytes -= count_bytes
        self._counters.in_flight -= 1

    def on_answered(self) -> None:
        """The reply to a request that had waited is in the queue."""
        if not self.is_in_pass:
            self._on_late_reply()

    def close(self) -> None:
        """The connection is over."""
        self.is_closed = True
        self._counters.in_flight -= self.count
        self.count = self.bytes = 0
