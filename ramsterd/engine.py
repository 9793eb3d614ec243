"""The page path of one node, as a machine: an event in, effects out.

Joins the local store with what is known of the cluster.  It reads no clock and owns no socket: `now` is passed
in, `settle()` returns what is to be sent, closed or woken.  Everything between two awaits of its callers is one
call here, so each is a transaction.

Order of effects on one link matters in one place: what a peer is owed (flushes) leaves before any new PUT to it.
"""

import random
from dataclasses import dataclass
from typing import Final

from config.model import ClusterConfig, DaemonConfig
from net.errors import RemoteProtocolError
from net.frame import Frame
from nodemanager.events import NodeEvent
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from nodemanager.table import NodeTable, PeerStatus, TableStatistics
from ramsterd.core import traffic
from ramsterd.core.arena import MapMemory
from ramsterd.core.compact import Compactor
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.resize import Resize, ResizeStatistics
from ramsterd.core.store import Store, StoreLimits, StoreStatistics
from ramsterd.remote import messages
from ramsterd.remote.effects import CloseLink, Effect, GetDone, Resized, RoomMade, Send
from ramsterd.remote.fetch import Fetches, FetchStatistics, GetOutcome, Pages, PendingGet
from ramsterd.remote.flushes import Flushes
from ramsterd.remote.foreign import ForeignPages, ForeignStatistics
from ramsterd.remote.holders import Holder, Holders
from ramsterd.remote.messages import MessageType
from ramsterd.remote.remotify import Put, Remotifier, RemotifyStatistics
from ramsterd.remote.repatriate import RepatriateStatistics, Repatriator

