"""A small blocking NBD client on a Unix socket, for our own demo and tests.

It does no logging and no retry.

One request at a time, or a stream of them with a window in flight.  Replies may come in any order:
the cookie is the request's number.  After an exception other than RequestFailed the client is of no
further use.
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ramsterd.client.nbd_handshake import (
    Channel,
    ConnectionLost,
    HandshakeFailed,
    NbdError,
    shake_hands,
)
from ramsterd.frontends.nbd.protocol import (
    PAYLOAD_BYTES_MAX,
    REPLY_BYTES,
    REQUEST,
    SIMPLE_REPLY,
    SIMPLE_REPLY_MAGIC,
    Command,
    request_word,
)

__all__ = ["ConnectionLost", "HandshakeFailed", "NbdClient", "NbdError", "RequestFailed"]

STREAM_REQUEST_BYTES: Final = 128 * 1024
STREAM_IN_FLIGHT_MAX: Final = 16
# A server that says nothing for this long is given up.
SILENCE_SECONDS_MAX: Final = 30.0


class RequestFailed(NbdError):
    """The server answered one request with an error, `errno`; the connection goes on."""

    def __init__(self, command: Command, offset: int, length: int, errno: int) -> None:
        super().__init__(f"{command.name} of {length} bytes at {offset}: errno {errno}")
        self.command = command
        self.offset = offset
        self.length = length
        self.errno = errno


class NbdClient:
    """One connection to one export of `size` bytes; `transmission_flags` says what it can do."""

    def __init__(self, sock: socket.socket, export_name: str) -> None:
        self._sock = sock
        self._channel = Channel(sock)
        self._next_cookie = 0
        # Requests without a reply, by cookie.
        self._waiting: dict[int, tuple[Command, int, int]] = {}
        offer = shake_hands(self._channel, export_name)
        self.size, self.transmission_flags = offer.size, offer.flags

    @classmethod
    def connect(
        cls, path: Path | str, export: str = "", *, silence_seconds_max: float = SILENCE_SECONDS_MAX
    ) -> Self:
        """Connect to the server at a Unix socket.

        Raises:
            OSError: Nobody listens there.
            HandshakeFailed: There is no such export, or the server speaks something else.
            ConnectionLost: The server went away.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(silence_seconds_max)
            sock.connect(str(path))
            return cls(sock, export)
        except BaseException:
            sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect; only close after an error."""
        if kind is None:
            self.disconnect()
        else:
            self._sock.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes.

        Raises:
            RequestFailed: The server answered with an error (EIO: a page is lost or out of reach).
            ConnectionLost: The connection is gone.
        """
        self._ask(Command.READ, offset, length)
        return self._next_reply()[1]

    def write(self, offset: int, data: bytes) -> None:
        """Write `data`; raises like `read` (ENOSPC: the cluster is full)."""
        self._ask(Command.WRITE, offset, len(data), payload=data)
        self._next_reply()

    def trim(self, offset: int, length: int) -> None:
        """Drop the whole pages of a range; raises like `read`."""
        self._ask(Command.TRIM, offset, length)
        self._next_reply()

    def write_zeroes(self, offset: int, length: int, *, flags: int = 0) -> None:
        """Make a range read as zeros; `flags` as `CommandFlag`; raises like `read`."""
        self._ask(Command.WRITE_ZEROES, offset, length, flags=flags)
        self._next_reply()

    def nbd_flush(self) -> None:
        """Wait until what was written is as safe as the export's durability promises."""
        self._ask(Command.FLUSH, 0, 0)
        self._next_reply()

    def disconnect(self) -> None:
        """Say goodbye and close.  May be called twice."""
        if self._sock.fileno() == -1:
            return
        try:
            self._ask(Command.DISC, 0, 0)
        except ConnectionLost:
            pass
        finally:
            self._sock.close()

    def write_stream(self, offset: int, pieces: Iterable[bytes]) -> int:
        """Write pieces of any length one after the other; return how many bytes that were.

        STREAM_IN_FLIGHT_MAX requests of at most STREAM_REQUEST_BYTES are under way at a time.

        Raises:
            RequestFailed: As `write`; some of the other requests may have been carried out.
            ConnectionLost: The connection is gone.
        """
        position = offset
        try:
            for piece in pieces:
                view = memoryview(piece)
                for start in range(0, len(view), STREAM_REQUEST_BYTES):
                    payload = view[start : start + STREAM_REQUEST_BYTES]
                    if len(self._waiting) >= STREAM_IN_FLIGHT_MAX:
                        self._next_reply()
                    self._ask(Command.WRITE, position, len(payload), payload=payload)
                    position += len(payload)
            while self._waiting:
                self._next_reply()
        except RequestFailed:
            self._forget_waiting()
            raise
        return position - offset

    def read_stream(self, offset: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes in order, in pieces of at most STREAM_REQUEST_BYTES.

        Raises like `read`.

        Use the client for nothing else until the last piece; closing the iterator early waits for
        what is under way.
        """
        ready: dict[int, bytes] = {}
        end = offset + length
        asked = offset
        try:
            while offset < end:
                while asked < end and len(self._waiting) + len(ready) < STREAM_IN_FLIGHT_MAX:
                    count = min(STREAM_REQUEST_BYTES, end - asked)
                    self._ask(Command.READ, asked, count)
                    asked += count
                while offset not in ready:
                    position, data = self._next_reply()
                    ready[position] = data
                piece = ready.pop(offset)
                offset += len(piece)
                yield piece
        finally:
            self._forget_waiting()

    def _forget_waiting(self) -> None:
        """Take the replies of a stream that failed, so that the next request finds its own."""
        while self._waiting:
            try:
                self._next_reply()
            except RequestFailed:
                continue
            except ConnectionLost:
                self._waiting.clear()

    def _ask(
        self,
        command: Command,
        offset: int,
        length: int,
        *,
        payload: bytes | memoryview = b"",
        flags: int = 0,
    ) -> None:
        assert len(payload) <= PAYLOAD_BYTES_MAX
        cookie = self._next_cookie
        self._next_cookie += 1
        header = REQUEST.pack(
            request_word(command, flags), struct.pack(">Q", cookie), offset, length
        )
        self._channel.send([header, payload])
        if command != Command.DISC:
            self._waiting[cookie] = (command, offset, length)

    def _next_reply(self) -> tuple[int, bytes]:
        """Return offset and data of the request whose reply comes next."""
        magic, errno, cookie_bytes = SIMPLE_REPLY.unpack(self._channel.receive(REPLY_BYTES))
        (cookie,) = struct.unpack(">Q", cookie_bytes)
        if magic != SIMPLE_REPLY_MAGIC or cookie not in self._waiting:
            raise ConnectionLost(f"no reply to anything asked: magic {magic:#x}, cookie {cookie}")
        command, offset, length = self._waiting.pop(cookie)
        if errno:
            raise RequestFailed(command, offset, length, errno)
        return offset, self._channel.receive(length) if command == Command.READ else b""
