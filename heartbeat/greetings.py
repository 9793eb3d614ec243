"""Members that were not heard yet, and their timeout.  Pure.

At the start, and when members come, each that was not heard is pinged once, some at each tick.
That is the only traffic that grows with the cluster.
"""

import math
import random
from collections.abc import Collection

from config.model import TimersConfig
from heartbeat.datagram import DatagramKind
from heartbeat.knobs import GOSSIP_TICKS_PER_PROBE, GREETINGS_PER_TICK, Knobs
from heartbeat.members import Members
from heartbeat.outbox import NO_PROBE, Outbox
from heartbeat.suspicion import suspicion_seconds_min
from nodemanager.ids import NodeId
from nodemanager.states import NodeState


class Greetings:
    """Members to be greeted, and until when those that stay silent are waited for."""

    def __init__(
        self,
        members: Members,
        outbox: Outbox,
        nodes: Collection[NodeId],
        *,
        timers: TimersConfig,
        knobs: Knobs,
        rng: random.Random,
        now: float,
    ) -> None:
        self._members = members
        self._outbox = outbox
        self._timers, self._knobs = timers, knobs
        self._waiting = list(nodes)
        rng.shuffle(self._waiting)
        self._give_up_at = now + self._grace_seconds(len(nodes))

    def __len__(self) -> int:
        return len(self._waiting)

    def on_members_changed(
        self, nodes: Collection[NodeId], new: Collection[NodeId], now: float
    ) -> None:
        """Greet the new ones, too, and give them time to be heard."""
        self._waiting = [node for node in self._waiting if node in nodes] + list(new)
        if new:
            self._give_up_at = now + self._grace_seconds(len(nodes))

    def on_tick(self) -> None:
        """Greet the next few."""
        for _ in range(min(GREETINGS_PER_TICK, len(self._waiting))):
            node = self._waiting.pop()
            if self._members[node].state is NodeState.JOINING:
                self._outbox.send(DatagramKind.PING, node, NO_PROBE)

    def postpone(self, seconds: float) -> None:
        """Wait longer, by the time that we slept."""
        self._give_up_at += seconds

    def is_over(self, now: float) -> bool:
        """Whether to give up those that were not heard; tells so once."""
        if now < self._give_up_at:
            return False
        self._give_up_at = math.inf
        return True

    def next_deadline(self) -> float:
        """Return when `is_over` will say so."""
        return self._give_up_at

    def _grace_seconds(self, members: int) -> float:
        """Return how long after its greeting a node may be silent before it counts as down."""
        tick_seconds = self._timers.probe_seconds / GOSSIP_TICKS_PER_PROBE
        greeting_seconds = members / GREETINGS_PER_TICK * tick_seconds
        suspicion_seconds = suspicion_seconds_min(
            members + 1, self._timers.probe_seconds, self._knobs
        )
        return greeting_seconds + self._timers.probe_seconds + suspicion_seconds
