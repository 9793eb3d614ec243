"""Control messages as msgpack lists, with every limit set.  The only module that imports msgpack.

A message is a list of fields whose types are known beforehand.  Fields are only ever appended: a
reader takes those it knows and ignores the rest, so that a newer node can say more than an older
one understands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgpack

from net.errors import RemoteProtocolError

# What msgpack may meet in one message, at any depth; the frame limits bound the whole.
MESSAGE_BYTES_MAX: Final = 64 * 1024
STRING_BYTES_MAX: Final = 4096
BINARY_BYTES_MAX: Final = 16 * 1024
ARRAY_ITEMS_MAX: Final = 1024
MAP_ITEMS_MAX: Final = 64
assert max(STRING_BYTES_MAX, BINARY_BYTES_MAX, ARRAY_ITEMS_MAX) < MESSAGE_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class PackLimits:
    """The most that one message may have: in all, and of each kind, at any depth."""

    message_bytes: int
    string_bytes: int = STRING_BYTES_MAX
    binary_bytes: int
    array_items: int
    map_items: int = MAP_ITEMS_MAX


OF_MESSAGES: Final = PackLimits(
    message_bytes=MESSAGE_BYTES_MAX, binary_bytes=BINARY_BYTES_MAX, array_items=ARRAY_ITEMS_MAX
)


def pack_fields(fields: Sequence[object], limits: PackLimits = OF_MESSAGES) -> bytes:
    """Return the message made of these fields."""
    packed: bytes = msgpack.packb(list(fields), use_bin_type=True)
    assert len(packed) <= limits.message_bytes
    return packed


def unpack(payload: bytes | bytearray | memoryview, limits: PackLimits = OF_MESSAGES) -> object:
    """Return the value a peer packed.

    Raises:
        RemoteProtocolError: It is no msgpack, or exceeds a limit.
    """
    if len(payload) > limits.message_bytes:
        raise RemoteProtocolError(
            f"a message of {len(payload)} bytes, at most {limits.message_bytes}"
        )
    try:
        value: object = msgpack.unpackb(
            payload,
            raw=False,
            strict_map_key=True,
            max_str_len=limits.string_bytes,
            max_bin_len=limits.binary_bytes,
            max_array_len=limits.array_items,
            max_map_len=limits.map_items,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        # Malformed input raises ValueError and its kin; an unhashable map key raises TypeError.
        raise RemoteProtocolError(
            f"not a valid message: {error or type(error).__name__}"
        ) from error
    return value


def unpack_fields(
    payload: bytes | bytearray | memoryview,
    types: Sequence[type],
    limits: PackLimits = OF_MESSAGES,
) -> tuple[object, ...]:
    """Return the first `len(types)` fields, each of exactly the given type (so a bool is no int).

    Raises:
        RemoteProtocolError: Not a message, too few fields, or a field of another type.
    """
    return check_fields(unpack(payload, limits), types)


def check_fields(value: object, types: Sequence[type]) -> tuple[object, ...]:
    """Return the first `len(types)` fields of a list, each of exactly the given type.

    Raises:
        RemoteProtocolError: No list, too few fields, or a field of another type.
    """
    if type(value) is not list:
        raise RemoteProtocolError(f"a message that is {type(value).__name__}, expected list")
    if len(value) < len(types):
        raise RemoteProtocolError(f"a message of {len(value)} fields, expected {len(types)}")
    for place, (field, expected) in enumerate(zip(value, types, strict=False)):
        if type(field) is not expected:
            found = type(field).__name__
            raise RemoteProtocolError(f"field {place} is {found}, expected {expected.__name__}")
    return tuple(value[: len(types)])
