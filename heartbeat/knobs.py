"""The numbers of SWIM that are the same everywhere; pure data.

SWIM: Das, Gupta, Motivala, "Scalable Weakly-consistent Infection-style Process Group Membership
Protocol", DSN 2002.  Lifeguard: Dadgar, Phillips, Currey, "Local Health Awareness for More Accurate
Failure Detection", arXiv 1707.00788.  The values are those that memberlist, by Lifeguard's authors,
has for a local network.  The paper evaluates a suspicion multiplier (its alpha) of 5 with 3
confirmations (its K); memberlist has 4, and K is that less 2.
"""

from dataclasses import dataclass
from typing import Final

# Gossip leaves by itself so often within one probe interval, when there is any.
GOSSIP_TICKS_PER_PROBE: Final = 5
# At the start members that were not heard yet are pinged, so many at each such tick, once each.
GREETINGS_PER_TICK: Final = 16
# Probes that we make for others at one time; more are refused by silence, which costs the asker a
# nack.
RELAYS_MAX: Final = 64
# A relay that got no answer says so after this part of the probe timeout.
NACK_FRACTION: Final = 0.8
# So many suspects at least, and more than half of those alive, and it is ourselves whom we doubt.
SELF_DOUBT_SUSPECTS_MIN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """Parameters that a comparison varies; a daemon takes the defaults."""

    indirect_probes: int = 3
    gossip_nodes: int = 3
    # How often a row is told, and how long a suspicion lasts at least: this times the log10 of the
    # cluster.
    suspicion_multiplier: int = 4
    # A suspicion that nobody confirms lasts so many times longer.
    suspicion_factor_max: int = 6
    # Timeouts and intervals grow up to so many times when we ourselves do badly.
    awareness_max: int = 8
    # A suspect hears of it with the next datagram that goes there.
    has_buddies: bool = True
    # Our own sleep, noticed by a late deadline, is nobody's silence.
    has_grace: bool = True

    def __post_init__(self) -> None:
        """Check the relations that the formulas need."""
        assert self.suspicion_multiplier >= 1
        assert self.suspicion_factor_max >= 1
        assert self.awareness_max >= 1


# SWIM without Lifeguard's three refinements and without our grace after a sleep, for comparison
# only.
PLAIN_SWIM: Final = Knobs(
    suspicion_factor_max=1, awareness_max=1, has_buddies=False, has_grace=False
)
