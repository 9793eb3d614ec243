"""The heartbeat service: datagrams out, datagrams in, verdicts to a callback.  A thin shell.

Which datagrams count is `heartbeat.datagram_filter`'s to say, what they and their absence mean
`heartbeat.swim`'s; this module owns the socket and the clock.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio

from config.model import ClusterConfig
from heartbeat.datagram import Message
from heartbeat.datagram_filter import DatagramFilter, Drop, DropReason
from heartbeat.routes import Endpoint, Routes, written_endpoints
from heartbeat.swim import AskLink, Effect, SendDatagram, Swim, SwimStatistics
from heartbeat.udp import DatagramSocket
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import Verdict

logger = logging.getLogger("ramster.heartbeat")

# Read in one wake-up before other tasks get their turn; what is left is read in the next one.
DATAGRAMS_PER_WAKE_MAX: Final = 256
# After a change of the key, datagrams of nodes that still have the one before count for so long.
# Those nodes can't read ours meanwhile; what comes over links keeps us alive in their eyes.
KEY_OVERLAP_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatStatistics:
    """One snapshot of the service."""

    sent_datagrams_total: int
    sent_bytes_total: int  # of UDP payload, MACs among it
    send_errors_total: int
    received_datagrams_total: int  # datagrams, whether they counted or not
    received_bytes_total: int
    receive_errors_total: int
    dropped_datagrams_total: dict[DropReason, int]  # the caller's own copy
    detector: SwimStatistics


def ignore_begun(_: NodeId) -> None:
    """Serve a node that does not care when others start."""


def ignore_ask(_: NodeId) -> None:
    """Serve a node without links."""


class HeartbeatService:
    """Sends and receives datagrams for a failure detector."""

    def __init__(
        self,
        cluster: ClusterConfig,
        local: NodeId,
        *,
        detector: Swim,
        datagram_socket: DatagramSocket,
        on_verdicts: Callable[[list[Verdict]], None],
        on_begun: Callable[[NodeId], None] = ignore_begun,
        key: bytes | None = None,
        on_ask_link: Callable[[NodeId], None] = ignore_ask,
        attach_count: int = 0,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        """Wire the service; nothing is sent before `run`.

        Args:
            cluster: All members, with us among them; those with a host name are reached once
                `on_endpoints_changed` has said where they are.
            local: Our number.
            detector: Judges; from now on only this service calls it.
            datagram_socket: Bound to our endpoint; `run` closes it.
            on_verdicts: Called synchronously, never with an empty list.  An exception ends its
                caller: `run`, or the caller of `heard`.
            on_begun: Called when a member is heard for the first time, or for the first time after
                it has started again, or where it has moved to.
            on_ask_link: Called to have a member say something over its link; what comes is `heard`.
            key: Of the MAC, 32 bytes; None: without.
            attach_count: How many processes of our incarnation were before this one.
            now: Monotonic seconds of the world, in which others were silent also while we did not
                run: the detector knows what to make of that.
        """
        self._routes = Routes(written_endpoints(cluster, local))
        self._names = names_of(cluster)
        self._local = local
        self._filter = DatagramFilter(
            cluster.name, local, self._routes, key, attach_count=attach_count
        )
        self._detector = detector
        self._socket = datagram_socket
        self._on_verdicts, self._on_begun = on_verdicts, on_begun
        self._on_ask_link = on_ask_link
        self._now = now
        self._unsendable: set[NodeId] = set()
        # When a datagram of each member counted last: links may prove it alive while UDP is blocked.
        self._datagram_at: dict[NodeId, float] = {}
        self._waiting: trio.CancelScope | None = None
        self._previous_key_until = math.inf  # inf: there is none
        self._sent_datagrams_total = self._sent_bytes_total = 0
        self._send_errors_total = 0
        self._received_datagrams_total = self._received_bytes_total = 0
        self._receive_errors_total = 0
        self._dropped_datagrams_total = dict.fromkeys(DropReason, 0)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled.

        Resources: closes the socket at the end, however it comes.
        Errors: those of the network are counted and logged, and end nothing.
        """
        try:
            task_status.started()
            await self._watch()
        finally:
            self._socket.close()

    def on_members_changed(
        self,
        cluster: ClusterConfig,
        endpoints: Mapping[NodeId, Sequence[Endpoint]] | None = None,
    ) -> None:
        """Watch these members from now on, and listen to them alone.

        `endpoints` says where the others are; None: where the cluster file says.
        """
        if endpoints is None:
            endpoints = written_endpoints(cluster, self._local)
        self._names = names_of(cluster)
        self._unsendable &= endpoints.keys()
        self._datagram_at = {
            node: at for node, at in self._datagram_at.items() if node in endpoints
        }
        self._routes.on_changed(endpoints)
        self._filter.on_members_changed()
        self._detector.on_members_changed(list(endpoints), now=self._now())
        if self._waiting is not None:
            self._waiting.deadline = self._alarm()

    def on_endpoints_changed(self, endpoints: Mapping[NodeId, Sequence[Endpoint]]) -> None:
        """The same members are at these endpoints now."""
        assert endpoints.keys() == set(self._routes.nodes())
        self._routes.on_changed(endpoints)

    def listen_at(self, addresses: Sequence[str], port: int) -> None:
        """Receive at these addresses of ours from now on.

        Raises:
            OSError: None of them can be bound: nothing has changed.
        """
        self._socket.listen_at(addresses, port)

    def begin_incarnation(self, incarnation: Incarnation) -> None:
        """Speak as this one from now on."""
        self._detector.begin_incarnation(incarnation)
        if self._waiting is not None:
            self._waiting.deadline = self._alarm()

    def on_key_changed(self, key: bytes) -> bool:
        """Use a new key of the MAC.

        False: it is the present one.  The one before counts for `KEY_OVERLAP_SECONDS`.
        """
        is_new = self._filter.on_key_changed(key)
        if is_new:
            self._previous_key_until = self._now() + KEY_OVERLAP_SECONDS
        return is_new

    def heard(self, node: NodeId, incarnation: Incarnation) -> None:
        """Note that something came from a member over its link: it proves as much as an answer."""
        self._filter.on_linked(node, incarnation)
        if effects := self._detector.on_heard(node, incarnation, now=self._now()):
            self._perform(effects)

    def heartbeat_seconds(self, node: NodeId) -> float | None:
        """Return how long ago the last heartbeat of a member came by UDP; None: none came."""
        at = self._datagram_at.get(node)
        return None if at is None else max(0.0, self._now() - at)

    @property
    def is_starved(self) -> bool:
        """Whether we do so badly that others should ask us for nothing."""
        return self._detector.is_starved

    def statistics(self) -> HeartbeatStatistics:
        """Return a snapshot."""
        return HeartbeatStatistics(
            sent_datagrams_total=self._sent_datagrams_total,
            sent_bytes_total=self._sent_bytes_total,
            send_errors_total=self._send_errors_total,
            received_datagrams_total=self._received_datagrams_total,
            received_bytes_total=self._received_bytes_total,
            receive_errors_total=self._receive_errors_total,
            dropped_datagrams_total=dict(self._dropped_datagrams_total),
            detector=self._detector.statistics(),
        )

    def _send(self, message: Message) -> None:
        target = self._routes.target(message.target)
        if target is None:  # its name is not found (yet), which the log has from who looks it up
            self._send_errors_total += 1
            return
        datagram = self._filter.close(message)
        try:
            self._socket.send_to(datagram, target)
        except OSError as error:
            self._on_send_error(message.target, error)
        else:
            self._sent_datagrams_total += 1
            self._sent_bytes_total += len(datagram)
            self._unsendable.discard(message.target)

    def _on_send_error(self, node: NodeId, error: OSError) -> None:
        self._send_errors_total += 1
        if node not in self._unsendable:  # once until it works again, not once a second
            self._unsendable.add(node)
            logger.warning(
                "node %s: heartbeats can't be sent: %s", self._names.get(node, str(node)), error
            )

    async def _watch(self) -> None:
        while True:
            # What arrives moves the deadline: a scope for each datagram would cost as much as the
            # datagram does.
            with trio.CancelScope(deadline=self._alarm()) as self._waiting:
                while True:
                    await self._socket.wait_readable()
                    self._beat()
                    self._waiting.deadline = self._alarm()
            self._waiting = None
            self._beat()

    def _beat(self) -> None:
        # What arrived before we judge counts, also when the deadline woke us late.
        now = self._now()
        effects = self._receive(now)
        effects += self._detector.on_deadline(now=now)
        self._perform(effects)
        for node in self._filter.take_begun():
            self._on_begun(node)

    def _alarm(self) -> float:
        """Return when to wake, in the time of the loop."""
        return trio.current_time() + (self._deadline() - self._now())

    def _deadline(self) -> float:
        deadline = self._detector.next_deadline()
        return math.inf if deadline is None else deadline

    def _receive(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if now >= self._previous_key_until:
            self._previous_key_until = math.inf
            self._filter.forget_previous_key()
        for _ in range(DATAGRAMS_PER_WAKE_MAX):
            try:
                received = self._socket.receive_from()
            except OSError as error:  # the network tells us of an earlier send
                self._receive_errors_total += 1
                logger.debug("receive failed: %s", error)
                continue
            if received is None:
                break
            self._received_datagrams_total += 1
            self._received_bytes_total += len(received[0])
            match self._filter.admit(*received):
                case Message() as message:
                    self._datagram_at[message.node] = now
                    effects += self._detector.on_datagram(message, now=now)
                case Drop() as drop:
                    self._on_drop(drop)
        return effects

    def _on_drop(self, drop: Drop) -> None:
        self._dropped_datagrams_total[drop.reason] += 1
        count = self._dropped_datagrams_total[drop.reason]
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th...: nobody can flood our log
            source = "" if drop.node is None else f"from node {self._name(drop.node)}: "
            # A name that stays without an address is warned of as it is looked up.
            is_usual = drop.reason is DropReason.UNRESOLVED_SOURCE
            logger.log(
                logging.INFO if is_usual else logging.WARNING,
                "heartbeat dropped, %s: %s%s; dropped for this reason since the start: %d",
                drop.reason.value, source, drop.detail, count,
            )  # fmt: skip

    def _perform(self, effects: list[Effect]) -> None:
        verdicts: list[Verdict] = []
        for effect in effects:
            match effect:
                case SendDatagram(message):
                    self._send(message)
                case AskLink(node):
                    self._on_ask_link(node)
                case Verdict():
                    verdicts.append(self._naming_reporter(effect))
        if not verdicts:
            return
        if (
            self._waiting is not None
        ):  # a verdict may bring the deadline nearer than the one slept for
            self._waiting.deadline = self._alarm()
        for verdict in verdicts:
            # The log of nodes says what is made of it.
            name = self._name(verdict.node)
            logger.debug("node %s is %s: %s", name, verdict.state.value, verdict.reason)
        self._on_verdicts(verdicts)

    def _naming_reporter(self, verdict: Verdict) -> Verdict:
        """Return a verdict whose reason names the node that reported it: the detector knows numbers only."""
        if verdict.reporter is None:
            return verdict
        return replace(verdict, reason=f"{verdict.reason} by node {self._name(verdict.reporter)}")

    def _name(self, node: NodeId) -> str:
        return self._names.get(node, str(node))


def names_of(cluster: ClusterConfig) -> dict[NodeId, str]:
    """Return what logs call each node."""
    return {NodeId(node.number): node.name for node in cluster.node}
