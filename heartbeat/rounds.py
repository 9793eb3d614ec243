"""The order of probes: every member once in a shuffled round (SWIM, section 4.3).  Pure.

A round bounds the time until each node is probed, which a draw for each probe would not.
"""

import random
from collections.abc import Collection

from nodemanager.ids import NodeId


class Rounds:
    """Shuffled rounds over nodes that come and go."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ahead: list[NodeId] = []

    def next(self, nodes: Collection[NodeId]) -> NodeId | None:
        """Return the next of `nodes`; None when there are none."""
        allowed = dict.fromkeys(nodes)
        while self._ahead:
            node = self._ahead.pop()
            if node in allowed:
                return node
        self._ahead = list(allowed)
        self._rng.shuffle(self._ahead)
        return self._ahead.pop() if self._ahead else None
