"""Send queue: what a link has to send, in two stages, and how much that is.

**Fresh** pieces were queued in this pass; they may be views into a caller's buffer.  What the
socket does not take of them is **unsent**: it is copied where it was a view, and everything fresh
waits behind it.
"""

from collections.abc import Sequence

from net.pieces import frozen, rest_of
from net.transport import Piece


class SendQueue:
    """The pieces of one link, oldest first."""

    __slots__ = ("_fresh", "_fresh_bytes", "_unsent", "_unsent_bytes", "frames_total")

    def __init__(self) -> None:
        self._fresh: list[Piece] = []
        self._fresh_bytes = 0
        self._unsent: list[Piece] = []
        self._unsent_bytes = 0
        # Frames that were ever queued.
        self.frames_total = 0

    @property
    def queued_bytes(self) -> int:
        """How many bytes the socket has not taken."""
        return self._fresh_bytes + self._unsent_bytes

    @property
    def has_fresh(self) -> bool:
        """Whether anything was queued since the last `take_fresh`."""
        return bool(self._fresh)

    @property
    def unsent(self) -> list[Piece]:
        """Pieces that the socket did not take; they go before fresh ones."""
        return self._unsent

    def add(self, head: bytes, body: Sequence[Piece] = (), body_bytes: int = 0) -> None:
        """Queue a frame."""
        self._fresh.append(head)
        self._fresh.extend(body)
        self._fresh_bytes += len(head) + body_bytes
        self.frames_total += 1

    def take_fresh(self) -> tuple[list[Piece], int]:
        """Return what is fresh, and how many bytes that is: it is being sent now."""
        pieces, self._fresh = self._fresh, []
        count, self._fresh_bytes = self._fresh_bytes, 0
        return pieces, count

    def keep(self, pieces: list[Piece], sent: int, count: int) -> None:
        """Of these pieces with `count` bytes the socket took so many: the rest is unsent."""
        self._unsent.extend(frozen(rest_of(pieces, sent)))
        self._unsent_bytes += count - sent

    def on_sent(self, sent: int) -> None:
        """The socket took so many bytes of what was unsent."""
        self._unsent = rest_of(self._unsent, sent)
        self._unsent_bytes -= sent

    def clear(self) -> None:
        """Nothing more is sent."""
        self._fresh, self._unsent = [], []
        self._fresh_bytes = self._unsent_bytes = 0
