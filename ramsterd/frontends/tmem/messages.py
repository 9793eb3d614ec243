"""The messages between a program and the daemon over the tmem socket.

Frames are those of `net.frame`, with types of their own.  A request has an id that is not 0 and
gets exactly one reply: a frame of the same type, or ERROR.  Requests may be pipelined and their
replies come in any order, so a client that needs an order waits for the reply.  Numbers are
little-endian; *place* is

    pool u32 | index u64 | object id bytes u8 | object id, padded with zeros to 24 bytes

    type            request                                     reply
    HELLO           msgpack [version, client name]              msgpack [version, pages per frame max,
                                                                requests in flight max, bytes in
                                                                flight max, user id]
    NEW_POOL        msgpack [kind, name or "", exclusive gets]  msgpack [pool number, pages that it has]
    DESTROY_POOL    place                                       dropped u64
    PUT             place, body count * 4096                    count: how many were stored, from the start
    GET             place, count                                state u8 * count, body: the pages with PageState.PAGE
    FLUSH_PAGES     place, how many u64                         dropped u64
    FLUSH_OBJECT    place                                       dropped u64
    STATUS                                                      msgpack map
    ERROR           never                                       code u8, text

A daemon that will not serve a client at all says ERROR with id 0, not as a reply, and closes.
"""

import enum
import struct
from dataclasses import dataclass
from typing import Final

from net.errors import RemoteProtocolError
from net.frame import (
    APPLICATION_TYPE_MIN,
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    Frame,
    FrameLimits,
    encode_header,
)
from net.packing import pack_fields, unpack_fields
from ramsterd.core.page import INDEX_MAX, OBJECT_ID_BYTES_MAX, PAGE_BYTES, PoolKind

__all__ = ["INDEX_MAX", "OBJECT_ID_BYTES_MAX", "PAGE_BYTES", "PoolKind"]

VERSION: Final = 1
# 512 KiB: a frame, its reply and a few neighbours stay far below what a connection may hold.
PAGES_PER_FRAME_MAX: Final = 128
# What one connection may have waiting for a peer or for room, and what may be answered but not yet
# sent.
REQUESTS_IN_FLIGHT_MAX: Final = 256
IN_FLIGHT_BYTES_MAX: Final = 2 * 1024 * 1024
REPLY_BYTES_MAX: Final = 1024 * 1024
HELLO_SECONDS_MAX: Final = 10.0
# Names are for people and logs.
NAME_BYTES_MAX: Final = 63
CONTROL_BYTES_MAX: Final = 1024
ERROR_TEXT_BYTES_MAX: Final = 512

PLACE: Final = struct.Struct("<IQB24s")
RANGE: Final = struct.Struct("<IQB24sQ")
COUNT: Final = struct.Struct("<Q")


class TmemType(enum.IntEnum):
    """Frame types of the tmem socket.  Append only.

    The version that added each stands beside it.
    """

    HELLO = 32  # version 1
    NEW_POOL = 33  # version 1
    DESTROY_POOL = 34  # version 1
    PUT = 35  # version 1
    GET = 36  # version 1
    FLUSH_PAGES = 37  # version 1
    FLUSH_OBJECT = 38  # version 1
    STATUS = 39  # version 1
    ERROR = 40  # version 1


class PageState(enum.IntEnum):
    """The outcome of a GET for one page.  Append only."""

    MISS = 0
    PAGE = 1
    LOST = 2
    UNREACHABLE = 3


class ErrorCode(enum.IntEnum):
    """The reason of an ERROR: a request that was not done.  Append only."""

    BAD_REQUEST = 1
    NO_SUCH_POOL = 2
    NOT_ALLOWED = 3
    NO_ROOM = (
        4  # neither here nor at a peer; what the put would have replaced can't be read any more
    )
    POOL_QUOTA = 5
    USER_QUOTA = 6
    TOO_MANY_POOLS = 7
    TOO_MANY_CONNECTIONS = 8
    WRONG_VERSION = 9
    KIND_DIFFERS = 10
    CODEC_DIFFERS = 11
    CODEC_MISSING = 12
    POOL_LOST = 13  # its pages ended with the last run of the daemon: destroy it and make it again
    STATE_UNWRITTEN = 14  # the daemon can't note that the pool has pages; nothing was stored


