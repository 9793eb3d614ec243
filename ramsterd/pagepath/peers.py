"""Peers: links <-> engine.

A thin shell around the engine: what links receive goes in, what the engine wants sent goes out.
`settle()` ends every pass: it performs the engine's effects, pushes each touched link once, and
hands what concerns front ends to the pager.
"""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from config.lookup import named_after
from config.model import ClusterConfig
from heartbeat.service import HeartbeatService
from heartbeat.udp import DatagramSocket, UdpSocket
from net.errors import RemoteProtocolError
from net.frame import Frame
from net.link import Failure, Link
from net.mesh import Mesh
from net.transport import Transport
from nodemanager.events import NodeSubscribers
from nodemanager.ids import Incarnation, NodeId
from nodemanager.journal import subscribe_log
from nodemanager.membership import MembershipStore
from nodemanager.states import LinkState, Verdict
from nodemanager.table import NodeRow
from ramsterd.asking.exchange import Exchange
from ramsterd.asking.messages import ALL_LIMITS, AskingMessage
from ramsterd.host.loop_clock import LoopTimer
from ramsterd.membership.addresses import Addresses, is_up
from ramsterd.membership.believed_incarnations import believed
from ramsterd.membership.members import Members
from ramsterd.membership.messages import MemberMessage
from ramsterd.membership.own_incarnation import IncarnationKeeper, NothingKept, OwnIncarnation
from ramsterd.pagepath.effects import CloseLink, Effect, GetDone, Replicated, Resized, Send
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.farewell import wait_sent
from ramsterd.pagepath.front_ends import FrontEnds, NoFrontEnds
from ramsterd.pagepath.greeting import hello_of
from ramsterd.pagepath.heartbeat import new_heartbeat
from ramsterd.pagepath.journal import log_reconciled, log_resized, log_trust
from ramsterd.pagepath.own_status import ASKS_LINKS
from ramsterd.pagepath.sending import queue_frame
from ramsterd.remote.holders.reconcile import Reconciled
from ramsterd.remote.holders.trust import Distrusted, TrustedAgain
from ramsterd.remote.home.last_copies import Counted

logger = logging.getLogger("ramster.peers")

MEMBER_MESSAGES: Final = frozenset(MemberMessage)
# No frames about pages.
OTHER_MESSAGES: Final = MEMBER_MESSAGES | frozenset(AskingMessage)
# A frame proves that its sender is alive; telling the detector of each would cost more than
# handling it.
HEARD_SECONDS: Final = 0.25


