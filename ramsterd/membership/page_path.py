"""What membership asks of this node's page path (`pagepath.engine`), which stands above it and knows nothing of changes."""

from typing import Protocol

from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import NodeTable


class PagePath(Protocol):
    """The engine, as membership sees it."""

    nodes: NodeTable

    @property
    def incarnation(self) -> Incarnation:
        """This node's own."""

    def pages_there(self, node: NodeId) -> int:
        """Return how many pages of ours a node keeps; of this node: all peers."""

    def pages_here(self, node: NodeId) -> int:
        """Return how many pages of a node we keep; of this node: of all others."""

    def pages_owned(self) -> int:
        """Return how many pages of our own must come back or be reported, wherever they are."""

    def may_begin_incarnation(self) -> bool:
        """Whether nothing is lost if this node goes on as a new incarnation."""

    def begin_last_copies_count(self, node: NodeId, *, now: float) -> None:
        """Count the pages of ours that only this node has; `Counted` is the answer."""