# How a pool may be compressed: the names of config.model.PoolCodec, which clients do not import.
CODECS: Final = ("lz4", "zstd", "none")
_BODY_BYTES_MAX: Final = PAGES_PER_FRAME_MAX * PAGE_BYTES
_CONTROL: Final = FrameLimits(0, CONTROL_BYTES_MAX, 0)
_PLACE: Final = FrameLimits(0, PLACE.size, 0)
# What the daemon accepts; ERROR is never a request.
REQUEST_LIMITS: Final[dict[int, FrameLimits]] = {
    TmemType.HELLO: _CONTROL,
    TmemType.NEW_POOL: _CONTROL,
    TmemType.DESTROY_POOL: _PLACE,
    TmemType.PUT: FrameLimits(PAGES_PER_FRAME_MAX, PLACE.size, _BODY_BYTES_MAX),
    TmemType.GET: FrameLimits(PAGES_PER_FRAME_MAX, PLACE.size, 0),
    TmemType.FLUSH_PAGES: FrameLimits(0, RANGE.size, 0),
    TmemType.FLUSH_OBJECT: _PLACE,
    TmemType.STATUS: FrameLimits(0, 0, 0),
}
# What a client accepts.
REPLY_LIMITS: Final[dict[int, FrameLimits]] = {
    TmemType.HELLO: _CONTROL,
    TmemType.NEW_POOL: _CONTROL,
    TmemType.DESTROY_POOL: FrameLimits(0, COUNT.size, 0),
    TmemType.PUT: FrameLimits(PAGES_PER_FRAME_MAX, 0, 0),
    TmemType.GET: FrameLimits(PAGES_PER_FRAME_MAX, PAGES_PER_FRAME_MAX, _BODY_BYTES_MAX),
    TmemType.FLUSH_PAGES: FrameLimits(0, COUNT.size, 0),
    TmemType.FLUSH_OBJECT: FrameLimits(0, COUNT.size, 0),
    TmemType.STATUS: FrameLimits(0, CONTROL_BYTES_MAX, 0),
    TmemType.ERROR: FrameLimits(0, 1 + ERROR_TEXT_BYTES_MAX, 0),
}

assert min(TmemType) >= APPLICATION_TYPE_MIN
assert set(REPLY_LIMITS) == set(TmemType) == {*REQUEST_LIMITS, TmemType.ERROR}
assert HEADER_BYTES + PLACE.size + _BODY_BYTES_MAX <= FRAME_BYTES_MAX
assert IN_FLIGHT_BYTES_MAX >= 2 * _BODY_BYTES_MAX, "a client can keep one frame ahead"
assert RANGE.size == PLACE.size + COUNT.size
assert OBJECT_ID_BYTES_MAX < 1 << 8


class BadRequest(Exception):
    """A well-formed request that asks for what can't be.

    The client is told, the connection goes on.
    """


def encode_frame(
    frame_type: int,
    request_id: int,
    table: bytes = b"",
    *,
    count: int = 0,
    body_bytes: int = 0,
    is_reply: bool = False,
) -> bytes:
    """Return header and table of a request or a reply; the caller sends the body behind it."""
    header = encode_header(
        frame_type,
        request_id=request_id,
        is_reply=is_reply,
        count=count,
        table_bytes=len(table),
        body_bytes=body_bytes,
    )
    return header + table


def encode_error(request_id: int, code: ErrorCode, text: str) -> bytes:
    """Return an ERROR: the reply to a request, or with id 0 the last message before the daemon closes."""
    table = bytes([code]) + text.encode()[:ERROR_TEXT_BYTES_MAX]
    return encode_frame(TmemType.ERROR, request_id, table, is_reply=request_id != 0)


def parse_error(table: bytes | memoryview) -> tuple[ErrorCode, str]:
    """Return code and text.

    Raises:
        RemoteProtocolError: It has no code, or one that we do not know.
    """
    data = bytes(table)
    try:
        return ErrorCode(data[0]), data[1:].decode(errors="replace")
    except (IndexError, ValueError):
        raise RemoteProtocolError(f"an error that says {data[:16]!r}") from None


def place(pool: int, object_id: bytes = b"", index: int = 0) -> bytes:
    """Return the table that names a pool, an object and an index."""
    return PLACE.pack(pool, index, len(object_id), object_id)


def page_range(pool: int, object_id: bytes, index: int, count: int) -> bytes:
    """Return the table of FLUSH_PAGES."""
    return RANGE.pack(pool, index, len(object_id), object_id, count)


def parse_place(frame: Frame) -> tuple[int, bytes, int]:
    """Return (pool number, object id, index).

    The run of a PUT or GET was checked to lie within an object.

    Raises:
        RemoteProtocolError: The table has another length.
        BadRequest: The object id is too long, or the run is empty or ends beyond the last index.
    """
    if len(frame.table) != PLACE.size:
        raise RemoteProtocolError(f"a place of {len(frame.table)} bytes, expected {PLACE.size}")
    pool, index, object_id_bytes, object_id = PLACE.unpack_from(frame.table)
    _check_object_id(object_id_bytes)
    return pool, object_id[:object_id_bytes], index


