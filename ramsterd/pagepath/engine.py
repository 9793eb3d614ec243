"""The page path of one node, as a machine: an event in, effects out.

Joins the local store with what is known of the cluster.  It reads no clock and owns no socket: `now` is passed
in, `settle()` returns what is to be sent, closed or woken.  Everything between two awaits of its callers is one
call here, so each is a transaction.

Order of effects on one link matters in one place: what a peer is owed (flushes) leaves before any new PUT to it.
"""

import random
from collections.abc import Callable, Iterable
from typing import Final

from config.limits import COPIES_MAX
from config.model import ClusterConfig, DaemonConfig, MemoryConfig, PoolCodec, RemoteConfig
from net.errors import RemoteProtocolError
from net.frame import Frame
from nodemanager.events import NodeEvent
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict, may_place
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.arena import MapMemory
from ramsterd.core.audit import Auditor, AuditStatistics
from ramsterd.core.compact import Compactor
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.resize import Resize, ResizeStatistics
from ramsterd.core.scrub import Scrubber, ScrubStatistics
from ramsterd.core.slices import Slices
from ramsterd.core.store import RunOfPages, Store
from ramsterd.core.versions import StoreLimits
from ramsterd.pagepath.effects import CloseLink, Effect, GetDone, Replicated, Resized
from ramsterd.pagepath.engine_statistics import EngineStatistics, HolderStatistics
from ramsterd.pagepath.outbox import Outbox, shipment_table
from ramsterd.remote import wire
from ramsterd.remote.fetch.fetch import Fetches
from ramsterd.remote.fetch.pending import GetOutcome, Pages, PendingGet
from ramsterd.remote.fetch.spot_checks import SpotChecks
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.hold.recall_holder import HolderRecall
from ramsterd.remote.hold.receive_shares import ReceiveShares
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.owed_flushes import PIECE_SERIALS, OwedFlushes
from ramsterd.remote.holders.row_sweeps import RowSweeps
from ramsterd.remote.holders.trust import BadCopy, Trust
from ramsterd.remote.home.background_fetch import BackgroundFetch
from ramsterd.remote.home.last_copies import LastCopies
from ramsterd.remote.limits.put_timeout import PutTimeout
from ramsterd.remote.send.copies import Copies
from ramsterd.remote.send.degrade import Degrade
from ramsterd.remote.send.placing import Shortage
from ramsterd.remote.send.remotify import Remotifier
from ramsterd.remote.send.replicate import Replication, Replicator
from ramsterd.remote.send.shipment import Put
from ramsterd.remote.wire import MessageType

# How often peers are told how much room we have; in between a refusal tells them.
STATUS_SECONDS: Final = 0.5
# Flushes wait this long for company, or until there are enough to fill a good part of a frame.
FLUSH_SECONDS: Final = 0.05
FLUSH_SERIALS_MIN: Final = 512
# Pieces of what is owed (4096 serials each) that leave in one pass, some 5 ms, and the pause after them.
FLUSH_PIECES_MAX: Final = 4
FLUSH_PIECES_SECONDS: Final = 0.005
# Blocks of foreign ephemeral pages that a draining node drops at each STATUS.
DRAINED_BLOCKS_MAX: Final = 256
# Zpages that compaction moves at each STATUS: about 2 ms.  A shrinking budget has no better way to find memory.
COMPACT_ZPAGES: Final = 1024
# A pause after each slice of dropped blocks, for everybody else.
DROP_SECONDS: Final = 0.001
# States in which a linked holder is asked for pages that may as well be missed.
_ANSWERS: Final = frozenset({NodeState.UP, NodeState.DRAINING})
# No incarnation has it, so every incarnation of a node is older: it ends whatever is known.
NO_INCARNATION: Final = Incarnation(-1)


