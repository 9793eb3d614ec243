"""Reach: which holders can be asked for pages now, and how many peers may be given any.

A holder can be asked when its incarnation is not over, its link is open, and it is not thought to
hang.  One that is awaited (`row_sweeps`) can't be asked, and is not missing either: its copies
count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.states import NodeState, may_place
from nodemanager.table import NodeTable
from ramsterd.core.size_classes import BLOCK_STRIDE_BYTES
from ramsterd.remote.holders.holders import Holder, Holders

# States in which a linked holder is asked for pages that may as well be missed.
# No sets: to hash an enum is a call of Python.
_ANSWERS: Final = (NodeState.UP, NodeState.DRAINING)
_GIVEN_UP: Final = (NodeState.DOWN, NodeState.LEFT)


@dataclass(frozen=True, slots=True)
class ReachableCopies:
    """What some holders of a page are worth now."""

    # How many can be asked; and how many can or are awaited.
    reachable: int
    counted: int
    # Whose those are that can be asked.
    nodes: frozenset[NodeId]


class Reach:
    """What the node table and the holder ids say together."""

    def __init__(self, holders: Holders, nodes: NodeTable) -> None:
        self._holders = holders
        self._nodes = nodes

    def is_reachable(self, holder: Holder) -> bool:
        """Whether a holder can be asked now, and is not thought to hang."""
        return (
            not holder.is_dead
            and self._nodes.is_linked(holder.node)
            and self._nodes.state(holder.node) in _ANSWERS
        )

    def is_given_up(self, holder: Holder) -> bool:
        """Whether a holder is down or has left: nobody waits for it."""
        return self._nodes.state(holder.node) in _GIVEN_UP

    def may_come_back(self, holder: Holder) -> bool:
        """Whether a holder may be asked again for what it has: it did not end, nor leave in order."""
        return not holder.is_dead and self._nodes.state(holder.node) is not NodeState.LEFT

    def peers_away(self) -> list[NodeId]:
        """Return the peers that could take pages, if they could be reached.

        Not those that had no room when they were heard last, nor those that left in order or are to
        get none.
        """
        return [
            each.node
            for each in self._nodes.candidates()
            if not (each.is_linked and may_place(each.state))
            and each.state is not NodeState.LEFT
            and not each.is_cordoned
            and (not each.budget_bytes or each.free_bytes >= BLOCK_STRIDE_BYTES)
        ]

    def has_peer_to_wait_for(self) -> bool:
        """Whether some peer is linked, or may be in a moment: one of both may just have been restarted."""
        return any(
            self._nodes.is_linked(node) or self._nodes.state(node) not in _GIVEN_UP
            for node in self._nodes.nodes()
        )

    def copies_at(self, holders: Sequence[int]) -> ReachableCopies:
        """Return what the holders of a page are worth now."""
        found = [self._holders[holder] for holder in holders]
        reachable = [each for each in found if self.is_reachable(each)]
        awaited = [each for each in found if each.is_awaited and each not in reachable]
        return ReachableCopies(
            reachable=len(reachable),
            counted=len(reachable) + len(awaited),
            nodes=frozenset(each.node for each in reachable),
        )

    def placeable_nodes(self) -> int:
        """Return how many peers may be given pages now, if they have room."""
        return sum(may_place(each.state) and each.is_linked for each in self._nodes.candidates())