# How often peers are told how much room we have; in between a refusal tells them.
STATUS_SECONDS: Final = 0.5
# Flushes wait this long for company, or until there are enough to fill a good part of a frame.
FLUSH_SECONDS: Final = 0.05
FLUSH_SERIALS_MIN: Final = 512
# Rows looked at in one slice of a sweep: about 5 ms.
SWEEP_ROWS: Final = 16384
SWEEP_SECONDS: Final = 0.02
# Zpages that compaction moves at each STATUS: about 2 ms.  A shrinking budget has no better way to find memory.
COMPACT_ZPAGES: Final = 1024
# Pages come home below this part of the low watermark: the rest is room for what is written meanwhile.
REPATRIATE_BELOW: Final = 0.8
# A pause after each slice of dropped blocks, for everybody else.
DROP_SECONDS: Final = 0.001
REQUEST_ID_MAX: Final = 0xFFFF_FFFF
# No life has it, so every life of a node is older: it ends whatever is known.
NO_LIFE: Final = Incarnation(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderStatistics:
    """How many pages of ours one life of a node keeps."""

    node: NodeId
    incarnation: Incarnation
    is_dead: bool
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatistics:
    """One consistent snapshot of the page path."""

    store: StoreStatistics
    nodes: TableStatistics
    remotify: RemotifyStatistics
    fetch: FetchStatistics
    repatriate: RepatriateStatistics
    resize: ResizeStatistics
    compacted_total: int
    foreign: tuple[ForeignStatistics, ...]
    foreign_zpage_bytes: int
    foreign_purged_total: int
    holders: tuple[HolderStatistics, ...]
    flushes_owed: int
    is_accepting: bool


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
        self._remote = remote
        self.store = Store(
            map_memory,
            StoreLimits(
                budget_bytes=memory.budget,
                budget_bytes_max=memory.budget_max or 4 * memory.budget,
                pages_max=memory.pages_max,
                high_watermark=memory.high_watermark,
                low_watermark=memory.low_watermark,
            ),
        )
        self.nodes = NodeTable(cluster, local, incarnation=incarnation)
        self._holders = Holders()
        self._foreign = ForeignPages(self.store, bytes_fraction_max=memory.foreign_fraction_max)
        self._fetches = Fetches(self.store, self._holders, in_flight_max=remote.gets_in_flight_max)
        self._remotifier = Remotifier(
            self.store,
            self._holders,
            self.nodes,
            in_flight_max=remote.puts_in_flight_max,
            refusal_seconds=remote.refusal_seconds,
            rng=rng,
        )
        self._repatriator = Repatriator(
            self.store,
            self._holders,
            self._fetches,
            self.nodes,
            watermark=REPATRIATE_BELOW * memory.low_watermark,
            quiet_seconds=remote.repatriate_seconds,
            pages_per_second_max=remote.repatriate_pages_per_second,
            fetch_seconds_max=remote.fetch_seconds_max,
        )
        self._compactor = Compactor(self.store)
        self._resize = Resize(self.store)
        self._effects: list[Effect] = []
        self._last_request_id = 0
        self._flushes = Flushes()
        self._flush_at: float | None = None
        self._status_at: float = 0.0
        self._sweeps: list[tuple[Holder, int]] = []
        self._sweep_at: float | None = None
        self._drop_at: float | None = None
        self._purge_at: dict[NodeId, float] = {}
        self._events: list[NodeEvent] = []
        self._is_leaving = False
        # Peers that gave up their own pages: what follows on the link is its end, in order.
        self._departing: set[NodeId] = set()

    # What front ends ask.

    def new_pool(self, kind: PoolKind, name: str) -> PoolId:
        """Make a pool of our own."""
        return self.store.new_pool(kind, name)

    def get(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, now: float
    ) -> Pages | GetOutcome | PendingGet:
        """Return the pages of a run, or an outcome, or a pending get that `GetDone` ends."""
        run = self.store.get(pool, object_id, index, count)
        if run.lost_count:
            return GetOutcome.LOST
        if not run.elsewhere:
            return run.pages
        pending = PendingGet(
            pool, object_id, index, run.pages, now + self._remote.fetch_seconds_max
        )
        self._fetches.wait(pending, run)
        return pending

    def put(self, pool: PoolId, object_id: bytes, index: int, pages: memoryview) -> int:
        """Store a run; return how many pages, from the start, found room now."""
        return self.store.put(pool, object_id, index, pages)

    def serial_of(self, pool: PoolId, object_id: bytes, index: int) -> int:
        """Return the serial of the version that a page has now; 0 for holes, zeros and lost pages."""
        return self.store.serial_of(pool, object_id, index)

    def may_make_room(self) -> bool:
        """Whether waiting can help a put that found no room: some peer is linked."""
        return any(self.nodes.is_linked(node) for node in self.nodes.nodes())

    def make_room_known(self) -> None:
        """Memory was freed while puts may wait for it: let them try again at the end of this pass."""
        self._effects.append(RoomMade())

    def destroy_pool(self, pool: PoolId) -> int:
        """Flush all pages of a pool, here and at peers; return how many there were."""
        return self.store.destroy_pool(pool)

    def set_budget(self, budget_bytes: int, *, now: float) -> ResizeStatistics:
        """Change the budget, both ways (`core.resize`); `Resized` tells how it ended."""
        self._resize.begin(budget_bytes, now=now)
        self._watch_resize(now)
        self._status_at = now  # peers should know at once
        self.make_room_known()
        return self._resize.statistics()

    # What peers and the cluster do.

    def on_frame(self, node: NodeId, incarnation: Incarnation, frame: Frame, *, now: float) -> None:
        """Handle one frame from the present life of a peer.

        Raises:
            RemoteProtocolError: The peer broke the protocol; its link must be closed.
        """
        try:
            self._check_life(node, incarnation)
            if frame.is_reply:
                self._on_reply(node, frame, now)
            else:
                self._on_request(node, incarnation, frame, now)
        except RemoteProtocolError:
            # The link counts it as answered: nobody else will say that it failed.
            if frame.is_reply:
                self.on_request_failed(frame.request_id)
            raise

    def _check_life(self, node: NodeId, incarnation: Incarnation) -> None:
        if self.nodes.is_stale(node, incarnation):
            raise RemoteProtocolError(f"incarnation {incarnation} is an earlier life")

    def _on_request(self, node: NodeId, incarnation: Incarnation, frame: Frame, now: float) -> None:
        match frame.type:
            case MessageType.PUT_PAGES:
                put = messages.PutPages.parse(frame)
                results = self._foreign.on_put(node, incarnation, put)
                self._reply(node, frame, len(results), results)
            case MessageType.GET_PAGES:
                packed, body = self._foreign.on_get(node, messages.parse_get(frame))
                self._reply(node, frame, len(packed), messages.get_reply_table(packed), body)
            case MessageType.FLUSH_PAGES:
                if self._foreign.on_flush(node, messages.parse_flush(frame)):
                    self.make_room_known()
            case MessageType.FLUSH_OWNER:
                last = messages.parse_flush_owner(frame)
                if last >= incarnation:
                    self._departing.add(node)  # only a life that ends gives up its own pages
                if self._foreign.on_flush_owner(node, last):
                    self.make_room_known()
            case MessageType.STATUS:
                self._publish(self.nodes.on_status(node, messages.parse_status(frame), now=now))
                self._remotifier.on_status(node)
            case _:
                raise RemoteProtocolError(f"frame of type {frame.type}, which is no request")

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
            results = messages.parse_put_reply(frame, pages_count)
            self._remotifier.on_results(frame.request_id, results, now)
            self.make_room_known()
        else:
            self._fetches.on_reply(frame.request_id, frame)

    def on_request_failed(self, request_id: int) -> None:
        """A request of ours will get no answer: its outcome is unknown."""
        if self._remotifier.is_in_flight(request_id):
            self._remotifier.on_unknown(request_id)
        else:
            self._fetches.on_request_failed(request_id)

    def on_link_up(self, node: NodeId, incarnation: Incarnation, *, now: float) -> None:
        """A link to a peer is open."""
        if self.nodes.is_stale(node, incarnation):
            self._effects.append(CloseLink(node, f"incarnation {incarnation} is an earlier life"))
            return
        self._publish(self.nodes.on_link_up(node, incarnation, now=now))
        self._on_life_seen(node, incarnation)
        if (holder := self._holders.living(node)) is not None:
            self.store.unreachable_holders.discard(holder.holder)
        self._purge_at.pop(node, None)
        self._flush_at = now if self._flushes else self._flush_at
        self._send_status(node)

    def on_link_lost(self, node: NodeId, incarnation: Incarnation, *, now: float) -> None:
        """The link is gone; its requests have failed before this."""
        holder = self._holders.living(node)
        if holder is not None and holder.incarnation == incarnation:
            self._flushes.on_link_lost(holder.holder)
            self.store.unreachable_holders.add(holder.holder)
        self._publish(self.nodes.on_link_lost(node, incarnation, now=now))
        if node in self._departing:
            self._departing.discard(node)
            self._publish(self.nodes.on_goodbye(node, incarnation, now=now))
            if holder is not None:
                self._fetches.on_holder_unreachable(holder.holder)
        self._expect_orphans(node, now)

    def on_member_removed(self, node: NodeId) -> None:
        """A node is no member any more, and its link is gone: what it held is lost, what it owned goes."""
        if self._foreign.purge(node):
            self.make_room_known()
        self._bury(node, NO_LIFE)
        self._purge_at.pop(node, None)
        self._departing.discard(node)
        self._publish(self.nodes.forget(node))

    def pages_there(self, node: NodeId) -> int:
        """Return how many pages of ours a node keeps, of which some may be here too."""
        return sum(each.pages for each in self._holders if each.node == node and not each.is_dead)

    def pages_here(self, node: NodeId) -> int:
        """Return how many pages of a node we keep."""
        return self._foreign.pages_of(node)

    def on_verdict(self, verdict: Verdict, *, now: float) -> None:
        """The failure detector judged a node."""
        self._publish(self.nodes.on_verdict(verdict, now=now))
        if verdict.incarnation is not None:
            self._on_life_seen(verdict.node, verdict.incarnation)
        if self.nodes.state(verdict.node) is NodeState.DOWN:
            self._expect_orphans(verdict.node, now)
            holder = self._holders.living(verdict.node)
            if holder is not None:
                self._fetches.on_holder_unreachable(holder.holder)
        elif verdict.state is NodeState.UP:
            self._purge_at.pop(verdict.node, None)

    def _expect_orphans(self, node: NodeId, now: float) -> None:
        """Purge an owner after a while; one whose link is open lives, whatever its heartbeats say."""
        if self.nodes.state(node) is NodeState.DOWN and not self.nodes.is_linked(node):
            self._purge_at.setdefault(node, now + self._remote.orphan_seconds)

    def _on_life_seen(self, node: NodeId, incarnation: Incarnation) -> None:
        """A newer life ends the older one: its pages here go, and what it held of ours is lost."""
        if self.nodes.is_stale(node, incarnation):
            return
        if self._foreign.on_owner_seen(node, incarnation):
            self.make_room_known()
        self._bury(node, incarnation)

    def _bury(self, node: NodeId, incarnation: Incarnation) -> None:
        """Begin to lose what a life held that is not this one."""
        dead = self._holders.bury(node, incarnation)
        if dead is None:
            return
        traffic.adopt_clean(self.store, dead.holder)
        self._flushes.forget(dead.holder)
        self._fetches.on_holder_dead(dead.holder)
        self._sweeps.append((dead, 0))

    # Time.

    def next_deadline(self) -> float:
        """Return when `on_deadline` wants to be called."""
        times = [self._status_at, *self._purge_at.values()]
        times += [at for at in (self._flush_at, self._sweep_at, self._drop_at) if at is not None]
        fetch = self._fetches.next_deadline()
        return min(times if fetch is None else [*times, fetch])

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        self._fetches.on_deadline(now)
        if self._status_at <= now:
            self._status_at = now + STATUS_SECONDS
            self._keep_house(now)
            for node in self.nodes.nodes():
                self._send_status(node)
        for node, at in list(self._purge_at.items()):
            if at <= now:
                del self._purge_at[node]
                if self._foreign.purge(node):
                    self.make_room_known()
        if self._sweep_at is not None and self._sweep_at <= now:
            self._sweep()

    def _keep_house(self, now: float) -> None:
        """Compact, bring pages home, and give memory back, a bounded piece at a time."""
        if self._compactor.compact(COMPACT_ZPAGES):
            self.make_room_known()
        self._repatriator.on_tick(
            now=now,
            left_total=self._remotifier.stored_total,
            is_remote=any(holder.pages for holder in self._holders),
        )
        self.store.zbud.trim()
        self._watch_resize(now)

    def _watch_resize(self, now: float) -> None:
        ended = self._resize.on_progress(now=now, is_under_way=self._remotifier.is_any_in_flight())
        if ended is not None:
            self._effects.append(Resized(ended, self.store.zbud.budget_bytes))

    def _sweep(self) -> None:
        """Look at one slice of the row table for pages that died with their holder."""
        holder, row = self._sweeps.pop(0)
        row, lost = traffic.lose_held_by(self.store, holder.holder, row, SWEEP_ROWS)
        holder.pages -= lost
        if row:
            self._sweeps.insert(0, (holder, row))
        else:
            self._holders.forget(holder)
            self.store.unreachable_holders.discard(holder.holder)

    # What is to be done outside.

    def settle(self, now: float) -> list[Effect]:
        """Return what all events since the last call ask for, in the order in which it must be done."""
        if self._drop_at is None or self._drop_at <= now:
            self._drop(now)
        self._collect_owed(now)
        while not self._is_leaving and (put := self._remotifier.next_put(now)) is not None:
            self._send_flushes(put.holder)
            self._send_put(put)
        for holder in self._fetches.queued_holders():
            self._send_gets(self._holders[holder])
        if self._flush_at is not None and self._flush_at <= now:
            self._flush_at = None
            for holder in self._flushes.holders():
                self._send_flushes(self._holders[holder])
        self._sweep_at = now + SWEEP_SECONDS if self._sweeps else None
        self._effects += [
            GetDone(pending)
            for pending in self._fetches.take_done()
            if not self._repatriator.on_done(pending)
        ]
        effects, self._effects = self._effects, []
        return effects

    def _drop(self, now: float) -> None:
        if self._remotifier.drop_clean():
            self.make_room_known()
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
                table = messages.owner_table(self.incarnation)
                self._effects.append(Send(node, MessageType.FLUSH_OWNER, 1, table))

    def _publish(self, events: list[NodeEvent]) -> None:
        self._events += events

    def _reply(
        self, node: NodeId, frame: Frame, count: int, table: bytes, body: bytes = b""
    ) -> None:
        self._effects.append(
            Send(node, frame.type, count, table, body, request_id=frame.request_id, is_reply=True)
        )

    def _request_id(self) -> int:
        self._last_request_id = self._last_request_id % REQUEST_ID_MAX + 1
        return self._last_request_id

    def _send_put(self, put: Put) -> None:
        request_id = self._request_id()
        self._remotifier.begin(request_id, put)
        serials = put.serials
        table = messages.put_table(
            PoolKind.PERSISTENT,
            serials,
            [checksum for leaving in put.blocks for checksum in leaving.checksums],
            [packed for leaving in put.blocks for packed in leaving.packed],
        )
        body = b"".join(leaving.body for leaving in put.blocks)
        self._request(put.holder.node, MessageType.PUT_PAGES, request_id, len(serials), table, body)

    def _send_gets(self, holder: Holder) -> None:
        if holder.is_dead:
            self._fetches.on_holder_dead(holder.holder)
        elif self.nodes.is_linked(holder.node):
            for request in self._fetches.take_requests(holder.holder):
                request_id = self._request_id()
                self._fetches.begin(request_id, request)
                table = messages.get_table(request.serials)
                count = len(request.serials)
                self._request(holder.node, MessageType.GET_PAGES, request_id, count, table)
        elif self.nodes.state(holder.node) in {NodeState.DOWN, NodeState.LEFT}:
            self._fetches.on_holder_unreachable(holder.holder)

    def _request(
        self,
        node: NodeId,
        frame_type: MessageType,
        request_id: int,
        count: int,
        table: bytes,
        body: bytes = b"",
    ) -> None:
        seconds_max = self._remote.request_seconds_max
        self._effects.append(
            Send(node, frame_type, count, table, body, request_id, seconds_max=seconds_max)
        )

    def _collect_owed(self, now: float) -> None:
        """Take over from the store which versions nobody will ask for again."""
        for holder_id, serials in self.store.take_owed().items():
            holder = self._holders[holder_id]
            if holder.is_dead:
                continue
            holder.pages -= len(serials)
            if self._flushes.owe(holder_id, serials) >= FLUSH_SERIALS_MIN:
                self._flush_at = now
            elif self._flush_at is None:
                self._flush_at = now + FLUSH_SECONDS

    def _send_flushes(self, holder: Holder) -> None:
        """Send all that a holder is owed, if it is linked; else it stays owed until it is."""
        if not self.nodes.is_linked(holder.node):
            return
        ranges = messages.serial_ranges(self._flushes.send(holder.holder, self._last_request_id))
        for start in range(0, len(ranges), messages.RANGES_PER_FRAME_MAX):
            some = ranges[start : start + messages.RANGES_PER_FRAME_MAX]
            self._effects.append(
                Send(holder.node, MessageType.FLUSH_PAGES, len(some), messages.flush_table(some))
            )

    def _send_status(self, node: NodeId) -> None:
        if not self.nodes.is_linked(node):
            return
        zbud = self.store.zbud
        room = self._foreign.room_bytes()
        status = PeerStatus(
            budget_bytes=zbud.budget_bytes,
            free_bytes=room,
            is_accepting=room > 0,
            pressure=min(1.0, zbud.resident_bytes / zbud.budget_bytes),
            pages_held_for_us=self._foreign.pages_of(node),
        )
        self._effects.append(Send(node, MessageType.STATUS, 1, messages.status_message(status)))

    def statistics(self) -> EngineStatistics:
        """Return a snapshot."""
        return EngineStatistics(
            store=self.store.statistics(),
            nodes=self.nodes.statistics(),
            remotify=self._remotifier.statistics(),
            fetch=self._fetches.statistics(),
            repatriate=self._repatriator.statistics(),
            resize=self._resize.statistics(),
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
            flushes_owed=self._flushes.count(),
            is_accepting=self._foreign.room_bytes() > 0,
        )

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks everything."""
        self.store.check_invariants()
        self.nodes.check_invariants()
        self._fetches.check_invariants()
        self._remotifier.check_invariants()
