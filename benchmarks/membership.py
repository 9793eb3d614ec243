"""Membership alone, on a virtual clock: real `Swim` machines, a simulated datagram network, one seed.

Delays are 1 to 5 ms.  A paused node handles nothing and keeps what arrives.  A slow one reads so few datagrams a
second that they pile up before it, up to what a socket keeps, while its own deadlines still come in time: what
it hears is old, and that is what makes a starved node accuse others.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from config.model import TimersConfig
from heartbeat.datagram import Datagram, Message
from heartbeat.knobs import Knobs
from heartbeat.swim import AskLink, Effect, SendDatagram, Swim
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict

DELAY_SECONDS = (0.001, 0.005)
# How long a slow node takes for one datagram, and how many its socket keeps.
SLOW_SECONDS = (0.1, 0.7)
ARRIVED_MAX = 64
STATUS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Frame:
    """Something that came over the link of this incarnation of a node."""

    node: NodeId
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class StatusDue:
    """It is time for a node to send a frame to each other."""


@dataclass(slots=True)
class SimNode:
    """One node and what it did."""

    swim: Swim
    incarnation: Incarnation
    is_dead: bool = False
    is_paused: bool = False
    is_slow: bool = False
    busy_until: float = 0.0
    arrived: list[Message | Frame] = field(default_factory=list)
    is_status_due: bool = False
    # How many more arrivals it has time for until it is paused again.
    items_left: float = float("inf")
    wake_at: float = float("inf")
    sent_bytes: int = 0
    sent_datagrams: int = 0


class Membership:
    """A cluster of nodes 0 to `nodes` - 1 in their first incarnation."""

    def __init__(
        self, nodes: int, seed: int, *, knobs: Knobs | None = None, has_links: bool = False
    ) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self.timers = TimersConfig()
        self.verdicts: list[tuple[float, NodeId, Verdict]] = []  # when, who judged, what
        self.loss_fraction = 0.0
        self.is_cut: Callable[[NodeId, NodeId], bool] = lambda _source, _target: False
        self._knobs = knobs
        self._has_links = has_links
        self._numbers = [NodeId(number) for number in range(nodes)]
        # When, whom it reaches, and what; None: its alarm.
        self._events: list[tuple[float, int, NodeId, Message | Frame | StatusDue | None]] = []
        self._order = itertools.count()
        self.nodes: dict[NodeId, SimNode] = {}
        for number in self._numbers:
            self.start(number, Incarnation(1))

    def start(self, number: NodeId, incarnation: Incarnation) -> None:
        """Begin an incarnation."""
        others = [other for other in self._numbers if other != number]
        rng = random.Random(self.rng.getrandbits(64))
        swim = Swim(
            others, number, incarnation, self.timers, now=self.now, rng=rng, knobs=self._knobs
        )
        self.nodes[number] = SimNode(swim, incarnation)
        self._set_alarm(number)
        if self._has_links:
            self._push(self.now + self.rng.random() * STATUS_SECONDS, number, StatusDue())

    def run_until(self, end: float) -> None:
        """Handle all that happens until then."""
        while self._events and self._events[0][0] <= end:
            at, _, number, message = heapq.heappop(self._events)
            self.now = max(self.now, at)
            node = self.nodes[number]
            if node.is_dead:
                continue
            if isinstance(message, StatusDue):
                node.is_status_due = True
                self._push(self.now + STATUS_SECONDS, number, message)
            elif message is not None:
                if len(node.arrived) < ARRIVED_MAX or not node.is_slow:
                    node.arrived.append(message)
            elif node.wake_at > at:
                continue  # an alarm that was set again
            if not node.is_paused:
                self._handle(number, node)
        self.now = end

    def pause(self, number: int) -> None:
        """Stop a node as SIGSTOP does."""
        self.nodes[NodeId(number)].is_paused = True

    def resume(self, number: int, *, items: float = float("inf")) -> None:
        """Let it go on, and handle so many arrivals until it is paused again."""
        self.nodes[NodeId(number)].is_paused = False
        self.nodes[NodeId(number)].items_left = items
        self._handle(NodeId(number), self.nodes[NodeId(number)])

    def believed(self, number: int, state: NodeState) -> int:
        """Return how many others that live believe this of a node."""
        target = NodeId(number)
        return sum(
            node.swim.roster.members[target].state is state
            for other, node in self.nodes.items()
            if other != target and not node.is_dead
        )

    def downs_of(self, number: int, since: float) -> list[float]:
        """Return when nodes judged this one down."""
        return [
            at
            for at, _, verdict in self.verdicts
            if at >= since and verdict.node == number and verdict.state is NodeState.DOWN
        ]

    def check_invariants(self) -> None:
        """Check every machine."""
        for node in self.nodes.values():
            node.swim.check_invariants()

    def _handle(self, number: NodeId, node: SimNode) -> None:
        if node.is_status_due:
            node.is_status_due = False
            self._send_frames(number, node)
        for message in self._read(node):
            if isinstance(message, Frame):
                effects = node.swim.on_heard(message.node, message.incarnation, now=self.now)
            else:
                effects = node.swim.on_datagram(message, now=self.now)
            self._perform(number, node, effects)
        if node.items_left > 0:
            self._perform(number, node, node.swim.on_deadline(now=self.now))
            self._set_alarm(number)

    def _read(self, node: SimNode) -> list[Message | Frame]:
        if not node.is_slow:
            count = int(min(node.items_left, len(node.arrived)))
            node.items_left -= count
            read, node.arrived = node.arrived[:count], node.arrived[count:]
            return read
        if self.now < node.busy_until or not node.arrived:
            return []
        node.busy_until = self.now + self.rng.uniform(*SLOW_SECONDS)
        return [node.arrived.pop(0)]

    def _set_alarm(self, number: NodeId) -> None:
        node = self.nodes[number]
        deadline = node.swim.next_deadline()
        if node.is_slow and node.arrived:
            deadline = min(deadline or node.busy_until, max(self.now, node.busy_until))
        if deadline is not None and deadline != node.wake_at:
            node.wake_at = deadline
            self._push(deadline, number, None)

    def _perform(self, number: NodeId, node: SimNode, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Verdict():
                    self.verdicts.append((self.now, number, effect))
                case AskLink():
                    pass  # nodes without links: the detector is measured alone
                case SendDatagram(message):
                    node.sent_datagrams += 1
                    datagram = Datagram(message=message, cluster=0, counter=node.sent_datagrams)
                    node.sent_bytes += len(datagram.encode())
                    self._deliver(message)

    def _deliver(self, message: Message) -> None:
        delay = self.rng.uniform(*DELAY_SECONDS)
        if self.is_cut(message.node, message.target) or self.rng.random() < self.loss_fraction:
            return
        self._push(self.now + delay, message.target, message)

    def _send_frames(self, number: NodeId, node: SimNode) -> None:
        frame = Frame(number, node.incarnation)
        for other in self._numbers:
            if other != number and not self.is_cut(number, other):
                self._push(self.now + self.rng.uniform(*DELAY_SECONDS), other, frame)

    def _push(self, at: float, number: NodeId, what: Message | Frame | StatusDue | None) -> None:
        heapq.heappush(self._events, (at, next(self._order), number, what))
