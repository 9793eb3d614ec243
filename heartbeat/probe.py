"""The probe we make, and those we make for others.  Pure bookkeeping for `heartbeat.swim`."""

import math
from dataclasses import dataclass, field

from heartbeat.knobs import RELAYS_MAX
from nodemanager.ids import NodeId


@dataclass(slots=True)
class Probe:
    """One protocol period: ping, then ask others to ping, then judge."""

    target: NodeId
    number: int  # drawn at random: who repeats it has read our datagram
    began: float
    indirect_at: float
    is_answered: bool = False
    is_indirect: bool = False
    # Who was asked to ping; True: it said that it got no answer either.
    helpers: dict[NodeId, bool] = field(default_factory=dict)

    @property
    def nacks_missing(self) -> int:
        """How many helpers said nothing at all, which makes us doubt ourselves."""
        return sum(not has_nacked for has_nacked in self.helpers.values())


@dataclass(frozen=True, slots=True)
class Relay:
    """A ping on behalf of another node."""

    asker: NodeId
    asker_probe: int
    subject: NodeId
    nack_at: float


class Relays:
    """Pings on behalf of others, by the number we drew; each ends with an ack or a nack."""

    def __init__(self) -> None:
        self._relays: dict[int, Relay] = {}

    def add(self, number: int, relay: Relay) -> bool:
        """Remember one, or return False: too many."""
        if len(self._relays) >= RELAYS_MAX:
            return False
        self._relays[number] = relay
        return True

    def answered(self, number: int, subject: NodeId) -> Relay | None:
        """Take off the relay that this answers."""
        relay = self._relays.get(number)
        if relay is None or relay.subject != subject:
            return None
        return self._relays.pop(number)

    def take_overdue(self, now: float) -> list[Relay]:
        """Take off those whose subject did not answer in time."""
        overdue = [number for number, relay in self._relays.items() if now >= relay.nack_at]
        return [self._relays.pop(number) for number in overdue]

    def clear(self) -> None:
        """Forget all."""
        self._relays.clear()

    def next_deadline(self) -> float:
        """Return when the next is overdue."""
        return min((relay.nack_at for relay in self._relays.values()), default=math.inf)
