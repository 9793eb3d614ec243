"""What the network between nodes does to links and datagrams alike: it delays, and lets nothing through.

A *path* is one direction between two nodes.  A blocked one loses datagrams and holds what links sent, as TCP
sends again until it gets through; nobody is told.  A slow node, or path, adds to each delay.
"""

import random
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.sim_time import SimTime

LATENCY_SECONDS_MAX: Final = 0.002


@dataclass(slots=True)
class Paths:
    """All paths of a cluster."""

    rng: random.Random
    time: SimTime
    blocked: set[tuple[int, int]] = field(default_factory=set)
    slow_nodes: dict[int, float] = field(default_factory=dict)
    slow_paths: dict[tuple[int, int], float] = field(default_factory=dict)
    # Of datagrams only: what a link loses is sent again.
    loss_fraction: float = 0.0

    def is_blocked(self, source: int, target: int) -> bool:
        return (source, target) in self.blocked

    def is_cut(self, one: int, other: int) -> bool:
        """Whether no connection can be made: that needs both directions."""
        return self.is_blocked(one, other) or self.is_blocked(other, one)

    def seconds(self, source: int, target: int) -> float:
        """Draw how long something takes from node to node."""
        added = self.slow_nodes.get(source, 0.0) + self.slow_nodes.get(target, 0.0)
        added += self.slow_paths.get((source, target), 0.0)
        return self.rng.uniform(0, LATENCY_SECONDS_MAX + added) + added

    def loses(self, source: int, target: int) -> bool:
        """Draw whether a datagram is lost."""
        if self.is_blocked(source, target):
            return True
        return self.loss_fraction > 0 and self.rng.random() < self.loss_fraction

    def block(self, one: int, other: int) -> None:
        """Let nothing through, either way."""
        self.blocked |= {(one, other), (other, one)}

    def heal(self) -> None:
        """Let everything through, fast."""
        self.blocked.clear()
        self.slow_nodes.clear()
        self.slow_paths.clear()
        self.loss_fraction = 0.0
