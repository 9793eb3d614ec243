"""One peer link: one reader, one writer, a request table.  The interface that ramsterd.pagepath.peers uses.

`net.peerlink.PeerLink` is the real one.  This module is free of trio, so that pure code may name a
`Failure`.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from net.frame import Frame
from net.transport import Piece
from nodemanager.ids import Incarnation, NodeId


class Failure(enum.Enum):
    """The failure of a request that has no answer.  In each case nobody knows whether the peer acted on it."""

    LOST = "the link was lost"
    TIMED_OUT = "no answer in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatistics:
    """Plain counts of one link."""

    frames_sent_total: int
    frames_received_total: int
    bytes_sent_total: int
    bytes_received_total: int
    requests_in_flight: int
    send_queue_bytes: int
    late_replies_total: int
    timeouts_total: int


class Link(Protocol):
    """An open link to one peer, after both HELLOs were accepted.  All methods are synchronous."""

    node: NodeId
    incarnation: Incarnation
    # How often that incarnation went on with kept memory before it opened this link.
    attach_count: int
    # What the peer's application understands beyond the first version (HELLO).
    features: int

    @property
    def send_queue_bytes(self) -> int:
        """Bytes queued and not yet taken by the socket.  A link whose peer does not read is closed at a bound."""
        ...

    def post(
        self,
        frame_type: int,
        *,
        count: int = 0,
        table: Piece = b"",
        body: Sequence[Piece] = (),
        request_id: int = 0,
        is_reply: bool = False,
    ) -> None:
        """Queue a frame that expects no answer, or is one.  Nothing happens once the link is lost.

        Table and bodies may be views of buffers; the bodies must stay as they are until the next
        `push`.

        Raises:
            LocalProtocolError: The frame exceeds the limits of its type.
        """
        ...

    def request(
        self,
        frame_type: int,
        *,
        request_id: int,
        deadline: float,
        count: int = 0,
        table: Piece = b"",
        body: Sequence[Piece] = (),
    ) -> None:
        """Queue a request; its reply comes to `on_frames`, or its failure to `on_requests_failed`.

        `request_id` is the caller's, not 0 and not in use on this link.  `deadline` is monotonic
        seconds.

        Raises:
            LocalProtocolError: The id is in use, the frame exceeds the limits of its type, more
                than `requests_in_flight_max` are under way, or `on_link_lost` was already told.
        """
        ...

    def push(self) -> None:
        """Send now, in as few system calls as possible, what is queued.

        The writer task sends the rest.

        When it returns, the buffers of posted views may change: what could not be sent has been
        copied.
        """
        ...

    def ask(self) -> None:
        """Have the peer say something at once: it may be alive, and have nothing to say."""
        ...

    def close(self, reason: str) -> None:
        """Say goodbye and close the link.

        `on_link_lost` follows, later, from the link's own task.
        """
        ...

    def statistics(self) -> LinkStatistics:
        """Return a snapshot."""
        ...


class LinkHandler(Protocol):
    """The handler of events on links.  Called synchronously from the link's tasks.

    Must not block.
    """

    def on_link_up(self, link: Link) -> None:
        """Both sides accepted each other."""
        ...

    def on_frames(self, link: Link, frames: list[Frame]) -> None:
        """Requests, messages and matched replies that one receive brought, in their order.

        None at all: what came is for the link alone, and still shows that the peer is alive.
        A reply whose request is not in the table (it timed out) is counted and not passed on.

        Raises:
            RemoteProtocolError: The contents break the protocol; the link is closed with the
                reason.
        """
        ...

    def on_requests_failed(self, link: Link, failures: list[tuple[int, Failure]]) -> None:
        """These requests (by id) will get no answer."""
        ...

    def on_link_lost(self, link: Link, reason: str) -> None:
        """The link is gone; comes after `on_requests_failed` for all that was under way."""
        ...