class Engine:
    """See the module's text."""

    def __init__(
        self,
        *,
        daemon: DaemonConfig,
        cluster: ClusterConfig,
        local: NodeId,
        incarnation: Incarnation,
        map_memory: MapMemory,
        rng: random.Random,
    ) -> None:
        memory, remote = daemon.memory, daemon.remote
        self.incarnation = incarnation
        self._memory = memory
        self._remote = remote
        self.store = Store(
            map_memory,
            StoreLimits(
                # Plain numbers: a Share is compared more slowly.
                budget_bytes=int(memory.budget),
                budget_bytes_max=int(memory.budget_max or 4 * memory.budget),
                pages_max=memory.pages_max,
                tables_bytes_max=memory.tables_bytes(memory.budget),
                high_watermark=memory.high_watermark,
                low_watermark=memory.low_watermark,
            ),
        )
        self.nodes = NodeTable(cluster, local, incarnation=incarnation)
        # Long work, of which each pass does a slice.
        self._slices = Slices()
        self._holders = Holders()
        self._foreign = ForeignPages(
            self.store,
            run=self._slices.add,
            bytes_fraction_max=memory.foreign_fraction_max,
            owner_pages_max=memory.foreign_owner_bytes_max // PAGE_BYTES,
        )
        self._recall = HolderRecall(self.store, self._foreign)
        self._copies = Copies(self.store, cluster, configured=remote.copies)
        self._receive_shares = ReceiveShares(remote.foreign_bytes_per_second)
        self._fetches = Fetches(
            self.store,
            self._holders,
            in_flight_max=remote.gets_in_flight_max,
            is_linked=self._is_reachable,
            on_thinned=self._on_thinned,
            on_bad_holder=self._on_bad_holder,
        )
        self._trust = Trust()
        self._spot_checks = SpotChecks(
            self.store.rows, self._trust, rng=rng, on_bad_copy=self._fetches.on_bad_copy
        )
        self._remotifier = Remotifier(
            self.store,
            self._holders,
            self.nodes,
            trust=self._trust,
            spot_checks=self._spot_checks,
            in_flight_max=remote.puts_in_flight_max,
            refusal_seconds=remote.refusal_seconds,
            put_timeout=PutTimeout(
                put_wait_seconds_max=remote.put_wait_seconds_max,
                request_seconds_max=remote.request_seconds_max,
            ),
            degrade=Degrade(put_wait_seconds_max=remote.put_wait_seconds_max),
            rng=rng,
            sends_ephemeral=remote.ephemeral,
            is_behind=self._is_behind,
        )
        self._last_copies = LastCopies(
            self.store.room,
            self._holders,
            local=local,
            is_reachable=self._is_reachable,
            has_put_to=self._remotifier.is_sending_to,
        )
        self._background_fetch = BackgroundFetch(
            self.store,
            self._fetches,
            memory=memory,
            remote=remote,
            reachable_holders=self._reachable_holders,
            holder_nodes=self._holder_nodes,
            placeable_nodes=self._placeable_nodes,
            room=self._remotifier.room,
            make_room=self._remotifier.make_room,
        )
        self._sweeps = RowSweeps(
            self.store.room,
            self.store.copies,
            self._holders,
            on_thinned=self._background_fetch.rebuilder.note_if_at_risk,
            on_forgotten=self._on_forgotten,
        )
        self._replicator = Replicator(self.store, run=self._slices.add)
        self._compactor = Compactor(self.store.versions)
        self._scrubber = Scrubber(self.store.versions)
        self._auditor = Auditor(self.store.versions)
        self._last_turn = 0
        self._resize = Resize(self.store.room)
        self._outbox = Outbox(request_seconds_max=remote.request_seconds_max)
        self._flushes = OwedFlushes()
        self._flush_at: float | None = None
        self._status_at: float = 0.0
        # The failure detector doubts ourselves: our STATUS says that we take nothing, until that is over.
        self.is_starved = False
        self._drop_at: float | None = None
        self._purge_at: dict[NodeId, float] = {}
        self._events: list[NodeEvent] = []
        self._is_leaving = False
        # Peers that gave up their own pages: what follows on the link is its end, in order.
        self._departing: set[NodeId] = set()
        # When the last pass ended: now, to half a second, for what is told without a clock.
        self._settled_at = 0.0

    # What front ends ask.

    def new_pool(
        self,
        kind: PoolKind,
        name: str,
        *,
        copies: int = 0,
        is_replicated: bool = False,
        codec: PoolCodec = PoolCodec.LZ4,
        is_disk: bool = False,
    ) -> PoolId:
        """Make a pool of our own, whose pages are on `copies` peers when not here (0: as the config says).

        With too few peers they are on fewer, as the config says; never those of a pool that `is_replicated`, for
        `replicate` promises `copies`.  See `Store.new_pool` for `is_disk`.

        Raises:
            PoolsExhausted: There are too many.
            CodecMissing: The library of the codec is not installed.
        """
        if kind is PoolKind.EPHEMERAL:
            return self.store.new_pool(kind, name, codec=codec)
        pool = self.store.new_pool(
            kind,
            name,
            copies=self._copies.wanted(copies),
            copies_min=COPIES_MAX if is_replicated else self._remote.copies_min,
            codec=codec,
            is_disk=is_disk,
        )
        self._copies.on_pool(pool, copies)
        if is_replicated:
            self.store.track_unsaved(pool)
        return pool

    def replicate(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, now: float
    ) -> Replication | None:
        """Have what stands in a run at peers too; None: it is.  Else `Replicated` tells the end."""
        return self._replicator.begin(
            pool,
            object_id,
            index,
            count,
            deadline=now + self._remote.put_wait_seconds_max,
        )

    def get(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, now: float
    ) -> Pages | GetOutcome | PendingGet:
        """Return the pages of a run, or an outcome, or a pending get that `GetDone` ends."""
        found = self.look(pool, object_id, index, count)
        if isinstance(found, RunOfPages):
            return self.fetch(pool, object_id, index, found, now=now)
        return found

    def look(
        self, pool: PoolId, object_id: bytes, index: int, count: int
    ) -> Pages | GetOutcome | RunOfPages:
        """Return the pages of a run, or an outcome, or what `fetch` asks peers for; needs no clock."""
        run = self.store.get(pool, object_id, index, count)
        if run.lost_count:
            return GetOutcome.LOST
        return run if run.elsewhere else run.pages

    def fetch(
        self, pool: PoolId, object_id: bytes, index: int, run: RunOfPages, *, now: float
    ) -> PendingGet:
        """Ask peers for what `look` did not find here, in the same step; `GetDone` ends it."""
        pending = PendingGet(
            pool, object_id, index, run.pages, now + self._remote.fetch_seconds_max
        )
        self._fetches.wait(pending, run)
        return pending

    def cancel(self, pendings: Iterable[PendingGet]) -> None:
        """Nobody waits for these gets any more: they end without a `GetDone`."""
        self._fetches.cancel(pendings)

    def put(self, pool: PoolId, object_id: bytes, index: int, pages: memoryview) -> int:
        """Store a run; return how many pages, from the start, found room now."""
        return self.store.put(pool, object_id, index, pages)

    def serial_of(self, pool: PoolId, object_id: bytes, index: int) -> int:
        """Return the serial of the version that a page has now; 0 for holes, zeros and lost pages."""
        return self.store.serial_of(pool, object_id, index)

    def may_make_room(self) -> bool:
        """Whether waiting can help a put that found no room: some peer is linked, or more is to be evicted for it."""
        return self.store.room.wants_tables is not None or any(
            self.nodes.is_linked(node) for node in self.nodes.nodes()
        )

    def shortage(self, now: float) -> Shortage:
        """Return why a page that was refused has no room at peers."""
        return self._remotifier.shortage(now)

    def destroy_pool(self, pool: PoolId) -> int:
        """Flush all pages of a pool, here and at peers; return how many there were."""
        return self.store.destroy_pool(pool)

    def set_budget(self, budget_bytes: int, *, now: float) -> ResizeStatistics:
        """Change the budget, both ways (`core.resize`); `Resized` tells how it ended."""
        self._resize.begin(budget_bytes, now=now)
        self.store.room.set_tables_max(self._memory.tables_bytes(budget_bytes))
        self._watch_resize(now)
        self._status_at = now  # peers should know at once
        return self._resize.statistics()

    def set_limits(self, *, memory: MemoryConfig, remote: RemoteConfig, now: float) -> None:
        """Change watermarks, quotas and rates; what else these tables say is as at the start."""
        self.store.room.set_watermarks(high=memory.high_watermark, low=memory.low_watermark)
        self._memory = memory
        self.store.room.set_tables_max(memory.tables_bytes(self.store.zbud.budget_bytes))
        self._foreign.set_quotas(
            bytes_fraction_max=memory.foreign_fraction_max,
            owner_pages_max=memory.foreign_owner_bytes_max // PAGE_BYTES,
        )
        self._receive_shares.set_rate(remote.foreign_bytes_per_second)
        self._background_fetch.set_limits(memory=memory, remote=remote)
        self._status_at = now  # peers should know at once

    def begin_audit(self) -> AuditStatistics:
        """Check all tables, in slices; `statistics()` shows how far it is, and what it found."""
        self._auditor.begin(self._slices.add)
        return self._auditor.statistics()

    def begin_scrub(self, *, now: float) -> ScrubStatistics:
        """Check every zpage here, in slices; `statistics()` shows how far it is."""
        self._scrubber.begin(now=now)
        return self._scrubber.statistics()

    # What peers and the cluster do.

    def on_frame(self, node: NodeId, incarnation: Incarnation, frame: Frame, *, now: float) -> None:
        """Handle one frame from the present incarnation of a peer.

        Raises:
            RemoteProtocolError: The peer broke the protocol; its link must be closed.
        """
        try:
            self._check_incarnation(node, incarnation)
            if frame.is_reply:
                self._on_reply(node, frame, now)
            else:
                self._on_request(node, incarnation, frame, now)
        except RemoteProtocolError:
            # The link counts it as answered: nobody else will say that it failed.
            if frame.is_reply:
                self.on_request_failed(frame.request_id)
            raise

    def _check_incarnation(self, node: NodeId, incarnation: Incarnation) -> None:
        if self.nodes.is_stale(node, incarnation):
            raise RemoteProtocolError(f"incarnation {incarnation} has ended")

    def _on_request(self, node: NodeId, incarnation: Incarnation, frame: Frame, now: float) -> None:
        match frame.type:
            case MessageType.PUT_PAGES:
                put = wire.PutPages.parse(frame)
                self._receive_shares.on_put(node, now)
                results = self._foreign.on_put(node, incarnation, put)
                self._outbox.reply(node, frame, len(results), results)
            case MessageType.GET_PAGES:
                packed, body = self._foreign.on_get(node, wire.parse_get(frame))
                self._outbox.reply(node, frame, len(packed), wire.get_reply_table(packed), body)
            case MessageType.FLUSH_PAGES:
                self._foreign.on_flush(node, wire.parse_flush(frame))
            case MessageType.FLUSH_OWNER:
                last = wire.parse_flush_owner(frame)
                if last >= incarnation:
                    self._departing.add(
                        node
                    )  # only an incarnation that ends gives up its own pages
                self._foreign.on_flush_owner(node, last)
            case MessageType.RECALL:
                self._on_recall(node, wire.parse_recall(frame), now)
            case MessageType.STATUS:
                status = wire.parse_status(frame)
                is_first = self.nodes.status(node) is None
                self._publish(self.nodes.on_status(node, status, now=now))
                self._remotifier.on_status(node, status)
                if status.pages_held_for_us:
                    self._trust.on_some_held(node)
                else:
                    self._on_none_held(node, now, is_first=is_first)
            case _:
                raise RemoteProtocolError(f"frame of type {frame.type}, which is no request")

    def _on_recall(self, node: NodeId, pages_max: int, now: float) -> None:
        """A holder asks for its memory, or says that it does no more."""
        if (holder := self._holders.living(node)) is not None:
            self._background_fetch.on_recall(holder, pages_max, now)

    def _on_none_held(self, node: NodeId, now: float, *, is_first: bool) -> None:
        """A peer keeps nothing of what we count there: it has purged us, as it does after `orphan_seconds`.

        Links keep order: whatever an answer has told us was stored before this STATUS was written.  A PUT without an
        answer may still arrive after it, so what was sent and not answered is owed a flush.
        A peer purges only us whom it has no link to, and says so on the next one at once.  If it says so later, it
        lost what it had said it stored on this very link.
        """
        holder = self._holders.living(node)
        if self._is_leaving or holder is None or not holder.pages:
            return
        if self._remotifier.has_put_to(node):
            return
        if not self._holders.has_free_id(node):
            return  # it gets nothing new, and each page is found to be missing by itself
        unsure = self._remotifier.sent_serials(holder.holder)
        if not is_first:
            holder.is_disowning = True
            self._trust.on_disowning(node)
        ended = self._holders.end(node)
        if unsure or self._flushes.has_any_for(ended.holder):
            anew = self._holders.of(node, ended.incarnation).holder
            self._flushes.move(ended.holder, anew)
            for serials in unsure:
                self._flushes.owe(anew, serials)
            self._flush_at = now
        self._bury(ended)

    def _on_forgotten(self, holder: Holder, persistent: int, now: float) -> None:
        """An incarnation is over, and all that it held was looked at."""
        if holder.is_disowning:
            self._trust.on_disowned(holder.node, persistent, now)

    def _on_bad_holder(self, holder_id: int, kind: BadCopy, now: float) -> None:
        """A holder does not have a page that it stored, or not intact."""
        if self._is_leaving:
            return  # it forgets us, as we asked
        if (holder := self._holders.get(holder_id)) is not None:
            self._trust.on_bad(holder.node, kind, 1, now)

    def _on_reply(self, node: NodeId, frame: Frame, now: float) -> None:
        if (holder := self._holders.living(node)) is not None:
            self._flushes.on_answer(holder.holder, frame.request_id)
        is_put = self._remotifier.is_in_flight(frame.request_id)
        expected = MessageType.PUT_PAGES if is_put else MessageType.GET_PAGES
        if frame.type != expected:
            raise RemoteProtocolError(
                f"answer of type {frame.type} to a request of type {expected}"
            )
        if is_put:
            pages_count = self._remotifier.pages_in_flight(frame.request_id)
            results = wire.parse_put_reply(frame, pages_count)
            self._remotifier.on_results(frame.request_id, results, now)
        elif self._spot_checks.is_in_flight(frame.request_id):
            self._spot_checks.on_reply(frame.request_id, frame, now)
        else:
            self._fetches.on_reply(frame.request_id, frame, now)

    def on_request_failed(self, request_id: int) -> None:
        """A request of ours will get no answer: its outcome is unknown."""
        if self._remotifier.is_in_flight(request_id):
            self._remotifier.on_unknown(request_id, self._settled_at)
        elif self._spot_checks.is_in_flight(request_id):
            self._spot_checks.on_request_failed(request_id)
        else:
            self._fetches.on_request_failed(request_id)

    def on_link_up(self, node: NodeId, incarnation: Incarnation, *, now: float) -> None:
        """A link to a peer is open."""
        if self.nodes.is_stale(node, incarnation):
            self._outbox.add(CloseLink(node, f"incarnation {incarnation} has ended"))
            return
        self._publish(self.nodes.on_link_up(node, incarnation, now=now))
        self._on_incarnation_seen(node, incarnation)
        if (holder := self._holders.living(node)) is not None:
            self._on_reachable(holder)
        self._purge_at.pop(node, None)
        self._flush_at = now if self._flushes else self._flush_at
        self._send_status(node, now)

    def on_link_lost(self, node: NodeId, incarnation: Incarnation, *, now: float) -> None:
        """The link is gone; its requests have failed before this."""
        holder = self._holders.living(node)
        if holder is not None and holder.incarnation == incarnation:
            self._flushes.on_link_lost(holder.holder)
            self._on_unreachable(holder)
        self._publish(self.nodes.on_link_lost(node, incarnation, now=now))
        self._remotifier.on_link_lost(node)
        if node in self._departing:
            self._departing.discard(node)
            self._publish(self.nodes.on_goodbye(node, incarnation, now=now))
            if holder is not None:
                self._fetches.on_holder_unreachable(holder.holder)
        self._expect_orphans(node, now)

    def on_members(self, cluster: ClusterConfig, *, now: float) -> list[NodeId]:
        """Members were added, removed, cordoned or are to drain; return the peers that are none any more."""
        gone = self.nodes.on_members(cluster)
        self._publish(self.nodes.on_intents(now=now))
        if self._copies.on_members(cluster):
            # What has left has too few copies now.
            for holder in self._holders:
                if not holder.is_dead:
                    self._sweeps.begin(holder, is_absent=False)
        self._status_at = now  # a node that drains says so at once
        return gone

    def on_member_removed(self, node: NodeId) -> None:
        """A node is no member any more, and its link is gone: what it held is lost, what it owned goes."""
        self._foreign.purge(node)
        self._bury(self._holders.bury(node, NO_INCARNATION))
        self._purge_at.pop(node, None)
        self._departing.discard(node)
        self._remotifier.forget(node)
        self._publish(self.nodes.forget(node))

    def pages_there(self, node: NodeId) -> int:
        """Return how many pages of ours a node keeps, of which some may be here too; of this node: all peers."""
        asked = (each for each in self._holders if not each.is_dead)
        return sum(each.pages for each in asked if node in {each.node, self.nodes.local})

    def pages_here(self, node: NodeId) -> int:
        """Return how many pages of a node we keep; of this node: of all others."""
        if node == self.nodes.local:
            return sum(self._foreign.pages_of(owner) for owner in self._foreign.owners())
        return self._foreign.pages_of(node)

    def pages_owned(self) -> int:
        """Return how many pages of our own must come back or be reported, wherever they are.  Walks their leaves."""
        return sum(
            self.store.pages_of(pool.pool)
            for pool in self.store.pools
            if pool.family is Family.OWN_PERSISTENT
        )

    def may_begin_incarnation(self) -> bool:
        """Whether nothing is lost if this node goes on as a new incarnation: nobody keeps pages for it, nor it for others."""
        local = self.nodes.local
        is_any_kept = self.pages_there(local) or self.pages_here(local)
        return not is_any_kept and not self._remotifier.is_any_in_flight()

    def begin_incarnation(self, incarnation: Incarnation) -> None:
        """Be this incarnation from now on; the pages that are here stay ours."""
        assert incarnation > self.incarnation
        assert self.may_begin_incarnation()
        self.incarnation = incarnation
        self.nodes.begin_incarnation(incarnation)

    def begin_last_copies_count(self, node: NodeId, *, now: float) -> None:
        """Count the pages of ours that only this node has; `Counted` is the answer."""
        self._last_copies.begin(node, now=now)

    def on_verdict(self, verdict: Verdict, *, now: float) -> None:
        """The failure detector judged a node."""
        self._publish(self.nodes.on_verdict(verdict, now=now))
        if verdict.incarnation is not None:
            self._on_incarnation_seen(verdict.node, verdict.incarnation)
        holder = self._holders.living(verdict.node)
        if self.nodes.state(verdict.node) is NodeState.SUSPECT and holder is not None:
            self._fetches.on_holder_suspect(holder.holder)
        if self.nodes.state(verdict.node) is NodeState.DOWN:
            self._expect_orphans(verdict.node, now)
            if holder is not None:
                self._fetches.on_holder_unreachable(holder.holder)
                self._on_unreachable(holder)
        elif verdict.state is NodeState.UP:
            self._purge_at.pop(verdict.node, None)
            holder = self._holders.living(verdict.node)
            if holder is not None and self.nodes.is_linked(verdict.node):
                self._on_reachable(holder)

    def _on_unreachable(self, holder: Holder) -> None:
        """A holder lost its link, or is down: its copies do not count, and what that puts at risk is to be found."""
        self.store.copies.unreachable_holders.add(holder.holder)
        self._background_fetch.owner_recall.on_holder_unreachable(holder.holder)
        self._sweeps.begin(holder)

    def _on_reachable(self, holder: Holder) -> None:
        self.store.copies.unreachable_holders.discard(holder.holder)
        self._replicator.on_reachable(holder.holder)
        self._sweeps.call_off(holder)

    def _expect_orphans(self, node: NodeId, now: float) -> None:
        """Purge an owner after a while; one whose link is open lives, whatever its heartbeats say."""
        if self.nodes.state(node) is NodeState.DOWN and not self.nodes.is_linked(node):
            self._purge_at.setdefault(node, now + self._remote.orphan_seconds)

    def _on_incarnation_seen(self, node: NodeId, incarnation: Incarnation) -> None:
        """A newer incarnation ends the older one: its pages here go, and what it held of ours is lost."""
        if self.nodes.is_stale(node, incarnation):
            return
        self._foreign.on_owner_seen(node, incarnation)
        self._bury(self._holders.bury(node, incarnation))

    def _bury(self, dead: Holder | None) -> None:
        """Begin to lose what an incarnation held that has ended."""
        if dead is None:
            return
        # From here on no clean copy of what it had is dropped; the sweep makes them ours alone.
        self.store.copies.unreachable_holders.add(dead.holder)
        self._flushes.forget(dead.holder)
        self._background_fetch.owner_recall.on_holder_unreachable(dead.holder)
        self._remotifier.on_holder_dead(dead.holder)
        self._trust.on_incarnation_over(dead.node)
        self._fetches.on_holder_dead(dead.holder)
        self._sweeps.begin(dead)

    # Time.

    def next_deadline(self) -> float:
        """Return when `on_deadline` wants to be called."""
        # Asked at the end of each pass, when mostly nothing but the next STATUS is due.
        next_at = min(self._status_at, self._background_fetch.next_deadline())
        for at in (
            self._flush_at,
            self._drop_at,
            self._sweeps.next_deadline(),
            self._scrubber.next_deadline(),
            self._last_copies.next_deadline(),
            self._slices.next_deadline(),
            self._fetches.next_deadline(),
            self._replicator.next_deadline(),
            self._remotifier.next_deadline(),
        ):
            if at is not None and at < next_at:
                next_at = at
        return min(next_at, *self._purge_at.values()) if self._purge_at else next_at

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        self._fetches.on_deadline(now)
        self._remotifier.on_deadline(now)
        self._outbox.add(*map(Replicated, self._replicator.on_deadline(now)))
        if self._status_at <= now:
            self._status_at = now + STATUS_SECONDS
            self._keep_house(now)
            for node in self.nodes.nodes():
                self._send_status(node, now)
        for node, at in list(self._purge_at.items()):
            if at <= now:
                del self._purge_at[node]
                self._foreign.purge(node)
        self._take_a_turn(now)

    def _take_a_turn(self, now: float) -> None:
        """Of all that has a slice due, one has its turn: each is short, and all of them in one pass would not be."""
        turns: tuple[tuple[float | None, Callable[[float], None]], ...] = (
            (self._last_copies.next_deadline(), self._count),
            (self._background_fetch.next_deadline(), self._bring_home),
            (self._scrubber.next_deadline(), self._scrubber.on_deadline),
            (self._sweeps.next_deadline(), self._sweeps.on_deadline),
        )
        for step in range(1, len(turns) + 1):
            turn = (self._last_turn + step) % len(turns)
            due_at, on_deadline = turns[turn]
            if due_at is not None and due_at <= now:
                self._last_turn = turn
                on_deadline(now)
                return

    def _count(self, now: float) -> None:
        self._outbox.add(*self._last_copies.on_deadline(now))

    def _bring_home(self, now: float) -> None:
        self._background_fetch.on_deadline(
            now,
            left_total=self._remotifier.left_total,
            is_any_remote=self._is_any_remote(),
            is_draining=self._is_draining,
        )

    def _keep_house(self, now: float) -> None:
        """Look who has room, compact, recall, and give memory back, a bounded piece at a time."""
        self._remotifier.look_around(now)
        self._remotifier.give_up_overdue(now)
        if not self._replicator.is_waiting:
            self._compactor.compact(COMPACT_ZPAGES)
        self._recall_foreign()
        self._replicator.replicate_again(now + self._remote.put_wait_seconds_max)
        self.store.zbud.trim()
        self._watch_resize(now)

    def _is_any_remote(self) -> bool:
        """Whether peers have pages of ours that may come home for good."""
        if self._is_draining:
            return True
        return not self._replicator.is_any_replicated and any(each.pages for each in self._holders)

    @property
    def _is_draining(self) -> bool:
        return self.nodes.local_config.draining

    def _recall_foreign(self) -> None:
        """Ask owners to take pages back, if this node drains, or nothing else makes room."""
        self._recall.on_tick(
            is_draining=self._is_draining,
            must_leave=self._remotifier.is_stuck(),
            left_total=self._remotifier.left_total,
        )
        was_closed, self._foreign.is_closed = self._foreign.is_closed, self._recall.is_active
        if self._is_draining:
            self.store.room.evict_some([Family.FOREIGN_EPHEMERAL], 0, DRAINED_BLOCKS_MAX)
        for node in self.nodes.nodes() if self._recall.is_active or was_closed else ():
            if self.nodes.is_linked(node):
                self._outbox.recall(node, self._recall.bound(node))

    def _watch_resize(self, now: float) -> None:
        is_under_way = self._remotifier.is_any_in_flight() or self._recall.is_active
        ended = self._resize.on_progress(now=now, is_under_way=is_under_way)
        if ended is not None:
            zbud = self.store.zbud
            self._outbox.add(Resized(ended, zbud.budget_bytes, zbud.resident_bytes))

    # What is to be done outside.

    def settle(self, now: float) -> list[Effect]:
        """Return what all events since the last call ask for, in the order in which it must be done."""
        self._settled_at = now
        self._do_slices(now)
        self._end_gets()  # what was fetched for good is adopted before anything clean is dropped
        if self._drop_at is None or self._drop_at <= now:
            self._drop(now)
        self._collect_owed(now)
        while not self._is_leaving and (puts := self._remotifier.next_puts(now)):
            self._send_puts(puts, now)
        self._outbox.add(*map(Replicated, self._replicator.take_done()))
        while not self._is_leaving and (blocks := self._replicator.blocks_to_send()):
            if not (puts := self._remotifier.puts_of_kept(blocks, now)):
                break
            self._send_puts(puts, now)
        if self._trust.to_check:
            self._check_holders()
        for holder in self._fetches.queued_holders():
            if not self._is_reachable(self._holders[holder]):
                self._fetches.redirect(holder)
        for holder in self._fetches.queued_holders():
            self._send_gets(self._holders[holder], now)
        if self._flush_at is not None and self._flush_at <= now:
            self._send_all_flushes(now)
        if self.store.versions.thinned:
            thinned, self.store.versions.thinned = self.store.versions.thinned, []
            for row in thinned:
                self._on_thinned(row)
        self._sweeps.settle(now)
        self._end_gets()
        self._outbox.add(*self._trust.take_news())
        return self._outbox.take()

    def _check_holders(self) -> None:
        """Ask peers for a page of what they lately said they stored."""
        for node in sorted(self._trust.to_check):
            holder = self._holders.living(node)
            if holder is None or not self._is_reachable(holder):
                continue
            is_sending = self._remotifier.is_sending_to(node)
            request = self._spot_checks.next_check(holder, is_sending=is_sending)
            if request is not None:
                request_id = self._outbox.next_request_id()
                self._spot_checks.begin(request_id, holder, request)
                self._outbox.get(node, request, request_id)

    def _do_slices(self, now: float) -> None:
        """Do a slice of what takes long, and make room in the tables for puts that wait."""
        self._slices.on_deadline(now)
        self.store.room.evict_for_tables()

    def _end_gets(self) -> None:
        """Hand over what gets have become; those that nobody asked for are for who brings pages home."""
        for pending in self._fetches.take_done():
            if not self._background_fetch.on_done(pending):
                self._outbox.add(GetDone(pending))

    def _on_thinned(self, row: int) -> None:
        self._background_fetch.rebuilder.note_if_at_risk(row)

    def _reachable_holders(self, row: int) -> int:
        """Return how many holders of a row can be asked now."""
        reachable = 0
        for holder_id in self.store.rows.holders(row):
            holder = self._holders[holder_id]
            reachable += self._is_reachable(holder)
        return reachable

    def _holder_nodes(self, row: int) -> set[NodeId]:
        """Return the nodes that have a page and can be asked now."""
        lives = (self._holders[holder] for holder in self.store.rows.holders(row))
        return {each.node for each in lives if self._is_reachable(each)}

    def _is_reachable(self, holder: Holder) -> bool:
        """Whether a holder can be asked now, and is not thought to hang."""
        return (
            not holder.is_dead
            and self.nodes.is_linked(holder.node)
            and self.nodes.state(holder.node) in _ANSWERS
        )

    def _placeable_nodes(self) -> int:
        return sum(may_place(each.state) and each.is_linked for each in self.nodes.candidates())

    def _drop(self, now: float) -> None:
        self._remotifier.drop_first(now)
        self._drop_at = now + DROP_SECONDS if self._remotifier.has_more_to_drop else None

    def take_node_events(self) -> list[NodeEvent]:
        """Return what happened to nodes since the last call, for subscribers and the log."""
        events, self._events = self._events, []
        return events

    def farewell(self) -> None:
        """An orderly stop, after the front ends: nobody will ask for our pages again, so no more leave."""
        self._is_leaving = True
        for node in self.nodes.nodes():
            if self.nodes.is_linked(node):
                self._outbox.farewell(node, self.incarnation)

    def _publish(self, events: list[NodeEvent]) -> None:
        self._events += events

    def _send_puts(self, puts: list[Put], now: float) -> None:
        """Send a shipment to each of its peers."""
        table = shipment_table(puts[0].shipment)
        for put in puts:
            while self._send_flushes(put.holder):
                pass  # at most two pieces: see `_is_behind`
            request_id = self._outbox.next_request_id()
            self._remotifier.begin(request_id, put, now)
            self._outbox.put(put, request_id, table)

    def _send_gets(self, holder: Holder, now: float) -> None:
        if holder.is_dead:
            self._fetches.on_holder_dead(holder.holder)
            return
        is_linked, state = self.nodes.is_linked(holder.node), self.nodes.state(holder.node)
        if not is_linked or state not in _ANSWERS:
            self._fetches.miss_queued(holder.holder)
        if is_linked:
            for request in self._fetches.take_requests(holder.holder):
                request_id = self._outbox.next_request_id()
                self._fetches.begin(request_id, request, now)
                self._outbox.get(holder.node, request, request_id)
        elif state in {NodeState.DOWN, NodeState.LEFT}:
            self._fetches.on_holder_unreachable(holder.holder)

    def _collect_owed(self, now: float) -> None:
        """Take over from the store which versions nobody will ask for again."""
        for holder_id, serials in self.store.versions.take_owed().items():
            holder = self._holders.get(holder_id)
            if holder is None or holder.is_dead:
                continue
            holder.on_pages_gone(len(serials))
            before = self._flushes.owed_to(holder_id)
            owed = self._flushes.owe(holder_id, serials)
            if before < FLUSH_SERIALS_MIN <= owed:
                self._flush_at = now
            elif self._flush_at is None:
                self._flush_at = now + FLUSH_SECONDS

    def _send_all_flushes(self, now: float) -> None:
        """Send pieces of what is owed, to one holder after the other, as many as one pass bears."""
        self._flush_at, left = None, FLUSH_PIECES_MAX
        linked = [each for each in self._flushes.holders() if self._is_linked(each)]
        while linked and left > 0:
            left -= len(linked)
            linked = [each for each in linked if self._send_flushes(self._holders[each])]
        if linked:
            self._flush_at = now + FLUSH_PIECES_SECONDS

    def _is_linked(self, holder: int) -> bool:
        return self.nodes.is_linked(self._holders[holder].node)

    def _send_flushes(self, holder: Holder) -> bool:
        """Send a piece of what a holder is owed, if it is linked; return whether there is more.

        Without a link it stays owed until there is one.
        """
        if not self.nodes.is_linked(holder.node):
            return False
        serials = self._flushes.send(holder.holder, self._outbox.last_request_id)
        self.store.work["owed"] += len(serials) // 4
        self._outbox.flush(holder.node, serials)
        return self._flushes.owed_to(holder.holder) > 0

    def _is_behind(self, node: NodeId) -> bool:
        """Whether a peer is owed more than may leave in front of a PUT."""
        holder = self._holders.living(node)
        return holder is not None and self._flushes.owed_to(holder.holder) > PIECE_SERIALS

    def _send_status(self, node: NodeId, now: float) -> None:
        if not self.nodes.is_linked(node):
            return
        zbud = self.store.zbud
        room = self._foreign.room_for(node)
        status = PeerStatus(
            budget_bytes=zbud.budget_bytes,
            free_bytes=room,
            is_accepting=room > 0 and not self.is_starved,
            pressure=min(1.0, zbud.resident_bytes / zbud.budget_bytes),
            pages_held_for_us=self._foreign.pages_of(node),
            put_bytes_per_second=self._receive_shares.share(node, len(self.nodes.nodes()), now),
        )
        self._outbox.status(node, status)

    def statistics(self) -> EngineStatistics:
        """Return a snapshot."""
        return EngineStatistics(
            store=self.store.statistics(),
            nodes=self.nodes.statistics(),
            remotify=self._remotifier.statistics(),
            fetch=self._fetches.statistics(),
            repatriate=self._background_fetch.repatriator.statistics(),
            rebuild=self._background_fetch.rebuilder.statistics(
                sum(holder.pages for holder in self._holders if holder.is_unswept)
            ),
            recall=self._recall.statistics(),
            owner_recall=self._background_fetch.owner_recall.statistics(),
            replicate=self._replicator.statistics(),
            resize=self._resize.statistics(),
            scrub=self._scrubber.statistics(),
            audit=self._auditor.statistics(),
            compacted_total=self._compactor.moved_total,
            foreign=self._foreign.statistics(),
            foreign_zpage_bytes=self._foreign.zpage_bytes,
            foreign_purged_total=self._foreign.purged_total,
            holders=tuple(
                HolderStatistics(
                    node=each.node,
                    incarnation=each.incarnation,
                    is_dead=each.is_dead,
                    pages=each.pages,
                )
                for each in self._holders
            ),
            trust=self._trust.statistics(self._settled_at),
            spot_checks_total=self._spot_checks.checked_total,
            spot_checks_unanswered_total=self._spot_checks.unanswered_total,
            flushes_owed=self._flushes.count(),
            is_accepting=self._foreign.room_bytes() > 0 and not self.is_starved,
        )

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks everything."""
        self.store.check_invariants()
        self.nodes.check_invariants()
        self._fetches.check_invariants()
        self._remotifier.check_invariants()
