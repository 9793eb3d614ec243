"""PUTs in flight: of one kind of pages, those to which an answer may come.

A PUT that was given up is not waited for any more: its blocks went back, and are sent to others.
The answer may come all the same, so its request stays known until then.
"""

from collections.abc import Collection, Iterable
from itertools import chain

from nodemanager.ids import NodeId
from ramsterd.remote.send.shipment import Put


class PutsInFlight:
    """PUTs by request id."""

    def __init__(self) -> None:
        self._waited: dict[int, Put] = {}
        self._given_up: dict[int, Put] = {}
        # When each PUT of these two left.
        self._sent_at: dict[int, float] = {}

    def begin(self, request_id: int, put: Put, now: float) -> None:
        """The PUT is on its way."""
        self._waited[request_id] = put
        self._sent_at[request_id] = now

    def give_up(self, request_id: int) -> Put:
        """Wait for an answer no more; return the PUT."""
        put = self._given_up[request_id] = self._waited.pop(request_id)
        return put

    def end(self, request_id: int) -> Put | None:
        """The request is over; return its PUT, or None if it was given up before."""
        del self._sent_at[request_id]
        if self._given_up.pop(request_id, None) is not None:
            return None
        return self._waited.pop(request_id)

    def __contains__(self, request_id: int) -> bool:
        """Whether an answer to this request may come."""
        return request_id in self._sent_at

    @property
    def waited(self) -> Collection[Put]:
        """Those that are waited for."""
        return self._waited.values()

    def sent_at(self, request_id: int) -> float:
        """Return when a PUT left."""
        return self._sent_at[request_id]

    def pages(self, request_id: int) -> int:
        """Return how many pages a PUT has, given up or not."""
        put = self._waited.get(request_id) or self._given_up[request_id]
        return len(put.shipment.serials)

    def overdue(self, seconds_max: float, now: float) -> dict[int, Put]:
        """Return those that are waited for, and have been under way for so long."""
        return {
            request_id: put
            for request_id, put in self._waited.items()
            if self._sent_at[request_id] + seconds_max <= now
        }

    def next_overdue(self, seconds_max: float, *, after: float) -> float | None:
        """Return when the next one is overdue, of those that were not by a time."""
        if not self._waited:
            return None
        times = (self._sent_at[request_id] + seconds_max for request_id in self._waited)
        return next((at for at in times if at > after), None)

    # By peer.

    def silent(self) -> set[NodeId]:
        """Return the peers that owe an answer which is not waited for any more."""
        return {put.holder.node for put in self._given_up.values()}

    def is_any_to(self, node: NodeId) -> bool:
        """Whether an answer of this peer may come."""
        if not self._sent_at:
            return False  # as mostly, and asked at each STATUS
        return _is_any(chain(self._waited.values(), self._given_up.values()), node)

    def is_waited_from(self, node: NodeId) -> bool:
        """Whether an answer of this peer is waited for."""
        return _is_any(self._waited.values(), node)

    def busy(self) -> list[NodeId]:
        """Return the peer of each PUT that is waited for."""
        return [put.holder.node for put in self._waited.values()]

    def bytes_to(self, node: NodeId) -> int:
        """Return how many bytes of zpages are on their way to a peer."""
        return sum(
            len(put.shipment.body) for put in self._waited.values() if put.holder.node == node
        )

    def pages_by_node(self) -> dict[NodeId, int]:
        """Return how many pages are on their way to each peer."""
        pages: dict[NodeId, int] = {}
        for put in self._waited.values():
            pages[put.holder.node] = pages.get(put.holder.node, 0) + len(put.shipment.serials)
        return pages

    # What is true.

    def count_pages(self) -> int:
        """Return how many pages are on their way, those for two peers twice."""
        return sum(len(put.shipment.serials) for put in self._waited.values())

    def check_invariants(self) -> None:
        """Assert that each request is waited for, or given up, and its time is known."""
        assert not self._waited.keys() & self._given_up.keys()
        assert self._sent_at.keys() == self._waited.keys() | self._given_up.keys()


def _is_any(puts: Iterable[Put], node: NodeId) -> bool:
    return any(put.holder.node == node for put in puts)
