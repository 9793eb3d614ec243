"""One frame: a fixed header, a packed table or a msgpack message, then raw bodies back to back.

Layout, little-endian, 20 bytes of header:

    magic u16 | version u8 | type u8 | flags u8 | reserved u8 (0) | count u16 |
    request id u32 | table bytes u32 | body bytes u32

`count` is how many things the frame concerns (pages, ranges).  The table is `table bytes` long, the
bodies follow it.  Types below `APPLICATION_TYPE_MIN` belong to the link itself; the others belong
to the user of the link, who registers each with its limits.  A request has an id that is not 0 and
its reply carries the same id and `Flag.REPLY`; id 0 means that no answer is expected.
"""

import enum
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from net.buffers import KEPT_FRACTION, NO_BUFFER, BufferPool
from net.errors import RemoteProtocolError

PROTOCOL_VERSION: Final = 1
MAGIC: Final = 0x3252  # "R2"
# What a TLS handshake begins with (RFC 8446, 5.1), read as our magic: so that the log can say it.
TLS_RECORD_START: Final = 0x0316
HEADER: Final = struct.Struct("<HBBBBHIII")
HEADER_BYTES: Final = HEADER.size
# The same bytes with magic, version and type read as one number, flags and reserved byte as
# another: one look-up and one comparison check all five.
FUSED_HEADER: Final = struct.Struct("<IHHIII")
assert FUSED_HEADER.size == HEADER_BYTES
# Types from here on belong to the application (ramsterd.remote.wire).
APPLICATION_TYPE_MIN: Final = 16
# The header counts in 16 bits.
COUNT_MAX: Final = 0xFFFF
# Header, table and bodies together: what one peer can make us keep before we understand it.
FRAME_BYTES_MAX: Final = 1024 * 1024
# Most receives bring less than this; a decoder takes a larger buffer when a header announces a
# larger frame.
DECODER_BYTES_START: Final = 256 * 1024
# A receive is offered at least this much, so that a stream of small frames is not cut into many
# receives.
SPACE_BYTES_MIN: Final = 64 * 1024
_KEPT_BYTES_MAX: Final = DECODER_BYTES_START // KEPT_FRACTION


class LinkType(enum.IntEnum):
    """Types of the link itself.  Append only.

    The protocol version that added each stands beside it.
    """

    HELLO = 1  # version 1
    REJECT = 2  # version 1: why this link is closed, before or instead of a HELLO
    KEEPALIVE = 3  # version 1
    GOODBYE = 4  # version 1: an orderly leave, and why
    PROBE = 5  # version 1: say something at once, KEEPALIVE if there is nothing else


class Flag(enum.IntFlag):
    """Header flags; unknown bits are a protocol error."""

    REPLY = 1


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """The most one type of frame may carry: checked before anything is kept."""

    count_max: int
    table_bytes_max: int
    body_bytes_max: int


