"""The page path of one node, as a machine: an event in, effects out.

Joins the local store with what is known of the cluster.  It reads no clock and owns no socket:
`now` is passed in, `settle()` returns what is to be sent, closed or woken.  Everything between two
awaits of its callers is one call here, so each is a transaction.

This is what all others call.  What it is made of: `machines` decides about pages, `peer_frames` and
`peer_states` take what peers do, `clock` what time does, and `settling` ends each pass.

Order of effects on one link matters in one place: what a peer is owed (flushes) leaves before any
new PUT to it.
"""

import random
from collections.abc import Iterable, Sequence

from config.limits import COPIES_MAX
from config.model import ClusterConfig, DaemonConfig, PoolCodec, RemoteConfig
from net.errors import RemoteProtocolError
from net.frame import Frame
from nodemanager.events import NodeEvent
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import Verdict
from ramsterd.core import extents
from ramsterd.core.audit import AuditStatistics
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import PoolIdentity
from ramsterd.core.resize import ResizeStatistics
from ramsterd.core.scrub import ScrubStatistics
from ramsterd.core.store import RunOfPages
from ramsterd.pagepath.clock import Clock
from ramsterd.pagepath.effects import Effect
from ramsterd.pagepath.engine_statistics import EngineStatistics, snapshot
from ramsterd.pagepath.kept_pages import KeptPages
from ramsterd.pagepath.machines import Machines
from ramsterd.pagepath.peer_frames import PeerFrames
from ramsterd.pagepath.peer_states import PeerStates
from ramsterd.pagepath.settling import Settling
from ramsterd.remote.fetch.pending import GetOutcome, Pages, PendingGet
from ramsterd.remote.send.placing import Shortage
from ramsterd.remote.send.replicate import Replication


