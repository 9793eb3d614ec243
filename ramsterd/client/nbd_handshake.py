"""The fixed newstyle handshake of a client: ask for one export by name, and hear what it is or why not.

The socket blocks.  What it is used for afterwards is the caller's choice: `NbdClient` sends
requests, the attach helper hands it to the kernel.
"""

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramsterd.frontends.nbd.protocol import (
    CLIENT_FLAGS,
    GREETING,
    INFO_EXPORT,
    NBD_MAGIC,
    OPTION,
    OPTION_BYTES_MAX,
    OPTION_MAGIC,
    OPTION_REPLY,
    OPTION_REPLY_MAGIC,
    ClientFlag,
    HandshakeFlag,
    Info,
    Option,
    OptionReply,
)

# The fixed newstyle answers to one GO: one for each kind of information, and the ACK.  More is no
# answer.
REPLIES_MAX: Final = 64
# After the deadline; 0 would mean a socket that does not block, and another error.
SHORTEST_WAIT_SECONDS: Final = 0.001
_KIND: Final = struct.Struct(">H")


class NbdError(Exception):
    """Something went wrong at or on the way to an NBD server."""


class HandshakeFailed(NbdError):
    """The server refused the export, or is no NBD server."""


class ExportRefused(HandshakeFailed):
    """The server says that this export can't be had, and in `reason` why."""

    def __init__(self, export_name: str, reason: str) -> None:
        super().__init__(f"export {export_name!r} is refused: {reason}")
        self.reason = reason


class ConnectionLost(NbdError):
    """The server closed the connection, was silent too long, or sent what is no reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a server says of an export: all that there is to know one export from another by."""

    name: str
    size: int
    flags: int


class Channel:
    """Bytes to and from a server; every failure is ConnectionLost.

    With `seconds_max` all of it together ends in that time, however slowly the server drips.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        seconds_max: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._sock = sock
        self._clock = clock
        self._deadline = None if seconds_max is None else clock() + seconds_max

    def send(self, pieces: list[bytes | memoryview]) -> None:
        """Send all of it."""
        try:
            self._limit()
            self._sock.sendall(b"".join(pieces))
        except OSError as error:
            raise ConnectionLost("can't send") from error

    def receive(self, count: int) -> bytes:
        """Return exactly so many bytes."""
        data = bytearray(count)
        view = memoryview(data)
        position = 0
        while position < count:
            try:
                self._limit()
                received = self._sock.recv_into(view[position:])
            except OSError as error:
                raise ConnectionLost("can't receive") from error
            if received == 0:
                raise ConnectionLost("the server closed the connection")
            position += received
        return bytes(data)

    def _limit(self) -> None:
        if self._deadline is not None:
            self._sock.settimeout(max(SHORTEST_WAIT_SECONDS, self._deadline - self._clock()))


def shake_hands(channel: Channel, export_name: str) -> Offer:
    """Choose an export; afterwards the connection is in transmission, with simple replies.

    Raises:
        ExportRefused: There is no such export, or the server does not give it.
        HandshakeFailed: The server speaks something else.
        ConnectionLost: The server went away, or did not answer in time.
    """
    magic, option_magic, flags = GREETING.unpack(channel.receive(GREETING.size))
    if (magic, option_magic) != (NBD_MAGIC, OPTION_MAGIC):
        raise HandshakeFailed(f"not an NBD server: magic {magic:#x}")
    if not flags & HandshakeFlag.FIXED_NEWSTYLE:
        raise HandshakeFailed("the server is too old: no fixed newstyle handshake")
    answer = ClientFlag.C_FIXED_NEWSTYLE | (flags & ClientFlag.C_NO_ZEROES)
    name = export_name.encode()
    go = struct.pack(f">I{len(name)}sHH", len(name), name, 1, Info.NAME)
    channel.send([CLIENT_FLAGS.pack(answer), OPTION.pack(OPTION_MAGIC, Option.GO, len(go)), go])
    return _receive_offer(channel, export_name)


def _receive_offer(channel: Channel, export_name: str) -> Offer:
    told: dict[int, bytes] = {}
    for _ in range(REPLIES_MAX):
        reply, data = _receive_option_reply(channel)
        if reply == OptionReply.ACK and Info.EXPORT in told:
            size, flags = struct.unpack(">QH", told[Info.EXPORT])
            return Offer(
                # Who asks for the empty name hears the real one, where the server tells it.
                name=told.get(Info.NAME, export_name.encode()).decode(errors="replace"),
                size=size,
                flags=flags,
            )
        if reply & 1 << 31:
            raise ExportRefused(export_name, _words(reply, data))
        if reply != OptionReply.INFO or len(data) < _KIND.size:
            raise HandshakeFailed(f"export {export_name!r}: reply {reply:#x} {data!r}")
        (kind,) = _KIND.unpack_from(data)
        if kind != Info.EXPORT or len(data) == INFO_EXPORT.size:
            told[kind] = data[_KIND.size :]
    raise HandshakeFailed(f"export {export_name!r}: more than {REPLIES_MAX} replies to GO")


def _receive_option_reply(channel: Channel) -> tuple[int, bytes]:
    header = channel.receive(OPTION_REPLY.size)
    magic, option, reply, data_bytes = OPTION_REPLY.unpack(header)
    if magic != OPTION_REPLY_MAGIC or option != Option.GO or data_bytes > OPTION_BYTES_MAX:
        raise HandshakeFailed(f"no answer to GO: {header!r}")
    return reply, channel.receive(data_bytes)


def _words(reply: int, data: bytes) -> str:
    """Return why, as the server says it, or its number: others may send none, and no text to trust."""
    text = "".join(each if each.isprintable() else "?" for each in data.decode(errors="replace"))
    return text or f"error {reply & ~(1 << 31)}"
