"""The believed state of each member, and the order of news about it.  Pure.

News of a later incarnation wins over all of an earlier one; within an incarnation the higher
refutation wins, for only the node itself raises it; and at one refutation the worse state wins.  So
whatever order news arrives in, all nodes end up believing the same.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from heartbeat.datagram import Row
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState

_WORSE: Final = {
    NodeState.JOINING: 0,
    NodeState.UP: 1,
    NodeState.SUSPECT: 2,
    NodeState.DOWN: 3,
}
LIVE: Final = frozenset({NodeState.UP, NodeState.SUSPECT})


@dataclass(slots=True)
class Member:
    """One node as we see it."""

    node: NodeId
    state: NodeState = NodeState.JOINING
    incarnation: Incarnation | None = None  # None: never heard of
    refutation: int = 0
    accuser: NodeId | None = None
    linked_at: float = float("-inf")  # when something last came over its link
    linked_incarnation: Incarnation | None = None  # the newest one that a link has shown

    def is_news(self, row: Row) -> bool:
        """Whether a row is newer than what we believe."""
        if self.incarnation is None or row.incarnation > self.incarnation:
            return True
        if row.incarnation < self.incarnation:
            return False
        ours = (self.refutation, _WORSE[self.state])
        return (row.refutation, _WORSE[row.state]) > ours

    def is_same_suspicion(self, row: Row) -> bool:
        """Whether a row accuses this very incarnation of what we suspect it of already."""
        return (
            self.state is NodeState.SUSPECT
            and row.state is NodeState.SUSPECT
            and (row.incarnation, row.refutation) == (self.incarnation, self.refutation)
        )

    def take(self, row: Row) -> None:
        """Believe a row."""
        self.state, self.incarnation = row.state, row.incarnation
        self.refutation, self.accuser = row.refutation, row.accuser

    def row(self) -> Row | None:
        """Return what we would tell of it; None when we know no incarnation of it."""
        if self.incarnation is None:
            return None
        accuser = self.node if self.accuser is None else self.accuser
        return Row(self.node, self.state, self.incarnation, self.refutation, accuser)


class Members:
    """All members but ourselves, by number."""

    def __init__(self, nodes: Collection[NodeId]) -> None:
        self._members = {node: Member(node) for node in nodes}

    def on_members_changed(self, nodes: Collection[NodeId]) -> list[NodeId]:
        """Know these members from now on.

        Return the new ones.  One that is gone begins anew when it is back.
        """
        new = [node for node in nodes if node not in self._members]
        self._members = {node: self._members.get(node) or Member(node) for node in nodes}
        return new

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, node: NodeId) -> Member:
        return self._members[node]

    def get(self, node: NodeId) -> Member | None:
        """Return a member, None for a number that no member has."""
        return self._members.get(node)

    def all(self) -> list[Member]:
        """Return every member."""
        return list(self._members.values())

    def live(self) -> list[NodeId]:
        """Return those that are up or suspect."""
        return [member.node for member in self._members.values() if member.state in LIVE]

    def silent(self) -> list[NodeId]:
        """Return those that are not."""
        return [member.node for member in self._members.values() if member.state not in LIVE]

    def count(self, state: NodeState) -> int:
        """Return how many are in a state."""
        return sum(member.state is state for member in self._members.values())
