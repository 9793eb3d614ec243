"""The queue of replies of one connection that are not sent yet.  Pure."""

from net.transport import Piece


class ReplyQueue:
    """Pieces of replies, in the order they are sent.

    A caller that appends to `pieces` adds their length to `queued_bytes`.
    """

    __slots__ = ("pieces", "queued_bytes")

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.queued_bytes = 0

    def append(self, piece: Piece) -> None:
        """Append a piece."""
        self.pieces.append(piece)
        self.queued_bytes += len(piece)

    def take(self) -> bytes:
        """Return what is not sent, for somebody else to send."""
        unsent = b"".join(self.pieces)
        self.clear()
        return unsent

    def clear(self) -> None:
        """Forget everything: nobody is there to take it."""
        self.pieces.clear()
        self.queued_bytes = 0

    def on_sent(self, count: int) -> None:
        """Drop `count` bytes from the front."""
        self.queued_bytes -= count
        if self.queued_bytes == 0:
            self.pieces.clear()
            return
        whole = 0
        for piece in self.pieces:
            if len(piece) > count:
                break
            count -= len(piece)
            whole += 1
        del self.pieces[:whole]
        if count:
            self.pieces[0] = memoryview(self.pieces[0])[count:]
