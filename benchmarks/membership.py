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
from heartbeat.outbox import Effect, SendDatagram
from heartbeat.swim import Swim
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict

DELAY_SECONDS = (0.001, 0.005)
# How long a slow node takes for one datagram, and how many its socket keeps.
SLOW_SECONDS = (0.1, 0.7)
ARRIVED_MAX = 64


@dataclass(slots=True)
class SimNode:
    """One node and what it did."""

    swim: Swim
    is_dead: bool = False
    is_paused: bool = False
    is_slow: bool = False
    busy_until: float = 0.0
    arrived: list[Message] = field(default_factory=list)
    wake_at: float = float("inf")
    sent_bytes: int = 0
    sent_datagrams: int = 0


class Membership:
    """A cluster of nodes 0 to `nodes` - 1 in their first life."""

    def __init__(self, nodes: int, seed: int, *, knobs: Knobs | None = None) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self.timers = TimersConfig()
        self.verdicts: list[tuple[float, NodeId, Verdict]] = []  # when, who judged, what
        self.loss_fraction = 0.0
        self.is_cut: Callable[[NodeId, NodeId], bool] = lambda _source, _target: False
        self._knobs = knobs
        self._numbers = [NodeId(number) for number in range(nodes)]
        self._events: list[tuple[float, int, NodeId, Message | None]] = []
        self._order = itertools.count()
        self.nodes: dict[NodeId, SimNode] = {}
        for number in self._numbers:
            self.start(number, Incarnation(1))

    def start(self, number: NodeId, incarnation: Incarnation) -> None:
        """Begin a life."""
        others = [other for other in self._numbers if other != number]
        rng = random.Random(self.rng.getrandbits(64))
        swim = Swim(
            others, number, incarnation, self.timers, now=self.now, rng=rng, knobs=self._knobs
        )
        self.nodes[number] = SimNode(swim)
        self._set_alarm(number)

    def run_until(self, end: float) -> None:
        """Handle all that happens until then."""
        while self._events and self._events[0][0] <= end:
            at, _, number, message = heapq.heappop(self._events)
            self.now = max(self.now, at)
            node = self.nodes[number]
            if node.is_dead:
                continue
            if message is not None:
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

    def resume(self, number: int) -> None:
        """Let it go on."""
        self.nodes[NodeId(number)].is_paused = False
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
        for message in self._read(node):
            self._perform(number, node, node.swim.on_datagram(message, now=self.now))
        self._perform(number, node, node.swim.on_deadline(now=self.now))
        self._set_alarm(number)

    def _read(self, node: SimNode) -> list[Message]:
        if not node.is_slow:
            read, node.arrived = node.arrived, []
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
            heapq.heappush(self._events, (deadline, next(self._order), number, None))

    def _perform(self, number: NodeId, node: SimNode, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Verdict():
                    self.verdicts.append((self.now, number, effect))
                case SendDatagram(message):
                    node.sent_datagrams += 1
                    datagram = Datagram(message=message, cluster=0, counter=node.sent_datagrams)
                    node.sent_bytes += len(datagram.encode())
                    self._deliver(message)

    def _deliver(self, message: Message) -> None:
        delay = self.rng.uniform(*DELAY_SECONDS)
        if self.is_cut(message.node, message.target) or self.rng.random() < self.loss_fraction:
            return
        event = (self.now + delay, next(self._order), message.target, message)
        heapq.heappush(self._events, event)