class Peers:
    """Runs the links and the heartbeat of one node, around its engine.  A `net.link.LinkHandler`."""

    def __init__(
        self,
        engine: Engine,
        cluster: ClusterConfig,
        *,
        transport: Transport,
        rng: random.Random,
        store: MembershipStore | None = None,
        heartbeat_key: bytes | None = None,
        has_tls: bool = False,
        open_heartbeat: Callable[[Sequence[str], int], DatagramSocket] | None = None,
        keeper: IncarnationKeeper | None = None,
        clock_milliseconds: Callable[[], int] = lambda: 0,
    ) -> None:
        self._engine = engine
        self._cluster = cluster
        self._local = engine.nodes.local_config
        self.subscribers = NodeSubscribers()
        subscribe_log(self.subscribers, engine.nodes.name)
        self.own_incarnation = OwnIncarnation(
            engine,
            keeper=keeper or NothingKept(),
            clock_milliseconds=clock_milliseconds,
            begin=self._begin_incarnation,
        )
        self.addresses = Addresses(cluster, engine.nodes.local, is_up=partial(is_up, engine.nodes))
        self.mesh = Mesh(
            hello_of(engine, cluster),
            members=self.addresses.book.hosts,
            names=self.addresses.book.node_names,
            handler=self,
            transport=transport,
            limits=ALL_LIMITS,
            rng=rng,
            newest=self._newest,
            on_outdated=self.own_incarnation.on_outdated,
            insecure_plaintext=cluster.insecure_plaintext,
            on_no_link=engine.nodes.on_no_link,
            resolve=self.addresses.resolve,
        )
        self.members = Members(
            engine,
            cluster,
            links=self.mesh.links,
            apply=self._on_members_changed,
            store=store,
            has_tls=has_tls,
        )
        self.asking = Exchange(
            self.mesh.links, node=self._local.name, name_of=engine.nodes.name, has_tls=has_tls
        )
        # Members that are gone, whose links still have to end.
        self._parting: set[NodeId] = set()
        self._rng = rng
        self._heartbeat_key = heartbeat_key
        may_leave = heartbeat_key is not None or cluster.insecure_plaintext
        self._open_heartbeat = open_heartbeat or partial(UdpSocket, allow_remote=may_leave)
        self.heartbeat: HeartbeatService | None = None
        self.front_ends: FrontEnds = NoFrontEnds()  # the pager sets itself
        # Called at the end of each pass: front ends send what it completed, all at once.
        self.on_settled: list[Callable[[], None]] = []
        self._timer = LoopTimer()
        self._is_settling = False
        self._heard_at: dict[NodeId, float] = {}

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, dial, beat and watch the clock until cancelled.

        Raises:
            OSError: An address can't be bound, or our host has none.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self.addresses.run)
            addresses, port = await self.addresses.own()
            with named_after(self._local.address, port):
                heartbeat_socket = self._open_heartbeat(addresses, port)
            self.heartbeat = new_heartbeat(
                self._engine,
                self._cluster,
                datagram_socket=heartbeat_socket,
                on_verdicts=self._on_verdicts,
                on_begun=self.mesh.on_process_begun,
                on_ask_link=self.mesh.ask,
                key=self._heartbeat_key,
                rng=self._rng,
            )
            self.addresses.on_endpoints = self.heartbeat.on_endpoints_changed
            await nursery.start(partial(self.mesh.serve, addresses=addresses))
            await nursery.start(self.heartbeat.run)
            nursery.start_soon(self.addresses.follow, self._listen_at, self.mesh.places)
            nursery.start_soon(self._watch_clock)
            nursery.start_soon(self.own_incarnation.run)
            nursery.start_soon(self.asking.run)
            task_status.started()

    async def _listen_at(self, addresses: Sequence[str], port: int) -> None:
        """Receive heartbeats and accept links there, and nowhere else.  Links that are open stay."""
        await trio.lowlevel.checkpoint_if_cancelled()  # a stop may have closed all by now
        assert self.heartbeat is not None, "it serves"
        self.heartbeat.listen_at(addresses, port)
        await self.mesh.listen_at(addresses, port)

    def settle(self) -> None:
        """End a pass: perform what the engine wants, and what it wants because of that."""
        if self._is_settling:
            return  # the pass that is being ended goes on with this
        self._is_settling = True
        now = trio.current_time()
        touched: dict[NodeId, Link] = {}
        try:
            self._perform_all(touched, now)
            if self.front_ends.serve_waiting():
                self._perform_all(touched, now)
        finally:
            self._is_settling = False
        for link in touched.values():
            link.push()
        for settled in self.on_settled:
            settled()
        if events := self._engine.take_node_events():
            self.subscribers.publish(events)
        self._set_alarm()

    def _perform_all(self, touched: dict[NodeId, Link], now: float) -> None:
        """Perform effects, and those that follow when the engine is told of something by that: mostly once.

        What only sends tells it nothing.  Ephemeral pages above the watermark that found no taker
        just now are dropped in the next pass, then.
        """
        is_engine_told = True
        while is_engine_told:
            is_engine_told = False
            for effect in self._engine.settle(now):
                is_engine_told |= self._perform(effect, touched, now)

    def _perform(self, effect: Effect, touched: dict[NodeId, Link], now: float) -> bool:
        """Perform an effect; return whether the engine may have been told of something."""
        match effect:
            case Send():
                return not self._send(effect, touched, now)
            case GetDone() | Replicated():
                self.front_ends.on_woken(effect)
            case CloseLink(node, reason):
                if (link := self.mesh.links.get(node)) is not None:
                    link.close(reason)
            case Resized():
                log_resized(effect)
            case Counted():
                self.members.inquiries.on_counted(effect)
            case Reconciled(node):
                log_reconciled(effect, self._engine.nodes.name(node))
            case Distrusted(node) | TrustedAgain(node):
                log_trust(effect, self._engine.nodes.name(node))
        return True

    def row(self, node: NodeId) -> NodeRow | None:
        """Return how this node sees a peer; None: it is none, or none any more."""
        nodes = self._engine.nodes
        return nodes.row(node) if node in nodes else None

    async def say_farewell(self) -> None:
        """Tell holders that nobody asks for our pages again, and wait until it has left, within a bound."""
        self._engine.farewell()
        self.settle()
        await wait_sent(self.mesh.links)

    def _send(self, send: Send, touched: dict[NodeId, Link], now: float) -> bool:
        """Queue a frame, and return whether there is a link; if not, the engine is told that its request has failed."""
        link = self.mesh.links.get(send.node)
        if link is None:
            if send.seconds_max:
                self._engine.on_request_failed(send.request_id)
            return False
        touched[send.node] = link
        queue_frame(link, send, now)
        return True

    # What links tell (net.link.LinkHandler).

    def on_link_up(self, link: Link) -> None:
        """Both sides accepted each other."""
        self._engine.on_link_up(
            link.node, link.incarnation,
            attach_count=link.attach_count,
            is_eager=not link.features & ASKS_LINKS,
            now=trio.current_time(),
        )  # fmt: skip
        if self.heartbeat is not None:
            self.heartbeat.heard(link.node, link.incarnation)
        self.members.on_link_up(link)
        self.addresses.on_link_up(link.node)
        self.settle()

    def on_frames(self, link: Link, frames: list[Frame]) -> None:
        """Handle what one receive brought, in one pass."""
        now = trio.current_time()
        # What is for the link alone may be the answer that the detector asked for.
        is_due = not frames or now - self._heard_at.get(link.node, 0) > HEARD_SECONDS
        if self.heartbeat is not None and is_due:
            self._heard_at[link.node] = now
            self.heartbeat.heard(link.node, link.incarnation)
        if not frames:
            return
        self.own_incarnation.on_frames(link.node)
        unread = iter(frames)
        is_pass, engine = True, self._engine
        try:
            for frame in unread:
                if frame.type in OTHER_MESSAGES:
                    self._on_other_frame(link, frame)
                else:
                    follows = engine.on_frame(link.node, link.incarnation, frame, now=now)
                    is_pass = follows or len(frames) > 1
        except RemoteProtocolError:
            # The link counts all these requests as answered, so nobody else will say that they
            # failed.
            for frame in unread:
                if frame.is_reply:
                    self._engine.on_request_failed(frame.request_id)
            raise
        finally:
            if is_pass:
                self.settle()

    def _on_other_frame(self, link: Link, frame: Frame) -> None:
        if frame.is_reply:
            # The link counts a request about pages as answered by this: nobody else will say that
            # it failed.
            self._engine.on_request_failed(frame.request_id)
            raise RemoteProtocolError(
                f"frame of type {frame.type} as a reply, which answers nothing"
            )
        about = self.members if frame.type in MEMBER_MESSAGES else self.asking
        about.on_frame(link, frame)

    def on_requests_failed(self, link: Link, failures: list[tuple[int, Failure]]) -> None:
        """Requests have no answer: their outcome is unknown."""
        for request_id, _ in failures:
            self._engine.on_request_failed(request_id)
        # A lost link is said once, for all of them.
        for failure in {failure for _, failure in failures} - {Failure.LOST}:
            count = sum(each is failure for _, each in failures)
            name = self._engine.nodes.name(link.node)
            logger.warning("node %s: %d requests failed: %s", name, count, failure.value)
        # With a lost link, `on_link_lost` follows in the same step.  Before it the engine would ask
        # again on this very link, which it still believes in.
        if any(failure is not Failure.LOST for _, failure in failures):
            self.settle()

    def on_link_lost(self, link: Link, reason: str) -> None:
        """The link is gone."""
        self._engine.on_link_lost(link.node, link.incarnation, now=trio.current_time())
        self._engine.nodes.on_no_link(link.node, LinkState.LOST, reason)
        self.members.on_link_lost(link.node)
        self.asking.on_link_lost(link.node)
        if link.node in self._parting:
            self._parting.discard(link.node)
            self._engine.on_member_removed(link.node)
        self.settle()

    # What members change.

    def _on_members_changed(self, cluster: ClusterConfig) -> None:
        """Make everything follow a new membership.

        A member that is gone goes when its link has ended.
        """
        if self.members.is_removed:
            cluster = replace(cluster, node=())
        self._cluster = cluster
        for node in self._engine.on_members(cluster, now=trio.current_time()):
            if node in self.mesh.links:
                self._parting.add(node)
            elif node not in self._parting:
                self._engine.on_member_removed(node)
        # Back before its link had ended.
        self._parting -= {NodeId(node.number) for node in cluster.node}
        self.addresses.on_members(cluster)
        self.mesh.on_members_changed()
        if self.heartbeat is not None:
            self.heartbeat.on_members_changed(cluster, self.addresses.book.endpoints())
        self.settle()

    # What the detector and the clock tell.

    def _on_verdicts(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            nodes = self._engine.nodes
            if verdict.node not in nodes:
                continue  # judged just before it was removed
            says = believed(
                verdict,
                known=nodes.incarnation(verdict.node),
                is_linked=nodes.is_linked(verdict.node),
            )
            if says is not None:
                self._engine.on_verdict(says, now=trio.current_time())
        self.settle()

    async def _watch_clock(self) -> None:
        while True:
            until = self._alarm()
            await self._timer.sleep(min(self._engine.next_deadline(), until), until)
            now = trio.current_time()
            # Asked before each STATUS, not told at each change: half a second later is soon enough.
            is_starved = self.heartbeat is not None and self.heartbeat.is_starved
            self._engine.on_starved(is_starved=is_starved)
            self.on_deadline(now)

    def on_deadline(self, now: float) -> None:
        """Do what is due here and for front ends."""
        self._engine.on_deadline(now)
        self.front_ends.on_deadline(now)
        self.settle()

    def _alarm(self) -> float:
        mine, theirs = self._engine.last_deadline(), self.front_ends.next_deadline()
        return mine if theirs is None else min(mine, theirs)

    def _set_alarm(self) -> None:
        self._timer.hasten(self._alarm())

    def _newest(self, node: NodeId) -> Incarnation | None:
        nodes = self._engine.nodes
        return nodes.incarnation(node) if node in nodes else None

    def _begin_incarnation(self, incarnation: Incarnation) -> None:
        self._engine.begin_incarnation(incarnation)
        self.mesh.begin_incarnation(incarnation)
        if self.heartbeat is not None:
            self.heartbeat.begin_incarnation(incarnation)