# A reason is one line for a log.
REASON_BYTES_MAX: Final = 1024
LINK_LIMITS: Final[Mapping[int, FrameLimits]] = {
    LinkType.HELLO: FrameLimits(count_max=0, table_bytes_max=2048, body_bytes_max=0),
    LinkType.REJECT: FrameLimits(count_max=0, table_bytes_max=REASON_BYTES_MAX, body_bytes_max=0),
    LinkType.KEEPALIVE: FrameLimits(count_max=0, table_bytes_max=0, body_bytes_max=0),
    LinkType.GOODBYE: FrameLimits(count_max=0, table_bytes_max=REASON_BYTES_MAX, body_bytes_max=0),
    LinkType.PROBE: FrameLimits(count_max=0, table_bytes_max=0, body_bytes_max=0),
}
assert set(LINK_LIMITS) == set(LinkType)
assert max(LinkType) < APPLICATION_TYPE_MIN
assert HEADER_BYTES < SPACE_BYTES_MIN < DECODER_BYTES_START < FRAME_BYTES_MAX


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

    The reader receives straight into `space()`, then reports how many bytes came with `on_received`
    and iterates `frames()`.  Frames point into the decoder's own buffer: handle them before the
    next `space()`.

    The unread bytes are `buffer[start:end]`.  They move to the front only when the frame they begin
    would not fit behind them, so each byte moves at most once.  A decoder that has met an error
    stays at the bad header and raises it again.

    There is a buffer only while it is used: a caller that waits long for the next bytes says so
    with `on_idle`.
    """

    def __init__(
        self, limits: Mapping[int, FrameLimits], *, pool: BufferPool | None = None
    ) -> None:
        self._limits: dict[int, FrameLimits] = {}
        # The same for the loop in `frames`: a header's first four bytes as one number, to its
        # limits.
        self._allowed: dict[int, tuple[int, int, int, int]] = {}
        self.allow(LINK_LIMITS)
        self.allow(limits)
        self._pool = pool or BufferPool(spare_max=0)
        self._view = NO_BUFFER
        self._start = 0
        self._end = 0
        # What was unread when the buffer was given back.
        self._kept = b""
        # What the unfinished frame at `start` needs in all, as far as its header tells.
        self._wanted_bytes = HEADER_BYTES

    def allow(self, limits: Mapping[int, FrameLimits]) -> None:
        """Accept further types from the next frame on, also in the middle of `frames()`."""
        for frame_type, limit in limits.items():
            frame_bytes = HEADER_BYTES + limit.table_bytes_max + limit.body_bytes_max
            assert frame_bytes <= FRAME_BYTES_MAX, "the largest frame fits into a decoder"
            assert limit.count_max <= COUNT_MAX
            self._allowed[MAGIC | PROTOCOL_VERSION << 16 | frame_type << 24] = (
                int(frame_type),
                limit.count_max,
                limit.table_bytes_max,
                limit.body_bytes_max,
            )
        self._limits.update(limits)

    def space(self) -> memoryview:
        """Return the free end of the buffer, never empty."""
        if not self._view:
            self._view = self._pool.take(DECODER_BYTES_START)
            if self._kept:
                self._end = len(self._kept)
                self._view[: self._end] = self._kept
                self._kept = b""
        rest_bytes = self._end - self._start
        if not rest_bytes:
            self._start = self._end = 0
        elif len(self._view) - self._start < max(self._wanted_bytes, rest_bytes + SPACE_BYTES_MIN):
            self._move_to_front(rest_bytes)
        return self._view[self._end :]

    def _move_to_front(self, rest_bytes: int) -> None:
        rest = self._view[self._start : self._end]
        if self._wanted_bytes > len(self._view):
            grown = self._pool.take(FRAME_BYTES_MAX)
            grown[:rest_bytes] = rest
            self._pool.give_back(self._view)
            self._view = grown
        elif self._start:
            self._view[:rest_bytes] = rest
        self._start = 0
        self._end = rest_bytes

    def on_idle(self) -> None:
        """Nothing comes for now: give the buffer back, unless much of it waits for its rest."""
        rest_bytes = self._end - self._start
        if not self._view or rest_bytes > _KEPT_BYTES_MAX:
            return
        if rest_bytes:
            self._kept = bytes(self._view[self._start : self._end])
        self._give_back()

    def close(self) -> None:
        """Give the buffer back; nothing is received or read any more."""
        self._kept = b""
        if self._view:
            self._give_back()

    def _give_back(self) -> None:
        self._pool.give_back(self._view)
        self._view = NO_BUFFER
        self._start = self._end = 0

    def on_received(self, count: int) -> None:
        """Note that `count` bytes were written to the start of the last `space()`."""
        assert 0 <= count <= len(self._view) - self._end
        self._end += count

    @property
    def lacks_bytes(self) -> bool:
        """Whether `frames()` has none, for all that came is the beginning of one."""
        return not self._kept and self._end - self._start < self._wanted_bytes

    def unread(self) -> bytes:
        """Return a copy of what came and is no frame yet, or was not asked for."""
        return self._kept + bytes(self._view[self._start : self._end])

    def feed(self, data: bytes) -> None:
        """Take bytes that were received otherwise, before any others: as many as one frame may have."""
        assert not self._view
        assert not self._kept
        is_long = len(data) > DECODER_BYTES_START
        if data:
            self._view = self._pool.take(FRAME_BYTES_MAX if is_long else DECODER_BYTES_START)
            self._end = len(data)
            self._view[: self._end] = data

    def frames(self) -> Iterator[Frame]:
        """Yield each complete frame.

        Raises:
            RemoteProtocolError: Bad magic, version, flags, unknown type, or a limit is exceeded.
        """
        if self._kept:
            self.space()
        view, end, unpack = self._view, self._end, FUSED_HEADER.unpack_from
        allowed = self._allowed.get
        self._wanted_bytes = HEADER_BYTES
        start = self._start
        while end - start >= HEADER_BYTES:
            sort, flags, count, request_id, table_bytes, body_bytes = unpack(view, start)
            found = allowed(sort)
            if found is None:
                self._refuse(start)
            frame_type, count_max, table_bytes_max, body_bytes_max = found
            if (
                flags > 1
                or count > count_max
                or table_bytes > table_bytes_max
                or body_bytes > body_bytes_max
                or (flags and not request_id)
            ):
                self._refuse(start)
            table_start = start + HEADER_BYTES
            body_start = table_start + table_bytes
            frame_end = body_start + body_bytes
            if frame_end > end:
                self._wanted_bytes = frame_end - start
                return
            self._start = start = frame_end
            yield Frame(
                frame_type,
                flags == 1,
                request_id,
                count,
                view[table_start:body_start],
                view[body_start:frame_end],
            )

    def _refuse(self, start: int) -> NoReturn:
        header = HEADER.unpack_from(self._view, start)
        refuse_header(header, self._limits.get(header[2]))


def refuse_header(header: tuple[int, ...], limits: FrameLimits | None) -> NoReturn:
    """Say what is wrong with a header that is known to be wrong."""
    magic, version, frame_type, flags, reserved, count, request_id, table_bytes, body_bytes = header
    if magic != MAGIC:
        hint = ": the peer uses TLS, and this node does not" if magic == TLS_RECORD_START else ""
        raise RemoteProtocolError(f"magic {magic:#06x}, expected {MAGIC:#06x}{hint}")
    if version != PROTOCOL_VERSION:
        raise RemoteProtocolError(f"protocol version {version}, expected {PROTOCOL_VERSION}")
    if limits is None:
        raise RemoteProtocolError(f"frame type {frame_type}, which is unknown or not allowed yet")
    if flags > Flag.REPLY:
        raise RemoteProtocolError(f"flags {flags:#04x}, expected at most {int(Flag.REPLY):#04x}")
    if reserved:
        raise RemoteProtocolError(f"reserved byte {reserved}, expected 0")
    for what, found, most in (
        ("count", count, limits.count_max),
        ("table bytes", table_bytes, limits.table_bytes_max),
        ("body bytes", body_bytes, limits.body_bytes_max),
    ):
        if found > most:
            raise RemoteProtocolError(f"{what} {found} in frame type {frame_type}, at most {most}")
    assert flags & Flag.REPLY, "one of the conditions of `frames` is missing here"
    assert request_id == 0
    raise RemoteProtocolError(f"a reply of frame type {frame_type} with request id 0")
