"""One frame: a fixed header, a packed table or a msgpack message, then raw bodies back to back.

Layout, little-endian, 20 bytes of header:

    magic u16 | version u8 | type u8 | flags u8 | reserved u8 (0) | count u16 |
    request id u32 | table bytes u32 | body bytes u32

`count` is how many things the frame concerns (pages, ranges).  The table is `table bytes` long, the bodies
follow it.  Types below `APPLICATION_TYPE_MIN` belong to the link itself; the others belong to whoever uses
the link, who registers each with its limits.  A request has an id that is not 0 and its reply carries the
same id and `Flag.REPLY`; id 0 means that no answer is expected.
"""

import enum
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

PROTOCOL_VERSION: Final = 1
MAGIC: Final = 0x3252  # "R2"
HEADER: Final = struct.Struct("<HBBBBHIII")
HEADER_BYTES: Final = HEADER.size
# Types from here on belong to the application (ramsterd.remote.messages).
APPLICATION_TYPE_MIN: Final = 16
FRAME_BYTES_MAX: Final = 1024 * 1024


class LinkType(enum.IntEnum):
    """Types of the link itself.  Append only; the protocol version that added each stands beside it."""

    HELLO = 1  # version 1
    REJECT = 2  # version 1: why this link is closed, before or instead of a HELLO
    KEEPALIVE = 3  # version 1
    GOODBYE = 4  # version 1


class Flag(enum.IntFlag):
    """Header flags; unknown bits are a protocol error."""

    REPLY = 1


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """The most one type of frame may carry: checked at the door, before anything is kept."""

    count_max: int
    table_bytes_max: int
    body_bytes_max: int


@dataclass(slots=True)
class Frame:
    """One received frame.  `table` and `body` are views that are valid only while it is being handled."""

    type: int
    is_reply: bool
    request_id: int
    count: int
    table: memoryview
    body: memoryview


def encode_header(
    frame_type: int,
    *,
    request_id: int = 0,
    is_reply: bool = False,
    count: int = 0,
    table_bytes: int = 0,
    body_bytes: int = 0,
) -> bytes:
    """Return the header of a frame; the caller sends table and bodies behind it."""
    flags = Flag.REPLY if is_reply else 0
    return HEADER.pack(
        MAGIC, PROTOCOL_VERSION, frame_type, flags, 0, count, request_id, table_bytes, body_bytes
    )


class FrameDecoder:
    """Bytes in, frames out, without copying bodies.

    The reader receives straight into `space()`, then reports how many bytes came with `on_received` and
    iterates `frames()`.  Frames point into the decoder's own buffer: handle them before the next `space()`.
    """

    def __init__(self, limits: Mapping[int, FrameLimits]) -> None: ...

    def space(self) -> memoryview:
        """Return the free end of the buffer, never empty."""
        raise NotImplementedError

    def on_received(self, count: int) -> None:
        """Note that `count` bytes were written to the start of the last `space()`."""

    def frames(self) -> Iterator[Frame]:
        """Yield each complete frame.

        Raises:
            RemoteProtocolError: Bad magic, version, flags, unknown type, or a limit is exceeded.
        """
        raise NotImplementedError
