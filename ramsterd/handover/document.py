"""The document that describes the sockets of one process to the next: a header, then one msgpack list.  Pure.

    magic 8 bytes | version u32 | reserved u32 | length of the list u64 | xxh3 u64 of all before and
    of the list [memory id, restart id, paused at, is stored, [listening socket, ...], [connection,
    ...]]

A record stands in the list at the place by which its socket is named (`names`): first those of
listening sockets.  The state of a connection is a list of its front end's own, which is not looked
into here.
"""

import enum
import struct
from dataclasses import dataclass
from typing import Final, cast

from net.errors import RemoteProtocolError
from net.frame import FRAME_BYTES_MAX
from net.packing import PackLimits, check_fields, pack_fields, unpack_fields
from ramsterd.core.codec import checksum_of

# Append a field to a list and raise this: the next release then closes what it does not understand.
VERSION: Final = 1
_MAGIC: Final = b"ramconns"
_HEADER: Final = struct.Struct("<8sIIQ")
_CHECKSUM: Final = struct.Struct("<Q")
HEADER_BYTES: Final = _HEADER.size + _CHECKSUM.size

# Connections of one document; their names must fit into one variable of the environment
# (`host.successor`).
CONNECTIONS_MAX: Final = 4096
LISTENERS_MAX: Final = 16
# What a client sent and nobody has begun: a part of the longest request.
UNREAD_BYTES_MAX: Final = FRAME_BYTES_MAX
# Replies that a client has not taken: as many as make a front end stop receiving.
UNSENT_BYTES_MAX: Final = 4 * 1024 * 1024
# All of it; it is copied once on each side.
DOCUMENT_BYTES_MAX: Final = 64 * 1024 * 1024
MEMORY_ID_BYTES_MAX: Final = 64

_LIMITS: Final = PackLimits(
    message_bytes=DOCUMENT_BYTES_MAX,
    binary_bytes=max(UNREAD_BYTES_MAX, UNSENT_BYTES_MAX),
    array_items=CONNECTIONS_MAX,
)


class DamagedDocument(Exception):
    """It can't be read: nobody knows what the sockets are."""


class DamagedRecord(Exception):
    """A record means nothing here: its socket is shut down.  The message says why."""


class FrontEnd(enum.IntEnum):
    """Whose protocol a connection speaks.  Numbers are kept: append only."""

    NBD = 1
    TMEM = 2
    # In its handshake.
    NBD_HANDSHAKE = 3


class Endpoint(enum.IntEnum):
    """What a listening socket is for.  Numbers are kept: append only."""

    NBD_UNIX = 1
    NBD_TCP = 2
    TMEM = 3
    CONTROL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerRecord:
    """A listening socket: where, as the config has it."""

    endpoint: Endpoint
    address: str
    # Of its file, 0 without one: a file in its place has the path now.
    inode: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRecord:
    """A connection at an edge."""

    front_end: FrontEnd
    # Plain values, and lists of them.
    state: list[object]
    unread: bytes = b""
    unsent: bytes = b""

    def __post_init__(self) -> None:
        assert len(self.unread) <= UNREAD_BYTES_MAX
        assert len(self.unsent) <= UNSENT_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Everything that one process tells the next."""

    # Of the kept memory that has the pages of these clients.
    memory_id: bytes
    # What `ramsterctl restart` looks for, to know that its restart is done.
    restart_id: str
    # When clients were paused: CLOCK_MONOTONIC, which both processes have.
    paused_at_nanoseconds: int
    # A service manager keeps the sockets, until it is told to give them up.
    is_stored: bool = False
    # None: a record that means nothing here.
    listeners: tuple[ListenerRecord | None, ...] = ()
    connections: tuple[ConnectionRecord | None, ...] = ()


def encode(document: Document) -> bytes:
    """Return the document as bytes."""
    assert len(document.listeners) <= LISTENERS_MAX
    assert len(document.connections) <= CONNECTIONS_MAX
    body = pack_fields(
        [
            document.memory_id,
            document.restart_id,
            document.paused_at_nanoseconds,
            document.is_stored,
            [_pack_listener(each) for each in document.listeners],
            [_pack_connection(each) for each in document.connections],
        ],
        _LIMITS,
    )
    header = _HEADER.pack(_MAGIC, VERSION, 0, len(body))
    return header + _CHECKSUM.pack(checksum_of(header + body)) + body


def record_bytes(record: ConnectionRecord) -> int:
    """Return how much of a document a connection takes, at most: the collector keeps within its limit."""
    return len(pack_fields([_pack_connection(record)], _LIMITS))


def decode(data: bytes) -> Document:
    """Return the document.

    Raises:
        DamagedDocument: It is none, of another version, or damaged.
    """
    if len(data) < HEADER_BYTES:
        raise DamagedDocument(f"{len(data)} bytes")
    magic, version, _, length = _HEADER.unpack_from(data)
    (checksum,) = _CHECKSUM.unpack_from(data, _HEADER.size)
    body = data[HEADER_BYTES:]
    if magic != _MAGIC:
        raise DamagedDocument(f"magic {magic!r}")
    if length != len(body) or checksum != checksum_of(data[: _HEADER.size] + body):
        raise DamagedDocument("cut, or changed on the way")
    # Behind the checksum: a flipped bit is no other version.
    if version != VERSION:
        raise DamagedDocument(f"version {version}, expected {VERSION}")
    try:
        fields = unpack_fields(body, (bytes, str, int, bool, list, list), _LIMITS)
    except RemoteProtocolError as error:
        raise DamagedDocument(str(error)) from None
    memory_id, restart_id, paused_at, is_stored, listeners, connections = cast(
        "tuple[bytes, str, int, bool, list[object], list[object]]", fields
    )
    if len(memory_id) > MEMORY_ID_BYTES_MAX or len(listeners) > LISTENERS_MAX:
        raise DamagedDocument("a limit is exceeded")
    return Document(
        memory_id=memory_id,
        restart_id=restart_id,
        paused_at_nanoseconds=paused_at,
        is_stored=is_stored,
        listeners=tuple(map(_listener, listeners)),
        connections=tuple(map(_connection, connections)),
    )


def fields_of(value: object, *types: type) -> tuple[object, ...]:
    """Return the fields of a list of a record, each of its type.

    Raises:
        DamagedRecord: They are others.
    """
    try:
        return check_fields(value, types)
    except RemoteProtocolError as error:
        raise DamagedRecord(str(error)) from None


def _pack_listener(record: ListenerRecord | None) -> list[object]:
    assert record is not None
    return [int(record.endpoint), record.address, record.inode]


def _pack_connection(record: ConnectionRecord | None) -> list[object]:
    assert record is not None
    return [int(record.front_end), record.state, record.unread, record.unsent]


def _listener(value: object) -> ListenerRecord | None:
    try:
        endpoint, address, inode = cast("tuple[int, str, int]", fields_of(value, int, str, int))
        return ListenerRecord(endpoint=Endpoint(endpoint), address=address, inode=inode)
    except (DamagedRecord, ValueError):
        return None


def _connection(value: object) -> ConnectionRecord | None:
    try:
        front_end, state, unread, unsent = cast(
            "tuple[int, list[object], bytes, bytes]", fields_of(value, int, list, bytes, bytes)
        )
        if len(unread) > UNREAD_BYTES_MAX or len(unsent) > UNSENT_BYTES_MAX:
            return None
        return ConnectionRecord(
            front_end=FrontEnd(front_end), state=state, unread=unread, unsent=unsent
        )
    except (DamagedRecord, ValueError):
        return None
