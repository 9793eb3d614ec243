"""Requests that wait for their replies: who is under way, and which deadline comes first.  Pure.

A dict holds the truth; a heap orders the deadlines.  Completing a request only takes it from the
dict, in constant time, and leaves its heap entry stale.  Stale entries are dropped when they reach
the top, and all at once when they outnumber the live ones, so the heap stays within twice the table
whatever the load.  (A sorted table would pay for order on every completion, and almost every
request is completed.)
"""

import heapq
from typing import Final

from net.errors import LocalProtocolError

# Heaps smaller than this are not worth sweeping.
HEAP_SWEEP_MIN: Final = 64
REQUEST_ID_MAX: Final = 0xFFFF_FFFF


class RequestTable:
    """Request id to deadline, at most `in_flight_max` at a time."""

    def __init__(self, *, in_flight_max: int) -> None:
        assert in_flight_max > 0
        self._in_flight_max = in_flight_max
        self._deadlines: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._deadlines)

    def begin(self, request_id: int, deadline: float) -> None:
        """Note a request.

        Raises:
            LocalProtocolError: The id is in use or impossible, or too many are under way: the
                caller keeps a window smaller than `in_flight_max`.
        """
        if not 0 < request_id <= REQUEST_ID_MAX:
            raise LocalProtocolError(f"request id {request_id}, not 1 to {REQUEST_ID_MAX}")
        if request_id in self._deadlines:
            raise LocalProtocolError(f"request id {request_id} is in use")
        if len(self._deadlines) >= self._in_flight_max:
            raise LocalProtocolError(f"more than {self._in_flight_max} requests in flight")
        self._deadlines[request_id] = deadline
        heapq.heappush(self._heap, (deadline, request_id))
        if len(self._heap) > HEAP_SWEEP_MIN + 2 * len(self._deadlines):
            self._sweep()

    def complete(self, request_id: int) -> bool:
        """Take a request that was answered; False if it is not under way (any more)."""
        return self._deadlines.pop(request_id, None) is not None

    def next_deadline(self) -> float | None:
        """Return the earliest deadline."""
        heap = self._heap
        while heap:
            deadline, request_id = heap[0]
            if self._deadlines.get(request_id) == deadline:
                return deadline
            heapq.heappop(heap)
        return None

    def expire(self, *, now: float) -> list[int]:
        """Take and return the requests whose deadline has come, the earliest first."""
        expired: list[int] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, request_id = heapq.heappop(self._heap)
            del self._deadlines[request_id]
            expired.append(request_id)
        return expired

    def take_all(self) -> list[int]:
        """Take and return all requests, in the order they began."""
        taken = list(self._deadlines)
        self._deadlines.clear()
        self._heap.clear()
        return taken

    def _sweep(self) -> None:
        self._heap = [(deadline, request_id) for request_id, deadline in self._deadlines.items()]
        heapq.heapify(self._heap)

    def check_invariants(self) -> None:
        """Assert what must hold between calls."""
        assert len(self._deadlines) <= self._in_flight_max
        assert {(deadline, request_id) for request_id, deadline in self._deadlines.items()} <= set(
            self._heap
        ), "a request that no deadline would ever end"
        assert 0 not in self._deadlines
