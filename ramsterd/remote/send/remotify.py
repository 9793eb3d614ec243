"""Remotify: when the arena fills, its oldest blocks make room, here or at peers that have it.

Above the high watermark blocks are taken until what stays is below the low one (`reclaim`).
Foreign ephemeral and clean blocks are dropped first, then our ephemeral ones, unless the config
says that these are offered to peers: then they leave (`ephemeral_remotify`), and nobody waits for
them.  Persistent ones travel, and stay readable until they are at peers (`persistent_remotify`).

Which of the two kinds leaves next is decided here; whose answer an answer is, too.
"""

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.family import Family
from ramsterd.core.page import PoolKind
from ramsterd.core.room import DROPPED_FIRST
from ramsterd.core.store import Store
from ramsterd.remote.fetch.spot_checks import SpotChecks
from ramsterd.remote.holders.holders import Holders
from ramsterd.remote.holders.trust import Trust
from ramsterd.remote.limits.put_rate import PutRateStatistics
from ramsterd.remote.limits.put_timeout import PutTimeout
from ramsterd.remote.send.candidates import Candidates
from ramsterd.remote.send.degrade import Degrade
from ramsterd.remote.send.ephemeral_remotify import EphemeralRemotifier, EphemeralRemotifyStatistics
from ramsterd.remote.send.persistent_remotify import PersistentRemotifier
from ramsterd.remote.send.placing import Shortage
from ramsterd.remote.send.reclaim import Reclaim
from ramsterd.remote.send.shipment import Put

# Blocks dropped in one pass: about 10 ms.  Only a budget that shrinks has more to drop at once.
DROPPED_BLOCKS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotifyStatistics:
    """Persistent pages by how they ended, once for each peer that was asked.

    What is in flight is of both kinds.
    """

    requests_in_flight: int
    pages_in_flight: int
    stored_pages_total: int
    stored_zpage_bytes_total: int
    refused_pages_total: int
    unknown_pages_total: int
    overtaken_pages_total: int
    node_stored_pages_total: dict[NodeId, int]
    put_rate: dict[NodeId, PutRateStatistics]
    # Peers that refused persistent pages, and until when each is left alone, in monotonic seconds.
    refused_until: dict[NodeId, float]
    ephemeral: EphemeralRemotifyStatistics


