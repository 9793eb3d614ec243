"""Candidates: peers as placement sees them, with all that this node has found out by sending them pages.

The node table knows who is up, linked and what it said last; here is added what was placed since,
the rate that each takes pages at (`put_rate`), refusals and silence (`refusal_backoff`), bad copies
(`trust`), whether its incarnation can have an id (`holders`), and whether it is known what it keeps
(`reconcile`).

Each kind of pages is counted by itself.  A peer that refuses ephemeral pages may have room for
persistent ones, which are worth more; one that refuses persistent pages has none for either.
"""

from collections.abc import Callable

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.page import PoolKind
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.trust import Trust
from ramsterd.remote.limits.put_rate import PutRate
from ramsterd.remote.limits.refusal_backoff import RefusalBackoff
from ramsterd.remote.send.shipment import Put


class Candidates:
    """What all that leaves chooses from."""

    def __init__(
        self,
        nodes: NodeTable,
        holders: Holders,
        trust: Trust,
        *,
        refusal_seconds: float,
        is_behind: Callable[[NodeId], bool] = lambda _: False,
    ) -> None:
        """Know these.

        `is_behind` tells of a peer that is owed more flushes than may leave in front of a PUT.
        """
        self.is_behind = is_behind
        self.nodes = nodes
        self.put_rate = PutRate()
        self.trust = trust
        self._holders = holders
        self._refusals = {kind: RefusalBackoff(refusal_seconds) for kind in PoolKind}
        # What was placed on a peer that its last STATUS could not know of.
        self._placed_bytes: dict[PoolKind, dict[NodeId, int]] = {kind: {} for kind in PoolKind}
        self._kinds = tuple((self._placed_bytes[kind], self._refusals[kind]) for kind in PoolKind)

    def all(self, kind: PoolKind) -> list[Candidate]:
        """Return every peer as pages of a kind see it."""
        refusals, placed_bytes = self._refusals[kind], self._placed_bytes[kind]
        persistent = self._refusals[PoolKind.PERSISTENT]
        candidates = self.nodes.candidates()
        for each in candidates:
            node = each.node
            each.free_bytes = max(0, each.free_bytes - placed_bytes.get(node, 0))
            each.refused_until = max(
                persistent.refused_until(node),
                refusals.refused_until(node),
                refusals.silent_until(node),
            )
            each.rate_limited_until = self.put_rate.open_at(node)
            each.distrusted_until = self.trust.distrusted_until(node)
            each.is_doubtful = (
                refusals.is_doubtful(node)
                or self.trust.is_disowning(node)
                or not self._holders.is_agreed(node)
                or not self._holders.has_id_for(node)
            )
        return candidates

    def refused_until(self, node: NodeId) -> float:
        """Return until when a peer gets no persistent pages because it refused some.

        A time that has passed: now.
        """
        return self._refusals[PoolKind.PERSISTENT].refused_until(node)

    def refusals(self) -> dict[NodeId, float]:
        """Return the peers that refused persistent pages lately, and until when each is left alone."""
        return self._refusals[PoolKind.PERSISTENT].refusals()

    def is_unsettled(self, kind: PoolKind, node: NodeId) -> bool:
        """Whether a PUT that was given up may still arrive at a peer, after the STATUS that we have."""
        return self._refusals[kind].is_unsettled(node)

    def holder(self, node: NodeId) -> Holder:
        """Return the present incarnation of a candidate that was chosen."""
        incarnation = self.nodes.incarnation(node)
        assert incarnation is not None, "a linked node has an incarnation"
        return self._holders.of(node, incarnation)

    # What became of PUTs.

    def on_sent(self, put: Put, now: float) -> None:
        """So much is on its way to a peer."""
        shipment, node = put.shipment, put.holder.node
        placed_bytes = self._placed_bytes[shipment.kind]
        placed_bytes[node] = placed_bytes.get(node, 0) + len(shipment.body)
        self.put_rate.on_put(node, len(shipment.body), now)

    def on_stored(self, kind: PoolKind, node: NodeId) -> None:
        """A peer stored pages of ours."""
        self._refusals[kind].on_stored(node)

    def on_refused(self, kind: PoolKind, node: NodeId, now: float) -> None:
        """A peer refused pages: it is left alone for a while."""
        self._refusals[kind].on_refused(node, now)

    def on_unanswered(self, kind: PoolKind, node: NodeId, now: float) -> None:
        """Nobody knows what became of a PUT."""
        self._refusals[kind].on_unanswered(node, now)

    # What peers say, and what becomes of them.

    def on_status(
        self, node: NodeId, status: PeerStatus, *, under_way_bytes: dict[PoolKind, int]
    ) -> None:
        """A peer told how much room it has, when so much had not arrived, and how fast it takes pages."""
        for kind in PoolKind:
            self._placed_bytes[kind][node] = under_way_bytes[kind]
            self._refusals[kind].on_heard(node)
        self.put_rate.on_status(node, status.put_bytes_per_second)

    def is_settled_with(self, node: NodeId) -> bool:
        """Whether a STATUS that says the same again changes nothing here, if no PUT to its peer is under way."""
        for placed_bytes, refusals in self._kinds:
            if placed_bytes.get(node) or refusals.awaits_answer(node):
                return False
        return True

    def on_more_room(self, node: NodeId) -> None:
        """A peer has more room than it said before: what it refused of persistent pages may be offered again."""
        self._refusals[PoolKind.PERSISTENT].on_more_room(node)

    def on_link_lost(self, node: NodeId) -> None:
        """Nothing that was sent to a peer is under way any more."""
        for refusals in self._refusals.values():
            refusals.on_link_lost(node)

    def forget(self, node: NodeId) -> None:
        """A peer is no member any more."""
        for kind in PoolKind:
            self._placed_bytes[kind].pop(node, None)
            self._refusals[kind].forget(node)
        self.trust.forget(node)
        self.put_rate.forget(node)
