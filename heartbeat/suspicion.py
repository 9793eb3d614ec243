"""The timeout of a suspicion (Lifeguard, "Local Health Aware Suspicion").  Pure.

It begins with the longest time and shrinks with the logarithm of independent confirmations: one
slow node that suspects all others stays alone with that, while many who miss the same node are soon
believed.  After C of at most K confirmations it lasts max(Min, Max - (Max - Min) log(C + 1) / log(K
+ 1)).
"""

import math
from dataclasses import dataclass, field

from heartbeat.knobs import Knobs
from nodemanager.ids import NodeId


@dataclass(slots=True)
class Suspicion:
    """One node under suspicion; times are monotonic seconds."""

    began: float
    seconds_min: float
    seconds_max: float
    confirmations_max: int  # 0: too few others to wait for; the shortest time holds
    accusers: dict[NodeId, None] = field(default_factory=dict)

    def confirm(self, accuser: NodeId) -> bool:
        """Count an accuser; return whether that is news worth telling on."""
        if accuser in self.accusers or len(self.accusers) > self.confirmations_max:
            return False
        self.accusers[accuser] = None
        return True

    def deadline(self, *, is_in_doubt: bool) -> float:
        """Return when it ends in DOWN; while we doubt ourselves, no confirmation shortens it."""
        if is_in_doubt:
            return self.began + self.seconds_max
        if not self.confirmations_max:
            return self.began + self.seconds_min
        confirmations = max(0, len(self.accusers) - 1)
        part = math.log(confirmations + 1) / math.log(self.confirmations_max + 1)
        shrunk = self.seconds_max - (self.seconds_max - self.seconds_min) * part
        return self.began + max(self.seconds_min, shrunk)


def begin_suspicion(
    accuser: NodeId, *, live: int, probe_seconds: float, knobs: Knobs, now: float
) -> Suspicion:
    """Return a suspicion in a cluster with `live` nodes, us and the suspect among them."""
    seconds_min = suspicion_seconds_min(live, probe_seconds, knobs)
    expected = max(0, knobs.suspicion_multiplier - 2)
    return Suspicion(
        began=now,
        seconds_min=seconds_min,
        seconds_max=seconds_min * knobs.suspicion_factor_max,
        confirmations_max=expected if live - 2 >= expected else 0,
        accusers={accuser: None},
    )


def suspicion_seconds_min(live: int, probe_seconds: float, knobs: Knobs) -> float:
    """Return the shortest time in which a suspect can hear of it and be heard, for news to go round."""
    return knobs.suspicion_multiplier * max(1.0, math.log10(max(1, live))) * probe_seconds
