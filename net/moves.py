"""Who has moved: how often each member's address has changed since this node knows it.  Pure.

A link notes how often its listening side had moved when it was made, so both sides know which links
were made before a move: the dialling side dials again, beside such a link, and the accepting side
lets the new one take its place.  Until then the old link is as good as any.
"""

from collections.abc import Mapping
from typing import TypeAlias

from nodemanager.ids import NodeId

# A host, as cluster.toml names it, and a port.
Address: TypeAlias = tuple[str, int]


class Moves:
    """The addresses of all members as they were last."""

    def __init__(self, members: Mapping[NodeId, Address]) -> None:
        self._addresses = dict(members)
        self._counts: dict[NodeId, int] = {}

    def on_members_changed(self, members: Mapping[NodeId, Address]) -> list[NodeId]:
        """Return who has moved."""
        before, self._addresses = self._addresses, dict(members)
        moved = [node for node, at in members.items() if before.get(node, at) != at]
        self._counts = {node: each for node, each in self._counts.items() if node in members}
        for node in moved:
            self._counts[node] = self.count(node) + 1
        return moved

    def count(self, node: NodeId) -> int:
        """Return how often a member has moved."""
        return self._counts.get(node, 0)
