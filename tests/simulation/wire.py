"""A wire without tasks: real links (`net.peerlink`) over byte streams that a cluster delivers by hand.

As TCP would, a direction may delay (keeping order), split what was sent, be held, or be cut; it never drops,
repeats or reorders.  Everything is synchronous: what a trio task of the link would do is a method of `End`.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

import trio

from net.errors import PeerLost
from net.frame import FrameDecoder
from net.peerlink import PeerLink
from net.transport import Closing, Piece, PortStatus, Stream
from nodemanager.ids import NodeId
from ramsterd.asking.messages import ALL_LIMITS
from tests.simulation.paths import Paths

# TCP cuts and joins what was sent where it likes.
SPLIT_CHANCE = 0.1
JOIN_CHANCE = 0.5


class NoTransport:
    """Links of a simulated cluster are made by the cluster; nobody dials or listens."""

    async def dial(self, address: str, port: int) -> Stream:
        raise NotImplementedError

    async def listen(
        self,
        address: str,
        port: int,
        accept: Callable[..., object],
        *,
        task_status: PortStatus,
        closing: Closing | None = None,
    ) -> NoReturn:
        raise NotImplementedError


class OneWay:
    """What one end of a wire sent and the other has not received: chunks, each with its time of arrival.

    `net.transport.Stream`, as far as a link uses it without tasks.
    """

    def __init__(self, paths: Paths, source: NodeId, target: NodeId) -> None:
        self._paths = paths
        self.source = source
        self.target = target
        self.chunks: deque[tuple[float, bytes]] = deque()
        self.is_held = False
        self.is_closed = False

    def send_nowait(self, pieces: Sequence[Piece]) -> int:
        if self.is_closed:
            raise PeerLost("the wire was cut")
        data = b"".join(pieces)
        arrives_at = self._paths.time.now() + self._paths.seconds(self.source, self.target)
        if self.chunks:
            arrives_at = max(arrives_at, self.chunks[-1][0])
        self.chunks.append((arrives_at, data))
        return len(data)

    def close(self) -> None:
        self.is_closed = True

    async def receive_into(self, target: memoryview) -> int:
        raise NotImplementedError

    async def wait_sendable(self) -> None:
        raise NotImplementedError

    def next_arrival(self) -> float:
        if not self.chunks or self.is_held or self._paths.is_blocked(self.source, self.target):
            return math.inf
        return self.chunks[0][0]

    def join(self) -> None:
        """Let all that is on its way arrive at once."""
        if self.chunks:
            data = b"".join(data for _, data in self.chunks)
            self.chunks = deque([(self.chunks[-1][0], data)])

    def frames(self) -> list[tuple[int, bool, int]]:
        """Return (type, is a reply, count) of each frame on its way; a half received one is not told."""
        decoder = FrameDecoder(ALL_LIMITS)
        told = []
        for _, chunk in self.chunks:
            data = chunk
            while data:
                space = decoder.space()
                size = min(len(space), len(data))
                space[:size] = data[:size]
                data = data[size:]
                decoder.on_received(size)
                told += [(frame.type, frame.is_reply, frame.count) for frame in decoder.frames()]
        return told


class End:
    """One node's end of a wire: its link, and what comes in."""

    def __init__(self, node: NodeId, link: PeerLink, incoming: OneWay, outgoing: OneWay) -> None:
        self.node = node
        self.link = link
        self.incoming = incoming
        self.outgoing = outgoing
        self.is_over = False
        # When in the world its link has something to do, as long as no code of its node has run.
        self.alarm = math.inf

    @property
    def is_open_or_over(self) -> bool:
        return self.is_over or self.link.theirs is not None

    def start(self) -> None:
        self.link._perform(self.link._connection.start())
        self.link.push()

    def receive(self, rng: random.Random, now: float) -> int:
        """Receive what has arrived: a chunk, several, or at times only the beginning of one."""
        chunks, space = self.incoming.chunks, self.link._decoder.space()
        size, may_go_on = 0, True
        while may_go_on and chunks and chunks[0][0] <= now and size < len(space):
            arrives_at, data = chunks.popleft()
            taken = min(len(space) - size, len(data))
            if size + taken > 1 and rng.random() < SPLIT_CHANCE:
                taken = rng.randint(1, taken)
            if taken < len(data):
                chunks.appendleft((arrives_at, data[taken:]))
            space[size : size + taken] = data[:taken]
            size += taken
            may_go_on = rng.random() < JOIN_CHANCE
        self.link._on_received(size)
        return size

    def on_deadline(self) -> None:
        self.link._perform(self.link._connection.on_deadline(now=trio.current_time()))
        self.link.push()

    def next_deadline(self) -> float:
        deadline = None if self.is_over else self.link._connection.next_deadline()
        return math.inf if deadline is None else deadline

    @property
    def may_be_broken(self) -> bool:
        """Whether it is over, or may soon be: nearly never, so that most steps ask no more."""
        return self.is_over or self.incoming.is_closed or self.link._reason is not None

    def is_broken(self) -> bool:
        """Return whether the link was closed, or its wire was: then its own task would end it at its next step."""
        if self.is_over:
            return False
        # A FIN or RST is held up like all else.
        is_eof = self.incoming.is_closed and not (self.incoming.chunks or self.incoming.is_held)
        return self.link._reason is not None or is_eof

    def end_broken(self) -> None:
        self.end(self.link._reason or "the peer closed the connection")

    def end(self, reason: str) -> None:
        self.is_over = True
        self.incoming.close()
        self.incoming.chunks.clear()
        self.link.end(reason)
        self.outgoing.close()
