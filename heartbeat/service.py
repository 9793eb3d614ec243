"""The heartbeat service: beats out, beats in, verdicts to whoever asked.  A thin shell.

Which datagrams count is `heartbeat.door`'s to say, what silence means the detector's; this module owns the
socket and the clock.  Two tasks: one beats, one watches.
"""

import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from config.model import ClusterConfig
from heartbeat.datagram import Beat, cluster_digest
from heartbeat.detector import DetectorStatistics, FailureDetector
from heartbeat.door import Door, Drop, DropReason, Endpoint, normal_endpoint
from heartbeat.udp import DatagramSocket, UdpSocket
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import Verdict

logger = logging.getLogger("ramster.heartbeat")

# Read in one wake-up before other tasks get their turn; what is left is read in the next one.
DATAGRAMS_PER_WAKE_MAX: Final = 256
# Each pause between beats is drawn from 1 - this to 1 + this of `heartbeat_seconds`, so that nodes that started
# together do not stay in step.
BEAT_JITTER_FRACTION: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatStatistics:
    """One snapshot of the service."""

    sent_total: int
    send_errors_total: int
    received_total: int  # datagrams, whether they counted or not
    receive_errors_total: int
    dropped_total: dict[DropReason, int]  # the caller's own copy
    detector: DetectorStatistics


def open_socket(cluster: ClusterConfig, local: NodeId) -> UdpSocket:
    """Bind the UDP socket of the local node: its configured address, the port of its TCP link.

    Raises:
        PlaintextRefused: The address is not loopback and the cluster does not say `insecure_plaintext`.
        OSError: The address can't be bound.
    """
    ours = next(node for node in cluster.node if node.number == local)
    return UdpSocket(ours.address, ours.port, insecure_plaintext=cluster.insecure_plaintext)


class HeartbeatService:
    """Sends and receives beats, and feeds a failure detector."""

    def __init__(
        self,
        cluster: ClusterConfig,
        local: NodeId,
        incarnation: Incarnation,
        *,
        detector: FailureDetector,
        datagram_socket: DatagramSocket,
        rng: random.Random,
        on_verdicts: Callable[[list[Verdict]], None],
    ) -> None:
        """Wire the service; nothing is sent before `run`.

        Args:
            cluster: All members, with us among them, by IP address.
            local: Our number.
            incarnation: Our life, told in each beat.
            detector: Judges silence; from now on only this service calls it.
            datagram_socket: Bound to our endpoint; `run` closes it.
            rng: Draws the jitter.
            on_verdicts: Called synchronously, never with an empty list.  An exception ends its caller: `run`, or
                whoever called `heard`.

        Raises:
            ValueError: A member's address is not an IP address.
        """
        self._targets: dict[NodeId, Endpoint] = {
            NodeId(node.number): normal_endpoint(node.address, node.port)
            for node in cluster.node
            if node.number != local
        }
        self._local = local
        self._incarnation = incarnation
        self._digest = cluster_digest(cluster.name)
        self._heartbeat_seconds = cluster.timers.heartbeat_seconds
        self._door = Door(cluster, local)
        self._detector = detector
        self._socket = datagram_socket
        self._rng = rng
        self._on_verdicts = on_verdicts
        self._sequence = 0
        self._unsendable: set[NodeId] = set()
        self._waiting: trio.CancelScope | None = None
        self._sent_total = 0
        self._send_errors_total = 0
        self._received_total = 0
        self._receive_errors_total = 0
        self._dropped_total = dict.fromkeys(DropReason, 0)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Beat and watch until cancelled.

        Resources: closes the socket at the end, however it comes.
        Errors: those of the network are counted and logged, and end nothing.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._beat)
                nursery.start_soon(self._watch)
                task_status.started()
        finally:
            self._socket.close()

    def on_members_changed(self, cluster: ClusterConfig) -> None:
        """Beat at these members from now on, and listen to them alone."""
        members = {
            NodeId(node.number): normal_endpoint(node.address, node.port)
            for node in cluster.node
            if node.number != self._local
        }
        self._targets = members
        self._unsendable &= members.keys()
        self._door.on_members_changed(members)
        self._detector.on_members_changed(members, now=trio.current_time())
        if self._waiting is not None:
            self._waiting.deadline = self._deadline()

    def heard(self, node: NodeId, incarnation: Incarnation) -> None:
        """Note that something came from a member over its link: that is life as good as a beat."""
        self._report(self._detector.on_heard(node, incarnation, now=trio.current_time()))

    def statistics(self) -> HeartbeatStatistics:
        """Return a snapshot."""
        return HeartbeatStatistics(
            sent_total=self._sent_total,
            send_errors_total=self._send_errors_total,
            received_total=self._received_total,
            receive_errors_total=self._receive_errors_total,
            dropped_total=dict(self._dropped_total),
            detector=self._detector.statistics(),
        )

    async def _beat(self) -> None:
        while True:
            self._send_beats()
            jitter = self._rng.uniform(-BEAT_JITTER_FRACTION, BEAT_JITTER_FRACTION)
            await trio.sleep(self._heartbeat_seconds * (1 + jitter))

    def _send_beats(self) -> None:
        self._sequence += 1
        datagram = Beat(
            cluster=self._digest,
            node=self._local,
            incarnation=self._incarnation,
            sequence=self._sequence,
        ).encode()
        for node, target in self._targets.items():
            try:
                self._socket.send_to(datagram, target)
            except OSError as error:
                self._on_send_error(node, error)
            else:
                self._sent_total += 1
                self._unsendable.discard(node)

    def _on_send_error(self, node: NodeId, error: OSError) -> None:
        self._send_errors_total += 1
        if node not in self._unsendable:  # once until it works again, not once a second
            self._unsendable.add(node)
            logger.warning("no beat can be sent to node %d: %s", node, error)

    async def _watch(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadline()) as self._waiting:
                await self._socket.wait_readable()
            self._waiting = None
            # What arrived before we judge counts, also when the deadline woke us late.
            now = trio.current_time()
            verdicts = self._receive(now)
            verdicts += self._detector.on_deadline(now=now)
            self._report(verdicts)

    def _deadline(self) -> float:
        deadline = self._detector.next_deadline()
        return math.inf if deadline is None else deadline

    def _receive(self, now: float) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for _ in range(DATAGRAMS_PER_WAKE_MAX):
            try:
                received = self._socket.receive_from()
            except OSError as error:  # the network tells us of an earlier send
                self._receive_errors_total += 1
                logger.debug("receive failed: %s", error)
                continue
            if received is None:
                break
            self._received_total += 1
            match self._door.admit(*received):
                case Beat() as beat:
                    verdicts += self._detector.on_heard(beat.node, beat.incarnation, now=now)
                case Drop() as drop:
                    self._on_drop(drop)
        return verdicts

    def _on_drop(self, drop: Drop) -> None:
        self._dropped_total[drop.reason] += 1
        count = self._dropped_total[drop.reason]
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th...: nobody can flood our log
            logger.warning(
                "datagram dropped, %s: %s (%d so far)", drop.reason.value, drop.detail, count
            )

    def _report(self, verdicts: list[Verdict]) -> None:
        if not verdicts:
            return
        if (
            self._waiting is not None
        ):  # a verdict may bring the deadline nearer than the one slept for
            self._waiting.deadline = self._deadline()
        for verdict in verdicts:
            logger.info("node %d is %s: %s", verdict.node, verdict.state.value, verdict.reason)
        self._on_verdicts(verdicts)