class Remotifier:
    """What leaves, of both kinds."""

    def __init__(
        self,
        store: Store,
        holders: Holders,
        nodes: NodeTable,
        *,
        trust: Trust,
        spot_checks: SpotChecks,
        in_flight_max: int,
        refusal_seconds: float,
        put_timeout: PutTimeout,
        degrade: Degrade,
        rng: random.Random,
        sends_ephemeral: bool = False,
        is_behind: Callable[[NodeId], bool] = lambda _: False,
    ) -> None:
        self._store = store
        self._spot_checks = spot_checks
        self._sends_ephemeral = sends_ephemeral
        self._reclaim = Reclaim(store)
        self.candidates = Candidates(
            nodes, holders, trust, refusal_seconds=refusal_seconds, is_behind=is_behind
        )
        self.persistent = PersistentRemotifier(
            store, self.candidates, self._reclaim,
            spot_checks=spot_checks, in_flight_max=in_flight_max,
            put_timeout=put_timeout, degrade=degrade, rng=rng,
        )  # fmt: skip
        self.ephemeral = EphemeralRemotifier(
            store, holders, self.candidates, self._reclaim, rng=rng
        )
        self._kinds = (self.persistent, self.ephemeral)
        # Whether `drop_first` stopped at its bound.
        self.has_more_to_drop = False

    # What goes.

    def may_drop(self) -> bool:
        """Whether `drop_first` may have something to do."""
        return self._sends_ephemeral or self._reclaim.is_short or self.has_more_to_drop

    def must_send(self) -> bool:
        """Whether more must go than was dropped."""
        return self._reclaim.is_active()

    def drop_first(self, now: float) -> bool:
        """Above the high watermark, drop what is not sent to a peer.

        Return whether memory was freed.

        At most `DROPPED_BLOCKS_MAX` blocks: if it was that many, the caller comes back.
        """
        store = self._store
        if self._sends_ephemeral:
            self.ephemeral.spare_tables()
        if not self._reclaim.is_short or not self._reclaim.must_shrink():
            self.has_more_to_drop = False
            return False
        families = [
            family
            for family in DROPPED_FIRST
            if family is not Family.OWN_EPHEMERAL or not self._has_taker(now)
        ]
        down_to = int(self._reclaim.target_bytes) + self._reclaim.leaving_bytes
        dropped = store.room.evict_some(families, down_to, DROPPED_BLOCKS_MAX)
        # Over the budget, while it shrinks, nothing that may vanish waits for a peer.
        budget_bytes = store.zbud.budget_bytes + self._reclaim.leaving_bytes
        dropped += store.room.evict_some(
            [Family.OWN_EPHEMERAL], budget_bytes, DROPPED_BLOCKS_MAX - dropped
        )
        self.has_more_to_drop = dropped == DROPPED_BLOCKS_MAX
        return dropped > 0

    def _has_taker(self, now: float) -> bool:
        """Whether our ephemeral blocks are offered to peers, and some peer has room for them."""
        return self._sends_ephemeral and self.ephemeral.has_taker(now)

    def next_puts(self, now: float) -> list[Put]:
        """Choose the next blocks and their holders.

        Empty: nothing must leave, or nobody can take it.
        """
        if not self._reclaim.is_active():
            return []
        if self._sends_ephemeral and self._store.zbud.oldest(Family.OWN_EPHEMERAL) is not None:
            # As long as there is one no put of ours waits: it would evict it.
            self._reclaim.on_ephemeral_next()
            put = self.ephemeral.next_put(now)
            return [] if put is None else [put]
        return self.persistent.next_puts(now)

    def puts_of_kept(self, blocks: Sequence[int], now: float) -> list[Put]:
        """Send the first of these persistent blocks that fit, and keep them here as clean ones."""
        return self.persistent.ship(iter(blocks), now, is_kept=True)

    def make_room(self) -> None:
        """Go down to the low watermark now: pages will be fetched back, and must fit below the high one."""
        self._reclaim.begin()

    def is_stuck(self) -> bool:
        """Whether pages must leave, and none is on its way: no peer takes them, or none of ours is left here.

        Those that wait for a peer at its cap are on their way as good as any.
        """
        is_moving = self.is_any_in_flight() or self.persistent.placing.is_waiting
        return self._reclaim.is_short and self._reclaim.is_active() and not is_moving

    def begin(self, request_id: int, put: Put, now: float) -> None:
        """The PUT is on its way."""
        is_ephemeral = put.shipment.kind is PoolKind.EPHEMERAL
        (self.ephemeral if is_ephemeral else self.persistent).puts.begin(request_id, put, now)

    # Answers.

    def is_in_flight(self, request_id: int) -> bool:
        """Whether a request is a PUT under way."""
        return any(request_id in kind.puts for kind in self._kinds)

    def _of(self, request_id: int) -> PersistentRemotifier | EphemeralRemotifier:
        return self.ephemeral if request_id in self.ephemeral.puts else self.persistent

    def pages_in_flight(self, request_id: int) -> int:
        """Return how many pages a PUT under way has."""
        return self._of(request_id).puts.pages(request_id)

    def sent_at(self, request_id: int) -> float:
        """Return when a PUT under way left."""
        return self._of(request_id).puts.sent_at(request_id)

    def on_results(self, request_id: int, results: bytes, now: float) -> None:
        """A peer stored or refused each page of a PUT."""
        self._of(request_id).on_results(request_id, results, now)

    def on_unknown(self, request_id: int, now: float) -> None:
        """Nobody knows what became of a PUT."""
        self._of(request_id).on_unknown(request_id, now)

    # What peers say, and what becomes of them.

    def on_status(self, node: NodeId, status: PeerStatus) -> None:
        """A peer told anew how much room it has, how many pages of ours, and how fast it takes them."""
        # Links keep order: what is not answered yet had not arrived when this was written.
        self.candidates.on_status(
            node,
            status,
            under_way_bytes={
                PoolKind.PERSISTENT: self.persistent.puts.bytes_to(node),
                PoolKind.EPHEMERAL: self.ephemeral.puts.bytes_to(node),
            },
        )
        self.ephemeral.on_status(node, status.pages_held_for_us)

    def is_settled_with(self, node: NodeId, status: PeerStatus) -> bool:
        """Whether `on_status` has nothing to do for a peer that says the same again."""
        for kind in self._kinds:
            if kind.puts.is_any_to(node):
                return False
        return self.candidates.is_settled_with(node) and self.ephemeral.is_settled_with(
            node, status.pages_held_for_us
        )

    def on_link_lost(self, node: NodeId) -> None:
        """Nothing that was sent to a peer is under way any more."""
        self.candidates.on_link_lost(node)

    def on_holder_dead(self, holder: int) -> None:
        """An incarnation of a peer ended, with all that it held."""
        self.ephemeral.on_holder_dead(holder)
        self._spot_checks.forget(holder)

    def forget(self, node: NodeId) -> None:
        """A peer is no member any more, and its link is gone."""
        self.candidates.forget(node)

    # Time.

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` has something to do."""
        return self.persistent.next_deadline()

    def on_deadline(self, now: float) -> None:
        """Time has passed: peers that say nothing are given up, and who waits for one asks again at the next `next_puts`."""
        self.persistent.on_deadline(now)

    def look_around(self, now: float) -> None:
        """Note how many peers have room, whether or not pages must leave."""
        self.persistent.placing.look(now)

    # For others to know.

    def is_any_in_flight(self) -> bool:
        """Whether any PUT of persistent pages is under way: their memory is freed when it has ended."""
        return bool(self.persistent.puts.waited)

    def is_sending_to(self, node: NodeId) -> bool:
        """Whether persistent pages are under way to a peer that may have the only copy when it answers."""
        return self.persistent.puts.is_waited_from(node)

    def has_put_to(self, node: NodeId) -> bool:
        """Whether any PUT to a peer is under way, or was given up and may be."""
        return any(kind.puts.is_any_to(node) for kind in self._kinds) or any(
            self.candidates.is_unsettled(kind, node) for kind in PoolKind
        )

    def sent_serials(self, holder: int) -> "list[array[int]]":
        """Return the serials of ephemeral pages that a holder was sent, and that it may have, frame by frame."""
        return self.ephemeral.sent_serials(holder)

    @property
    def left_total(self) -> int:
        """How many persistent pages ever left, or became clean."""
        return self.persistent.left_total

    def room(self, now: float) -> dict[NodeId, int]:
        """Return the peers with room for any block, and how much."""
        return self.persistent.placing.room(now)

    def shortage(self, now: float) -> Shortage:
        """Return why a page finds no peer."""
        return self.persistent.placing.shortage(now)

    def statistics(self) -> RemotifyStatistics:
        """Return a snapshot."""
        persistent, ephemeral = self.persistent, self.ephemeral.statistics()
        return RemotifyStatistics(
            requests_in_flight=len(persistent.puts.waited) + ephemeral.requests_in_flight,
            pages_in_flight=persistent.puts.count_pages() + ephemeral.pages_in_flight,
            stored_pages_total=persistent.stored_total,
            stored_zpage_bytes_total=persistent.stored_zpage_bytes_total,
            refused_pages_total=persistent.refused_total,
            unknown_pages_total=persistent.unknown_total,
            overtaken_pages_total=persistent.overtaken_total,
            node_stored_pages_total=dict(persistent.stored_by_node),
            put_rate=self.candidates.put_rate.statistics(),
            refused_until=self.candidates.refusals(),
            ephemeral=ephemeral,
        )

    def check_invariants(self) -> None:
        """Assert that the pages under way are what they should be."""
        self.ephemeral.check_invariants()
        self.persistent.check_invariants()
