"""Candidates: peers as placement sees them, with all that this node has found out by sending them pages.

The node table knows who is up, linked and what it said last; here is added what was placed since, the rate that each
takes pages at (`put_rate`), refusals and silence (`refusals`), bad copies (`trust`), and whether its incarnation can have an id (`holders`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate
from nodemanager.table import NodeTable
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.trust import Trust
from ramsterd.remote.limits.put_rate import PutRate
from ramsterd.remote.limits.refusal_backoff import RefusalBackoff


class Candidates:
    """What all that leaves chooses from."""

    def __init__(
        self,
        nodes: NodeTable,
        holders: Holders,
        put_rate: PutRate,
        trust: Trust,
        *,
        is_behind: Callable[[NodeId], bool] = lambda _: False,
    ) -> None:
        """Know these; `is_behind` tells of a peer that is owed more flushes than may leave in front of a PUT."""
        self.is_behind = is_behind
        self.nodes = nodes
        self.put_rate = put_rate
        self.trust = trust
        self._holders = holders

    def all(self, refusals: RefusalBackoff, placed_bytes: Mapping[NodeId, int]) -> list[Candidate]:
        """Return every peer; `placed_bytes` is what it got since its last STATUS."""
        return [
            replace(
                each,
                free_bytes=max(0, each.free_bytes - placed_bytes.get(each.node, 0)),
                refused_until=max(each.refused_until, refusals.silent_until(each.node)),
                rate_limited_until=self.put_rate.open_at(each.node),
                distrusted_until=self.trust.distrusted_until(each.node),
                is_doubtful=refusals.is_doubtful(each.node)
                or self.trust.is_disowning(each.node)
                or not self._holders.has_id_for(each.node),
            )
            for each in self.nodes.candidates()
        ]

    def holder(self, node: NodeId) -> Holder:
        """Return the present incarnation of a candidate that was chosen."""
        incarnation = self.nodes.incarnation(node)
        assert incarnation is not None, "a linked node has an incarnation"
        return self._holders.of(node, incarnation)