def parse_run(frame: Frame) -> tuple[int, bytes, int]:
    """As `parse_place`, and the `frame.count` pages from there on are a run; raises the same."""
    pool, object_id, index = parse_place(frame)
    _check_run(index, frame.count)
    return pool, object_id, index


def parse_put(frame: Frame) -> tuple[int, bytes, int]:
    """As `parse_run`, and the body holds that many pages; raises the same."""
    if len(frame.body) != frame.count * PAGE_BYTES:
        raise RemoteProtocolError(
            f"a PUT of {frame.count} pages with {len(frame.body)} bytes of body"
        )
    return parse_run(frame)


def parse_range(frame: Frame) -> tuple[int, bytes, int, int]:
    """Return (pool number, object id, index, count) of FLUSH_PAGES; raises as `parse_place`."""
    if len(frame.table) != RANGE.size:
        raise RemoteProtocolError(f"a range of {len(frame.table)} bytes, expected {RANGE.size}")
    pool, index, object_id_bytes, object_id, count = RANGE.unpack_from(frame.table)
    _check_object_id(object_id_bytes)
    _check_run(index, count)
    return pool, object_id[:object_id_bytes], index, count


def _check_object_id(object_id_bytes: int) -> None:
    if object_id_bytes > OBJECT_ID_BYTES_MAX:
        raise BadRequest(f"an object id of {object_id_bytes} bytes, at most {OBJECT_ID_BYTES_MAX}")


def _check_run(index: int, count: int) -> None:
    if not 0 < count <= INDEX_MAX + 1 - index:
        raise BadRequest(f"{count} pages from index {index} are no run within an object")


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The daemon's answer to HELLO: the limits of a client, and the user that it is known as."""

    pages_per_frame_max: int
    requests_in_flight_max: int
    in_flight_bytes_max: int
    user: int

    def encode(self) -> bytes:
        """Return the message."""
        return pack_fields(
            [
                VERSION,
                self.pages_per_frame_max,
                self.requests_in_flight_max,
                self.in_flight_bytes_max,
                self.user,
            ]
        )

    @classmethod
    def parse(cls, table: bytes | memoryview) -> "Welcome":
        """Return the message, or raise RemoteProtocolError."""
        fields = unpack_fields(table, [int] * 5)
        version, pages, requests, in_flight_bytes, user = (_whole(field) for field in fields)
        if version != VERSION:
            raise RemoteProtocolError(f"tmem version {version}, expected {VERSION}")
        if not 0 < pages <= PAGES_PER_FRAME_MAX or not requests or in_flight_bytes < PAGE_BYTES:
            raise RemoteProtocolError(f"bounds that allow nothing: {fields}")
        return cls(
            pages_per_frame_max=pages,
            requests_in_flight_max=requests,
            in_flight_bytes_max=in_flight_bytes,
            user=user,
        )


def hello(name: str) -> bytes:
    """Return the client's HELLO."""
    return pack_fields([VERSION, name])


def parse_hello(table: memoryview) -> tuple[int, str]:
    """Return (version, client name), or raise RemoteProtocolError."""
    version, name = unpack_fields(table, (int, str))
    return _whole(version), _name(name)


@dataclass(frozen=True, slots=True)
class NewPool:
    """A request for a pool of a kind and a codec.

    A pool without a name is private to the connection.
    """

    kind: PoolKind
    name: str
    codec: str
    is_exclusive: bool

    def encode(self) -> bytes:
        """Return the message."""
        return pack_fields([self.kind.value, self.name, self.codec, self.is_exclusive])

    @classmethod
    def parse(cls, table: memoryview) -> "NewPool":
        """Return the message.

        Raises:
            RemoteProtocolError: It is none.
            BadRequest: There is no such kind or codec, or a persistent pool with exclusive gets.
        """
        kind, name, codec, is_exclusive = unpack_fields(table, (str, str, str, bool))
        name = _name(name)
        if codec not in CODECS:
            raise BadRequest(f"no codec {str(codec)[:32]!r}; there are: {', '.join(CODECS)}")
        try:
            pool_kind = PoolKind(kind)
        except ValueError:
            raise BadRequest(f"no kind of pool is called {str(kind)[:32]!r}") from None
        if is_exclusive and pool_kind is PoolKind.PERSISTENT:
            raise BadRequest("gets are exclusive in ephemeral pools only")
        return cls(pool_kind, name, str(codec), bool(is_exclusive))


def _whole(field: object) -> int:
    assert isinstance(field, int), "unpack_fields saw to it"
    if field < 0:
        raise RemoteProtocolError(f"{field}, which is negative")
    return field


def _name(field: object) -> str:
    assert isinstance(field, str), "unpack_fields saw to it"
    if len(field.encode()) > NAME_BYTES_MAX or not (field.isprintable() or not field):
        raise RemoteProtocolError(f"a name of {len(field)} characters that is no name")
    return field
