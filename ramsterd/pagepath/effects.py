"""What page traffic asks the outside to do.  Frozen values, a few for each pass, never one for each page."""

from dataclasses import dataclass
from typing import TypeAlias

from nodemanager.ids import NodeId
from ramsterd.core.resize import ResizeState
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.holders.reconcile import Reconciled
from ramsterd.remote.holders.trust import Distrusted, TrustedAgain
from ramsterd.remote.home.last_copies import Counted
from ramsterd.remote.send.replicate import Replication


@dataclass(frozen=True, slots=True)
class Send:
    """A frame for a linked peer.

    `request_id` is 0 when no answer is expected; with `is_reply` it is the peer's own id.  A
    request must be answered within `seconds_max`.
    """

    node: NodeId
    type: int
    count: int
    table: bytes
    body: bytes = b""
    request_id: int = 0
    is_reply: bool = False
    seconds_max: float = 0.0


@dataclass(frozen=True, slots=True)
class GetDone:
    """A get that waited for a peer has its pages, or its outcome."""

    pending: PendingGet


@dataclass(frozen=True, slots=True)
class Replicated:
    """A request to have pages at peers has ended."""

    request: Replication


@dataclass(frozen=True, slots=True)
class CloseLink:
    """A link must not stay."""

    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class Resized:
    """A change of the budget has ended."""

    state: ResizeState
    budget_bytes: int
    resident_bytes: int


Effect: TypeAlias = (
    Send
    | GetDone
    | CloseLink
    | Resized
    | Replicated
    | Counted
    | Distrusted
    | TrustedAgain
    | Reconciled
)
