"""The receive buffer of one connection: bytes that are not served yet.  Pure."""

from typing import Final

from net.buffers import KEPT_FRACTION, NO_BUFFER, BufferPool
from ramsterd.frontends.nbd.protocol import REQUEST_BYTES

# Depth 32 of 4 KiB writes is 132 KiB, and a Unix socket holds about 208 KiB: one receive takes all
# there is.  A WRITE that does not fit is served in parts as they arrive, so this is also what one
# pass may write: 64 pages, half a millisecond.
RECEIVE_BYTES: Final = 256 * 1024
# The longest WRITE that is served whole.
WHOLE_WRITE_BYTES_MAX: Final = RECEIVE_BYTES - REQUEST_BYTES
_KEPT_BYTES_MAX: Final = RECEIVE_BYTES // KEPT_FRACTION


class ReceiveBuffer:
    """Received bytes `start` to `end` of a borrowed buffer; the server moves `start`.

    While the connection is idle there is no buffer: `view` is empty.
    """

    __slots__ = ("_kept", "_spare", "_spare_max", "end", "start", "view")

    def __init__(self, pool: BufferPool | None = None) -> None:
        self.view = NO_BUFFER
        self.start = 0
        self.end = 0
        pool = pool or BufferPool(spare_max=0)
        self._spare = pool.spare(RECEIVE_BYTES)
        self._spare_max = pool.spare_max
        # What was not served when the buffer was given back.
        self._kept = b""

    def space(self) -> memoryview:
        """Return where to receive: never empty after `make_room`."""
        if not self.view:
            # A client that waits for each answer pays for this once a request.
            spare = self._spare
            self.view = spare.pop() if spare else memoryview(bytearray(RECEIVE_BYTES))
            if self._kept:
                self.end = len(self._kept)
                self.view[: self.end] = self._kept
                self._kept = b""
        return self.view[self.end :]

    def on_idle(self) -> None:
        """Nothing comes for now: give the buffer back, unless much of it waits for its rest."""
        rest = self.end - self.start
        if rest > _KEPT_BYTES_MAX or not self.view:
            return
        if rest:
            self._kept = bytes(self.view[self.start : self.end])
        if len(self._spare) < self._spare_max:
            self._spare.append(self.view)
        self.view = NO_BUFFER
        self.start = self.end = 0

    def close(self) -> None:
        """Give the buffer back; nothing is received or served any more."""
        self.start = self.end
        self.on_idle()
        self._kept = b""

    def on_received(self, count: int) -> None:
        """Take note of `count` bytes received into `space()`."""
        self.end += count

    def feed(self, data: bytes) -> None:
        """Take bytes that were received otherwise; they must fit into `space()`."""
        if data:
            self.space()[: len(data)] = data
            self.end += len(data)

    def unserved(self) -> bytes:
        """Return a copy of what is received and not served."""
        return self._kept + bytes(self.view[self.start : self.end])

    def make_room(self, wanted_bytes: int) -> None:
        """Make sure that this many bytes from `start` on can become complete."""
        assert wanted_bytes <= RECEIVE_BYTES
        rest = self.end - self.start
        assert rest < wanted_bytes, "what is complete is served first"
        if rest == 0:
            self.start = self.end = 0
        elif self.start + wanted_bytes > RECEIVE_BYTES:
            self.view[:rest] = self.view[self.start : self.end]
            self.start, self.end = 0, rest