class Engine:
    """See the module's text."""

    def __init__(
        self,
        *,
        daemon: DaemonConfig,
        cluster: ClusterConfig,
        local: NodeId,
        incarnation: Incarnation,
        kept: KeptPages,
        rng: random.Random,
    ) -> None:
        """Begin with an empty store, or with what an earlier process of this incarnation kept.

        Then `resume` comes next.
        """
        self.incarnation = incarnation
        self.attach_count = kept.attach_count
        self._note_incarnation = kept.note_incarnation
        self.machines = machines = Machines(
            daemon=daemon, cluster=cluster, local=local, incarnation=incarnation, kept=kept, rng=rng
        )
        self.store = machines.store
        self.nodes = machines.nodes
        self._states = PeerStates(machines)
        self._frames = PeerFrames(machines, self._states)
        self._clock = Clock(machines)
        self._settling = Settling(machines)
        self._set_unreachable_seconds_max(daemon.remote)

    def resume(self, *, now: float) -> None:
        """Go on with kept pages, before any link is open: peers may be where they were, and may not."""
        self._states.resume(now)

    # What front ends ask.

    def new_pool(
        self,
        kind: PoolKind,
        identity: PoolIdentity,
        *,
        copies: int = 0,
        is_replicated: bool = False,
        outwaits: bool = False,
        codec: PoolCodec = PoolCodec.LZ4,
    ) -> PoolId:
        """Make a pool of our own, whose pages are on `copies` peers when not here (0: as the config says).

        With too few peers they are on fewer, as the config says; never those of a pool that
        `is_replicated`, for `replicate` promises `copies`.  One that `outwaits` waits longer for
        peers that can't be reached.  See `Store.new_pool` for what a disk is.

        Raises:
            PoolsExhausted: There are too many.
            CodecMissing: The library of the codec is not installed.
        """
        if kind is PoolKind.EPHEMERAL:
            return self.store.new_pool(kind, identity, codec=codec)
        machines = self.machines
        pool = self.store.new_pool(
            kind,
            identity,
            copies=machines.pool_copies.wanted(copies),
            copies_min=COPIES_MAX if is_replicated else machines.remote.copies_min,
            codec=codec,
        )
        self.store.pools[pool].outwaits = outwaits
        machines.pool_copies.on_pool(pool, copies)
        self._states.on_copies_wanted(pool)
        if is_replicated:
            self.store.track_unsaved(pool)
        return pool

    def replicate(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, now: float
    ) -> Replication | None:
        """Have what stands in a run at peers too; None: it is.  Else `Replicated` tells the end."""
        return self.machines.replicator.begin(
            pool, object_id, index, count, deadline=now + self.machines.remote.put_wait_seconds_max
        )

    def get(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, now: float
    ) -> Pages | GetOutcome | PendingGet:
        """Return the pages of a run, or an outcome, or a pending get that `GetDone` ends."""
        found = self.look(pool, object_id, index, count)
        if isinstance(found, RunOfPages):
            return self.fetch(pool, object_id, range(index, index + count), found, now=now)
        return found

    def look(
        self, pool: PoolId, object_id: bytes, index: int, count: int
    ) -> Pages | GetOutcome | RunOfPages:
        """Return the pages of a run, or an outcome, or what `fetch` asks peers for.  Needs no clock."""
        run = self.store.get(pool, object_id, index, count)
        if run.lost_count:
            return GetOutcome.LOST
        return run if run.elsewhere else run.pages

    def fetch(
        self,
        pool: PoolId,
        object_id: bytes,
        indexes: Sequence[int],
        run: RunOfPages,
        *,
        now: float,
        is_each: bool = False,
    ) -> PendingGet:
        """Ask peers for what `look`, or `Store.get_each`, did not find here, in the same step; `GetDone` tells of it."""
        deadline = now + self.machines.remote.fetch_seconds_max
        waits = {position for position, _ in run.elsewhere} if is_each else None
        outwaits = self.store.pools[pool].outwaits
        pending = PendingGet(
            pool, object_id, indexes, run.pages, deadline, outwaits, asked_at=now, waits=waits
        )
        self.machines.fetches.wait(pending, run)
        self.machines.read_ahead.on_read(pool, object_id, indexes[: len(run.pages)], now)
        return pending

    def cancel(self, pendings: Iterable[PendingGet]) -> None:
        """Nobody waits for these gets any more: they end without a `GetDone`."""
        self.machines.fetches.cancel(pendings)

    def serial_of(self, pool: PoolId, object_id: bytes, index: int) -> int:
        """Return the serial of the version that a page has now.

        0 for holes, zeros and lost pages.
        """
        return self.store.serial_of(pool, object_id, index)

    def may_make_room(self, pool: PoolId) -> bool:
        """Whether waiting can help a put that found no room: a peer may take pages, or more is to be evicted for it."""
        return (
            self.store.room.wants_tables is not None
            or self.machines.reach.has_peer_to_wait_for()
            or self.is_outwaiting(pool)
        )

    def is_outwaiting(self, pool: PoolId) -> bool:
        """Whether puts of a pool wait longer than others now, for a peer that may be reachable again."""
        return self.store.pools[pool].outwaits and bool(self.machines.reach.peers_away())

    def shortage(self, now: float) -> Shortage:
        """Return why a page that was refused has no room at peers."""
        return self.machines.remotifier.shortage(now)

    def end_pool(self, pool: PoolId) -> None:
        """None of a pool's pages is read again.  The caller drops them, and `destroy_pool` is the end."""
        self.store.end_pool(pool)

    def destroy_pool(self, pool: PoolId) -> None:
        """Forget a pool whose pages were dropped."""
        self.store.destroy_pool(pool)

    # What peers and the cluster do.

    def on_frame(self, node: NodeId, incarnation: Incarnation, frame: Frame, *, now: float) -> bool:
        """Handle one frame from the present incarnation of a peer; return whether a pass has to end.

        Raises:
            RemoteProtocolError: The peer broke the protocol; its link must be closed.
        """
        try:
            return self._frames.on_frame(node, incarnation, frame, now)
        except RemoteProtocolError:
            # The link counts it as answered: nobody else will say that it failed.
            if frame.is_reply:
                self.on_request_failed(frame.request_id)
            raise

    def on_request_failed(self, request_id: int) -> None:
        """A request of ours will get no answer: its outcome is unknown."""
        self._frames.on_request_failed(request_id, self._settling.settled_at)

    def on_link_up(
        self, node: NodeId, incarnation: Incarnation,
        *, attach_count: int = 0, is_eager: bool = False, now: float,
    ) -> None:  # fmt: skip
        """A link to a peer is open; `attach_count` is the peer's, and `is_eager`: it wants each STATUS."""
        self._states.on_link_up(node, incarnation, attach_count, now, is_eager=is_eager)

    def on_link_lost(self, node: NodeId, incarnation: Incarnation, *, now: float) -> None:
        """The link is gone; its requests have failed before this."""
        self._states.on_link_lost(node, incarnation, now)

    def on_verdict(self, verdict: Verdict, *, now: float) -> None:
        """The failure detector judged a node."""
        self._states.on_verdict(verdict, now)

    def on_starved(self, *, is_starved: bool) -> None:
        """The failure detector doubts ourselves, or does no more: peers are told at the next STATUS."""
        self.machines.status.is_starved = is_starved

    def on_members(self, cluster: ClusterConfig, *, now: float) -> list[NodeId]:
        """Members were added, removed, cordoned or are to drain; return the peers that are none any more."""
        gone = self._states.on_members(cluster, now)
        self._clock.tick_soon(now)  # a node that drains says so at once
        return gone

    def on_member_removed(self, node: NodeId) -> None:
        """A node is no member any more, and its link is gone: what it held is lost, what it owned goes."""
        self._states.on_member_removed(node)

    def take_node_events(self) -> list[NodeEvent]:
        """Return what happened to nodes since the last call, for subscribers and the log."""
        return self._states.take_events()

    # Time, and what is to be done outside.

    def next_deadline(self) -> float:
        """Return when `on_deadline` wants to be called."""
        return min(self._clock.next_deadline(), self._settling.next_deadline())

    def last_deadline(self) -> float:
        """Return when `on_deadline` has to be called at the latest: some of what is due has slack."""
        return min(self._clock.last_deadline(), self._settling.next_deadline())

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        self._clock.on_deadline(now)

    def settle(self, now: float) -> list[Effect]:
        """End a pass: return what all events since the last call ask for, in the order in which it must be done."""
        return self._settling.settle(now)

    # What an operator asks.

    def set_budget(self, budget_bytes: int, *, now: float) -> ResizeStatistics:
        """Change the budget, both ways (`core.resize`); `Resized` tells how it ended."""
        machines = self.machines
        machines.resize.begin(budget_bytes, now=now)
        self.store.room.set_tables_max(machines.memory.tables_bytes(budget_bytes))
        self._clock.watch_resize(now)
        self._clock.tick_soon(now)  # peers should know at once
        return machines.resize.statistics()

    def copies_with(self, cluster: ClusterConfig) -> int:
        """Return the most copies that any of our pages would want with other members."""
        return self.machines.pool_copies.most_with(cluster)

    def recalled_at(self, budget_bytes: int) -> dict[NodeId, int]:
        """Return about how many pages of each other node have to leave this node with a budget."""
        return self.machines.recall.over_quota_at(budget_bytes)

    def set_limits(self, daemon: DaemonConfig, *, now: float) -> None:
        """Change watermarks, reserve, quotas and rates; all else is as at the start."""
        machines, memory, remote = self.machines, daemon.memory, daemon.remote
        machines.memory = memory
        self.store.room.set_reserve(daemon.reserve_bytes)
        self.store.room.set_watermarks(high=memory.high_watermark, low=memory.low_watermark)
        self.store.room.set_tables_max(memory.tables_bytes(self.store.zbud.budget_bytes))
        machines.foreign.set_quotas(
            bytes_fraction_max=memory.foreign_fraction_max,
            owner_pages_max=memory.foreign_owner_bytes_max // PAGE_BYTES,
        )
        machines.receive_shares.set_rate(remote.foreign_bytes_per_second)
        machines.background_fetch.set_rates(remote)
        machines.read_ahead.set_bytes_max(remote.read_ahead_bytes_max)
        self._set_unreachable_seconds_max(remote)
        self._clock.tick_soon(now)  # peers should know at once

    def _set_unreachable_seconds_max(self, remote: RemoteConfig) -> None:
        self.unreachable_seconds_max = remote.unreachable_seconds_max
        # Other timers stay as they were at the start.
        fetch_seconds_max = self.machines.remote.fetch_seconds_max
        self.machines.fetches.set_outwait_seconds(
            max(0.0, remote.unreachable_seconds_max - fetch_seconds_max)
        )

    def begin_audit(self) -> AuditStatistics:
        """Check all tables, in slices; `statistics()` shows how far it is, and what it found."""
        self.machines.auditor.begin(self.machines.slices.add)
        return self.machines.auditor.statistics()

    def begin_scrub(self, *, now: float) -> ScrubStatistics:
        """Check every zpage here, in slices; `statistics()` shows how far it is."""
        self.machines.scrubber.begin(now=now)
        return self.machines.scrubber.statistics()

    def cancel_check(self, *, of_tables: bool) -> None:
        """End a check of all tables, or of all zpages, before its time."""
        (self.machines.auditor if of_tables else self.machines.scrubber).cancel()

    def is_scrubbing(self) -> bool:
        """Return whether a check of all pages here has begun and is not over."""
        return self.machines.scrubber.is_running

    def drop_pool(self, pool: PoolId) -> None:
        """Nobody may read a pool any more; its pages are dropped in slices."""
        self.machines.slices.add(extents.drop_pool(self.store, pool, lambda _: None))

    def begin_last_copies_count(self, node: NodeId, *, now: float) -> None:
        """Count the pages of ours that only this node has; `Counted` is the answer."""
        self.machines.last_copies.begin(node, now=now)

    def pages_there(self, node: NodeId) -> int:
        """Return how many pages of ours a node keeps, of which some may be here too.

        Of this node: all peers.
        """
        asked = (each for each in self.machines.holders if not each.is_dead)
        return sum(each.pages for each in asked if node in {each.node, self.nodes.local})

    def pages_here(self, node: NodeId) -> int:
        """Return how many pages of a node we keep; of this node: of all others."""
        foreign = self.machines.foreign
        if node == self.nodes.local:
            return sum(foreign.pages_of(owner) for owner in foreign.owners())
        return foreign.pages_of(node)

    def pages_owned(self) -> int:
        """Return how many pages of our own must come back or be reported, wherever they are.  Walks their leaves."""
        return sum(
            self.store.pages_of(pool.pool)
            for pool in self.store.pools
            if pool.family is Family.OWN_PERSISTENT
        )

    # Our own incarnation.

    def may_begin_incarnation(self) -> bool:
        """Whether nothing is lost if this node goes on as a new incarnation: nobody keeps pages for it, nor it for others."""
        local = self.nodes.local
        is_any_kept = self.pages_there(local) or self.pages_here(local)
        return not is_any_kept and not self.machines.remotifier.is_any_in_flight()

    def begin_incarnation(self, incarnation: Incarnation) -> None:
        """Be this incarnation from now on; the pages that are here stay ours."""
        assert incarnation > self.incarnation
        assert self.may_begin_incarnation()
        self._note_incarnation(incarnation)
        self.incarnation, self.attach_count = incarnation, 0
        self.nodes.begin_incarnation(incarnation)

    def farewell(self) -> None:
        """An orderly stop, after the front ends: nobody will ask for our pages again, so no more leave."""
        self.machines.is_leaving = True
        for node in self.nodes.nodes():
            if self.nodes.is_linked(node):
                self.machines.outbox.farewell(node, self.incarnation)

    # What is true.

    def statistics(self) -> EngineStatistics:
        """Return a snapshot."""
        return snapshot(self.machines, self._settling.settled_at)

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks everything."""
        self.machines.check_invariants()
