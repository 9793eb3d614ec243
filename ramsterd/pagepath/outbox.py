"""Outbox: what one pass asks the outside to do, in order, and the frames among it.

Order matters in one place: what a peer is owed (flushes) stands before any new PUT to it.
"""

from array import array
from collections.abc import Iterable
from typing import Final

from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import PeerStatus
from ramsterd.pagepath.effects import Effect, Send
from ramsterd.remote import wire
from ramsterd.remote.fetch.asking import FetchRequest
from ramsterd.remote.send.shipment import Put, Shipment
from ramsterd.remote.wire import MessageType, PageList

REQUEST_ID_MAX: Final = 0xFFFF_FFFF


class Outbox:
    """Effects that wait for the end of the pass, and the numbers of our requests."""

    def __init__(self, *, request_seconds_max: float) -> None:
        self._request_seconds_max = request_seconds_max
        self._effects: list[Effect] = []
        self.last_request_id = 0

    def add(self, *effects: Effect) -> None:
        """Something else than a frame is to be done."""
        self._effects += effects

    def take(self) -> list[Effect]:
        """Return all since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def next_request_id(self) -> int:
        """Return the number of a new request."""
        self.last_request_id = self.last_request_id % REQUEST_ID_MAX + 1
        return self.last_request_id

    def reply(
        self, node: NodeId, frame: Frame, count: int, table: bytes, body: bytes = b""
    ) -> None:
        """Answer a request."""
        self._effects.append(
            Send(node, frame.type, count, table, body, request_id=frame.request_id, is_reply=True)
        )

    def reply_list(self, node: NodeId, request_id: int, listed: PageList) -> None:
        """Tell an owner which of its pages are here."""
        table = wire.list_reply_table(listed)
        self._effects.append(
            Send(
                node,
                MessageType.LIST_PAGES,
                len(listed.ranges),
                table,
                request_id=request_id,
                is_reply=True,
            )
        )

    def list_pages(self, node: NodeId, first: int, request_id: int) -> None:
        """Ask a holder which pages of ours it keeps, from a serial on."""
        self._effects.append(
            Send(
                node,
                MessageType.LIST_PAGES,
                1,
                wire.list_table(first),
                request_id=request_id,
                seconds_max=self._request_seconds_max,
            )
        )

    def put(self, put: Put, request_id: int, table: bytes) -> None:
        """Ask a peer to keep a shipment.

        `table` is the shipment's, the same for each of its peers.
        """
        shipment = put.shipment
        self._effects.append(
            Send(
                put.holder.node,
                MessageType.PUT_PAGES,
                len(shipment.serials),
                table,
                shipment.body,
                request_id,
                seconds_max=self._request_seconds_max,
            )
        )

    def get(self, node: NodeId, request: FetchRequest, request_id: int) -> None:
        """Ask a peer for pages."""
        self._effects.append(
            Send(
                node,
                MessageType.GET_PAGES,
                len(request.serials),
                wire.get_table(request.serials),
                request_id=request_id,
                seconds_max=self._request_seconds_max,
            )
        )

    def flush(self, node: NodeId, serials: Iterable[int]) -> None:
        """Tell a peer what nobody will ask for again."""
        ranges = wire.serial_ranges(serials)
        for start in range(0, len(ranges), wire.RANGES_PER_FRAME_MAX):
            some = ranges[start : start + wire.RANGES_PER_FRAME_MAX]
            table = wire.flush_table(some)
            self._effects.append(Send(node, MessageType.FLUSH_PAGES, len(some), table))

    def status(self, node: NodeId, status: PeerStatus) -> None:
        """Tell a peer how we are."""
        table = wire.status_message(status)
        self._effects.append(Send(node, MessageType.STATUS, 1, table))

    def recall(self, node: NodeId, pages_max: int | None) -> None:
        """Tell a peer how many of its pages we are ready to keep.

        None: as many as there is room for.
        """
        table = wire.recall_table(wire.PAGES_ANY if pages_max is None else pages_max)
        self._effects.append(Send(node, MessageType.RECALL, 1, table))

    def farewell(self, node: NodeId, incarnation: Incarnation) -> None:
        """Tell a peer that this incarnation asks for nothing any more."""
        table = wire.owner_table(incarnation)
        self._effects.append(Send(node, MessageType.FLUSH_OWNER, 1, table))


def shipment_table(shipment: Shipment) -> bytes:
    """Return the table of a PUT_PAGES of all blocks of a shipment."""
    checksums, packed = array("Q"), array("H")
    for leaving in shipment.blocks:
        checksums += leaving.checksums
        packed += leaving.packed
    return wire.put_table(shipment.kind, shipment.serials, checksums, packed)
