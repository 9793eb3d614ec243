"""One peer link: one reader, one writer, a request table.  The interface that ramsterd.peers uses."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from net.frame import Frame
from net.transport import Piece
from nodemanager.ids import Incarnation, NodeId


class Failure(enum.Enum):
    """Why a request has no answer.  In each case nobody knows whether the peer acted on it."""

    LOST = "the link was lost"
    TIMED_OUT = "no answer in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatistics:
    """Plain counts of one link's life."""

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
        """Queue a frame that expects no answer, or is one.  Nothing happens once the link is lost."""
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

        `request_id` is the caller's, not 0 and not in use on this link.  `deadline` is monotonic seconds.
        """
        ...

    def push(self) -> None:
        """Send now, in as few system calls as possible, what is queued; the writer task sends the rest."""
        ...

    def close(self, reason: str) -> None:
        """Close the link; `on_link_lost` follows."""
        ...

    def statistics(self) -> LinkStatistics:
        """Return a snapshot."""
        ...


class LinkHandler(Protocol):
    """Who is told what happens on links.  Called synchronously from the link's tasks; must not block."""

    def on_link_up(self, link: Link) -> None:
        """Both sides accepted each other."""
        ...

    def on_frames(self, link: Link, frames: list[Frame]) -> None:
        """Requests, messages and matched replies that one receive brought, in their order.

        A reply whose request is not in the table (it timed out) is counted and not passed on.

        Raises:
            RemoteProtocolError: The contents break the protocol; the link is closed with the reason.
        """
        ...

    def on_requests_failed(self, link: Link, failures: list[tuple[int, Failure]]) -> None:
        """These requests (by id) will get no answer."""
        ...

    def on_link_lost(self, link: Link, reason: str) -> None:
        """The link is gone; comes after `on_requests_failed` for all that was under way."""
        ...
