"""What one connection has received but not served, and has answered but not sent."""

from typing import Final

from net.transport import Piece
from ramsterd.nbd.protocol import PAYLOAD_BYTES_MAX, REQUEST_BYTES

# Depth 32 of 4 KiB writes is 132 KiB, and a Unix socket holds about 208 KiB: one receive takes all there is.
RECEIVE_BYTES: Final = 256 * 1024
RECEIVE_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + REQUEST_BYTES
# A grown buffer is given back after this many receives in a row that did not need it.
SMALL_RECEIVES_MAX: Final = 64

assert RECEIVE_BYTES_MAX >= RECEIVE_BYTES


class ReceiveBuffer:
    """Received bytes `start` to `end` of one kept buffer; whoever serves them moves `start`.

    It grows for a request that does not fit (up to the largest WRITE) and shrinks back.  `view` changes when
    it does: take it anew for each pass.
    """

    __slots__ = ("_small_receives", "end", "start", "view")

    def __init__(self) -> None:
        self.view = memoryview(bytearray(RECEIVE_BYTES))
        self.start = 0
        self.end = 0
        self._small_receives = 0

    def target(self) -> memoryview:
        """Return where to receive: never empty after `make_room`."""
        return self.view[self.end :]

    def on_received(self, count: int) -> None:
        """Take note of `count` bytes received into `target()`."""
        self.end += count

    def feed(self, data: bytes) -> None:
        """Take bytes that were received otherwise; they must fit into `target()`."""
        self.target()[: len(data)] = data
        self.end += len(data)

    def make_room(self, request_bytes: int) -> None:
        """Make sure that a request of this many bytes, starting at `start`, can become complete."""
        assert request_bytes <= RECEIVE_BYTES_MAX
        rest = self.end - self.start
        assert rest < request_bytes, "complete requests are served first"
        capacity = len(self.view)
        if capacity > RECEIVE_BYTES:
            is_small = request_bytes <= RECEIVE_BYTES
            self._small_receives = self._small_receives + 1 if is_small else 0
            if self._small_receives > SMALL_RECEIVES_MAX:
                self._move_to(RECEIVE_BYTES)
                return
        if rest == 0:
            self.start = self.end = 0
        if request_bytes > capacity:
            self._move_to(request_bytes)
        elif self.start + request_bytes > capacity:
            self.view[:rest] = self.view[self.start : self.end]
            self.start, self.end = 0, rest

    def _move_to(self, capacity: int) -> None:
        rest = self.end - self.start
        view = memoryview(bytearray(capacity))
        view[:rest] = self.view[self.start : self.end]
        self.view = view
        self.start, self.end = 0, rest
        self._small_receives = 0


class ReplyQueue:
    """Pieces of replies, in the order they are sent.

    Whoever appends to `pieces` adds their length to `queued_bytes`.
    """

    __slots__ = ("pieces", "queued_bytes")

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
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
