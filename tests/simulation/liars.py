"""Holders that lie: they answer *stored* and keep nothing, lose or damage what they keep, and claim any figure.

A lie is a method of `Liar`; several may hold at the same time.  What a lying node does for itself is honest.
"""

import random
from collections.abc import Sequence
from typing import Final

from nodemanager.ids import Incarnation, NodeId
from ramsterd.remote.messages import PutPages, PutResult
from tests.simulation.cluster import Node

CLAIMED_MAX: Final = (1 << 64) - 1
# What a liar may do at random; each is a method.
LIES: Final = ("keeps_nothing", "holds_nothing", "loses", "damages", "claims", "refuses_some")


class Liar:
    """Lies of one life of a node."""

    def __init__(self, node: Node, rng: random.Random | None = None) -> None:
        self._foreign = node.engine._foreign
        self._rng = rng or random.Random(0)
        # As an honest node does it.
        self._on_put, self._on_get = self._foreign.on_put, self._foreign.on_get
        self._pages_of = self._foreign.pages_of
        self.answered_stored = 0

    def repents(self) -> None:
        """Be honest from now on; what was lost stays lost."""
        for name in ("on_put", "on_get", "pages_of"):
            self._foreign.__dict__.pop(name, None)

    def keeps_nothing(self) -> None:
        """Say that each page is stored, and drop it."""

        def on_put(node: NodeId, incarnation: Incarnation, put: PutPages) -> bytes:
            self.answered_stored += len(put.serials)
            return bytes([PutResult.STORED]) * len(put.serials)

        self._foreign.on_put = on_put  # type: ignore[method-assign]

    def refuses_some(self) -> None:
        """Store some pages of each frame, and refuse the others."""

        def on_put(node: NodeId, incarnation: Incarnation, put: PutPages) -> bytes:
            results = bytearray(self._on_put(node, incarnation, put))
            for place in range(0, len(results), 2):
                results[place] = self._rng.choice(list(PutResult))
            return bytes(results)

        self._foreign.on_put = on_put  # type: ignore[method-assign]

    def holds_nothing(self) -> None:
        """Say in each STATUS that no page is held."""

        def pages_of(node: NodeId) -> int:
            return 0

        self._foreign.pages_of = pages_of  # type: ignore[method-assign]

    def claims(self) -> None:
        """Say in each STATUS that any number of pages is held."""

        def pages_of(node: NodeId) -> int:
            return self._rng.choice([0, 1, 1000, CLAIMED_MAX])

        self._foreign.pages_of = pages_of  # type: ignore[method-assign]

    def loses(self) -> None:
        """Answer that each page is missing."""

        def on_get(node: NodeId, serials: Sequence[int]) -> tuple[list[int], bytes]:
            return [0] * len(serials), b""

        self._foreign.on_get = on_get  # type: ignore[method-assign]

    def damages(self) -> None:
        """Change a byte of each zpage."""

        def on_get(node: NodeId, serials: Sequence[int]) -> tuple[list[int], bytes]:
            packed, body = self._on_get(node, serials)
            return packed, bytes(byte ^ 0x55 for byte in body)

        self._foreign.on_get = on_get  # type: ignore[method-assign]
