import msgpack
import pytest

from net.errors import RemoteProtocolError
from net.packing import (
    ARRAY_ITEMS_MAX,
    BINARY_BYTES_MAX,
    MAP_ITEMS_MAX,
    MESSAGE_BYTES_MAX,
    STRING_BYTES_MAX,
    pack_fields,
    unpack,
    unpack_fields,
)


def test_fields_come_out_as_they_went_in() -> None:
    packed = pack_fields([1, "two", b"three", 4.0, [5], {"six": 6}])
    assert unpack_fields(packed, (int, str, bytes, float, list, dict)) == (
        1,
        "two",
        b"three",
        4.0,
        [5],
        {"six": 6},
    )


def test_fields_appended_by_a_newer_node_are_ignored() -> None:
    assert unpack_fields(pack_fields([1, "new"]), (int,)) == (1,)


def test_a_view_is_read_like_bytes() -> None:
    assert unpack_fields(memoryview(pack_fields([1])), (int,)) == (1,)


@pytest.mark.parametrize(
    ("payload", "phrase"),
    [
        (b"", "not a valid message"),
        (b"\xc1", "not a valid message"),
        (pack_fields([1]) + b"\x00", "not a valid message"),
        (pack_fields([1, "x"])[:-1], "not a valid message"),
        (msgpack.packb(5), "a message that is int, expected list"),
        (msgpack.packb([]), "a message of 0 fields, expected 1"),
        (msgpack.packb([True]), "field 0 is bool, expected int"),
        (msgpack.packb(["1"]), "field 0 is str, expected int"),
        (msgpack.packb([None]), "field 0 is NoneType, expected int"),
        (msgpack.packb({1: 2}), "not a valid message"),
        (b"\x91\xa1\xff", "not a valid message"),
        (b"\x81\x90\x01", "not a valid message"),
        (b"\xd6\xff\x00\x00\x00\x00", "not a valid message"),
    ],
)
def test_what_is_no_message_of_ours_is_refused(payload: bytes, phrase: str) -> None:
    with pytest.raises(RemoteProtocolError, match=phrase):
        unpack_fields(payload, (int,))


@pytest.mark.parametrize(
    "value",
    [
        "x" * (STRING_BYTES_MAX + 1),
        bytes(BINARY_BYTES_MAX + 1),
        [0] * (ARRAY_ITEMS_MAX + 1),
        {str(i): 0 for i in range(MAP_ITEMS_MAX + 1)},
        msgpack.ExtType(5, b"x"),
        b"\0" * MESSAGE_BYTES_MAX,
    ],
    ids=["string", "binary", "array", "map", "ext", "message"],
)
def test_each_limit_is_reached(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(msgpack.packb([value]))


@pytest.mark.parametrize(
    "payload",
    [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 60_000],
    ids=["array", "map", "binary", "nesting"],
)
def test_a_length_that_only_claims_costs_nothing(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(payload)
