"""Probes that we make for others: they asked us to ping somebody from whom they got no answer.  Pure.

Each ends with an ACK, or with a NACK a little before the asker gives up: "nothing here either, but
I am alive".  A NACK that is missing makes the asker doubt itself (Lifeguard, "Local Health Aware
Probe").
"""

import math
import random
from dataclasses import dataclass

from heartbeat.datagram import DatagramKind, Message
from heartbeat.knobs import NACK_FRACTION, RELAYS_MAX
from heartbeat.outbox import Outbox
from nodemanager.ids import NodeId


@dataclass(frozen=True, slots=True)
class Relay:
    """A ping on behalf of another node."""

    asker: NodeId
    asker_probe: int
    subject: NodeId
    nack_at: float


class Relays:
    """Relays under way, by the number we drew for each."""

    def __init__(self, outbox: Outbox, *, probe_timeout_seconds: float, rng: random.Random) -> None:
        self._outbox = outbox
        self._nack_seconds = probe_timeout_seconds * NACK_FRACTION
        self._rng = rng
        self._relays: dict[int, Relay] = {}
        self.helped_indirect_probes_total = 0

    def __len__(self) -> int:
        return len(self._relays)

    def on_request(self, message: Message, now: float) -> None:
        """Ping for another node.  Over the limit we stay silent, which costs the asker a NACK."""
        if len(self._relays) >= RELAYS_MAX:
            return
        number = draw_number(self._rng)
        self._relays[number] = Relay(
            message.node, message.probe, message.subject, now + self._nack_seconds
        )
        self.helped_indirect_probes_total += 1
        self._outbox.send(DatagramKind.PING, message.subject, number)

    def on_ack(self, message: Message) -> bool:
        """Pass an answer on to who asked; False: this answers none of ours."""
        relay = self._relays.get(message.probe)
        if relay is None or relay.subject != message.node:
            return False
        del self._relays[message.probe]
        self._outbox.send(DatagramKind.ACK, relay.asker, relay.asker_probe, relay.subject)
        return True

    def on_deadline(self, now: float) -> None:
        """Say that there was no answer, where there was none in time."""
        overdue = [number for number, relay in self._relays.items() if now >= relay.nack_at]
        for number in overdue:
            relay = self._relays.pop(number)
            self._outbox.send(DatagramKind.NACK, relay.asker, relay.asker_probe, relay.subject)

    def clear(self) -> None:
        """Forget all: we slept too long to answer for anybody."""
        self._relays.clear()

    def next_deadline(self) -> float:
        """Return when the next is overdue."""
        return min((relay.nack_at for relay in self._relays.values()), default=math.inf)


def draw_number(rng: random.Random) -> int:
    """Return the number of a new probe: no recording has it.  Not 0, which awaits no answer."""
    return rng.getrandbits(64) or 1
