"""Holders that lie: they answer *stored* and keep nothing, lose or damage what they keep, and claim any figure.

A lie is a method of `Liar`; several may hold at the same time.  What a lying node does for itself is honest.
"""

import random
from typing import Final, TypeAlias

from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.twin_hold import Column
from ramsterd.remote.wire import PutPages, PutResult, get_reply_table
from tests.simulation.cluster import Node

OUT_OF_RANGE_CHANCE: Final = 0.1
CLAIMED_MAX: Final = (1 << 64) - 1
# What a liar may do at random; each is a method.
LIES: Final = ("keeps_nothing", "holds_nothing", "loses", "damages", "claims", "refuses_some")
# What it may do to its answers on top of that.
MANNERS: Final = ("answers_twice", "answers_late", "answers_nothing", "answers_out_of_range")


# Node, request, count, table, body.
Reply: TypeAlias = tuple[NodeId, Frame, int, bytes, bytes]


class Liar:
    """Lies of one incarnation of a node."""

    def __init__(self, node: Node, rng: random.Random | None = None) -> None:
        self._foreign = node.engine.machines.foreign
        self._rng = rng or random.Random(0)
        # As an honest node does it.
        self._on_put, self._on_get = self._foreign.on_put, self._foreign.on_get
        self._pages_of = self._foreign.pages_of
        self._outbox = node.engine.machines.outbox
        self._reply = self._outbox.reply
        self._kept_back: list[Reply] = []
        self.answered_stored = 0

    def repents(self) -> None:
        """Be honest from now on; what was lost stays lost."""
        for name in ("on_put", "on_get", "pages_of"):
            self._foreign.__dict__.pop(name, None)
        self._outbox.__dict__.pop("reply", None)
        self._kept_back.clear()

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

        def on_get(node: NodeId, serials: Column) -> tuple[bytes, bytes]:
            return get_reply_table([0] * len(serials)), b""

        self._foreign.on_get = on_get  # type: ignore[method-assign]

    def damages(self) -> None:
        """Change a byte of each zpage."""

        def on_get(node: NodeId, serials: Column) -> tuple[bytes, bytes]:
            table, body = self._on_get(node, serials)
            return table, bytes(byte ^ 0x55 for byte in body)

        self._foreign.on_get = on_get  # type: ignore[method-assign]

    # What happens to answers.

    def answers_twice(self) -> None:
        """Send each answer twice."""

        def reply(node: NodeId, frame: Frame, count: int, table: bytes, body: bytes = b"") -> None:
            for _ in range(2):
                self._reply(node, frame, count, table, body)

        self._outbox.reply = reply  # type: ignore[method-assign]

    def answers_late(self) -> None:
        """Send an answer when others are due, in any order, or never."""

        def reply(node: NodeId, frame: Frame, count: int, table: bytes, body: bytes = b"") -> None:
            self._kept_back.append((node, frame, count, table, body))
            while len(self._kept_back) > self._rng.randint(0, 6):
                late = self._kept_back.pop(self._rng.randrange(len(self._kept_back)))
                self._reply(*late)

        self._outbox.reply = reply  # type: ignore[method-assign]

    def answers_nothing(self) -> None:
        """Send no answer, and go on telling STATUS."""

        def reply(node: NodeId, frame: Frame, count: int, table: bytes, body: bytes = b"") -> None:
            """Do nothing."""

        self._outbox.reply = reply  # type: ignore[method-assign]

    def answers_out_of_range(self) -> None:
        """Send results and codecs that there are none of, in some answers."""

        def reply(node: NodeId, frame: Frame, count: int, table: bytes, body: bytes = b"") -> None:
            if self._rng.random() < OUT_OF_RANGE_CHANCE:
                table = bytes([self._rng.randrange(256)]) * len(table)
            self._reply(node, frame, count, table, body)

        self._outbox.reply = reply  # type: ignore[method-assign]
