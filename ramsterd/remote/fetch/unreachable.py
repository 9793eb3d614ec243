"""Unreachable: which clients wait for pages whose holders can't be asked, for how long, and for which nodes.

Looked at when somebody wants to see it; nothing is counted as it happens.
"""

from dataclasses import dataclass, field

from nodemanager.ids import NodeId
from ramsterd.core.page import PoolId
from ramsterd.remote.fetch.asking import Asking
from ramsterd.remote.fetch.pending import PendingGet, PendingGets
from ramsterd.remote.holders.holders import Holders


@dataclass(slots=True)
class UnreachableReads:
    """The gets of one pool that wait, and the nodes that they wait for."""

    # Each with the position of a page that is for itself, 0 of a run.
    gets: set[tuple[PendingGet, int]] = field(default_factory=set)
    nodes: set[NodeId] = field(default_factory=set)

    @property
    def asked_at(self) -> float:
        """When the oldest of them was asked for."""
        return min(each.asked_at or 0.0 for each, _ in self.gets)


def unreachable_reads(
    asking: Asking, gets: PendingGets, holders: Holders
) -> dict[PoolId, UnreachableReads]:
    """Return them by pool; what nobody waits for is left out."""
    found: dict[PoolId, UnreachableReads] = {}
    for serial, holder in asking.out_of_reach():
        for pending, position in gets.wanted[serial]:
            if pending.asked_at is None or pending.is_over:
                continue
            reads = found.setdefault(pending.pool, UnreachableReads())
            reads.gets.add((pending, 0 if pending.waits is None else position))
            if (incarnation := holders.get(holder)) is not None:
                reads.nodes.add(incarnation.node)
    return found
