"""Netlink messages, generic netlink's header, and attributes: bytes to values and back (netlink(7), linux/genetlink.h).

Pure.  What the kernel says is trusted no further than its lengths: any bytes are messages or
MalformedNetlink.  Numbers are in the byte order of the machine.  Attributes nest only as deep as a
caller unpacks them.
"""

import enum
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

HEADER: Final = struct.Struct("=IHHII")  # bytes with this header, type, flags, sequence, port
GENERIC_HEADER: Final = struct.Struct("=BBH")  # command, version, reserved
ATTRIBUTE: Final = struct.Struct("=HH")  # bytes with this header, type
ERROR: Final = struct.Struct("=i")  # 0 or -errno; the header of what was asked follows
ALIGNMENT: Final = 4
# What the kernel may send in one datagram of ours: the status of some 2,000 devices.
DATAGRAM_BYTES_MAX: Final = 64 * 1024

NESTED: Final = 1 << 15
# Without the flags for nested and for byte order.
_ATTRIBUTE_TYPE: Final = (1 << 14) - 1
_ATTRIBUTE_BYTES_MAX: Final = (1 << 16) - 1

# (type, value), in their order: a list of devices has the same type again and again.
Attributes: TypeAlias = list[tuple[int, bytes]]


class Kind(enum.IntEnum):
    """Types of messages that every family has; a family's own begin at 16."""

    NOOP = 1
    ERROR = 2
    DONE = 3
    OVERRUN = 4


class Flag(enum.IntFlag):
    """Flags of a request."""

    REQUEST = 1
    ACK = 4


class MalformedNetlink(Exception):
    """Bytes that are no netlink message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: what it is, which request it answers, and what follows its header."""

    kind: int
    flags: int = 0
    sequence: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return its bytes; the kernel fills in the port by itself."""
        count = HEADER.size + len(self.payload)
        return _padded(
            HEADER.pack(count, self.kind, self.flags, self.sequence, 0) + self.payload, count
        )

    @property
    def error(self) -> int:
        """The errno of an ERROR, 0 for an acknowledgement.

        Raises:
            MalformedNetlink: It is too short for one.
        """
        if len(self.payload) < ERROR.size:
            raise MalformedNetlink(f"an error of {len(self.payload)} bytes")
        return -int(ERROR.unpack_from(self.payload)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericMessage:
    """The payload of a message of a generic family: a command and its attributes."""

    command: int
    version: int = 1
    attributes: bytes = b""

    def encode(self) -> bytes:
        """Return the payload."""
        return GENERIC_HEADER.pack(self.command, self.version, 0) + self.attributes

    @classmethod
    def parse(cls, payload: bytes) -> "GenericMessage":
        """Return the message, or raise MalformedNetlink."""
        if len(payload) < GENERIC_HEADER.size:
            raise MalformedNetlink(f"a generic message of {len(payload)} bytes")
        command, version, _ = GENERIC_HEADER.unpack_from(payload)
        attributes = payload[GENERIC_HEADER.size :]
        return cls(command=command, version=version, attributes=attributes)


def parse_messages(data: bytes) -> list[Message]:
    """Return the messages of one datagram, or raise MalformedNetlink."""
    messages: list[Message] = []
    for kind, flags, sequence, payload in _split_messages(data):
        messages.append(Message(kind=kind, flags=flags, sequence=sequence, payload=payload))
    return messages


def _split_messages(data: bytes) -> Iterable[tuple[int, int, int, bytes]]:
    position = 0
    while position < len(data):
        if len(data) - position < HEADER.size:
            raise MalformedNetlink(f"{len(data) - position} bytes where a header should be")
        count, kind, flags, sequence, _ = HEADER.unpack_from(data, position)
        if not HEADER.size <= count <= len(data) - position:
            raise MalformedNetlink(f"a message of {count} bytes in {len(data) - position}")
        yield kind, flags, sequence, data[position + HEADER.size : position + count]
        position += _aligned(count)


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded for the next."""
    count = ATTRIBUTE.size + len(value)
    assert count <= _ATTRIBUTE_BYTES_MAX
    return _padded(ATTRIBUTE.pack(count, kind) + value, count)


def u32(kind: int, number: int) -> bytes:
    """Return an attribute with 32 bits."""
    return attribute(kind, struct.pack("=I", number))


def u64(kind: int, number: int) -> bytes:
    """Return an attribute with 64 bits."""
    return attribute(kind, struct.pack("=Q", number))


def string(kind: int, text: str) -> bytes:
    """Return an attribute with a text, which ends with a zero byte."""
    return attribute(kind, text.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute with attributes inside."""
    return attribute(kind | NESTED, b"".join(attributes))


def parse_attributes(data: bytes) -> Attributes:
    """Return the attributes, without the flags of their types, or raise MalformedNetlink."""
    attributes: Attributes = []
    position = 0
    while position < len(data):
        if len(data) - position < ATTRIBUTE.size:
            raise MalformedNetlink(f"{len(data) - position} bytes where an attribute should be")
        count, kind = ATTRIBUTE.unpack_from(data, position)
        if not ATTRIBUTE.size <= count <= len(data) - position:
            raise MalformedNetlink(f"an attribute of {count} bytes in {len(data) - position}")
        attributes.append(
            (kind & _ATTRIBUTE_TYPE, data[position + ATTRIBUTE.size : position + count])
        )
        position += _aligned(count)
    return attributes


def number(value: bytes) -> int:
    """Return an unsigned number of 1, 2, 4 or 8 bytes, or raise MalformedNetlink."""
    form = {1: "=B", 2: "=H", 4: "=I", 8: "=Q"}.get(len(value))
    if form is None:
        raise MalformedNetlink(f"a number of {len(value)} bytes")
    return int(struct.unpack(form, value)[0])


def text(value: bytes) -> str:
    """Return a text up to its zero byte."""
    return value.partition(b"\0")[0].decode(errors="replace")


def _aligned(count: int) -> int:
    return (count + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def _padded(data: bytes, count: int) -> bytes:
    return data + bytes(_aligned(count) - count)
