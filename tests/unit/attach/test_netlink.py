"""Netlink's bytes, against hand-made ones: this machine's order is little-endian, as in the examples."""

import struct
import sys

import pytest

from ramsterd.attach.netlink import (
    GenericMessage,
    MalformedNetlink,
    Message,
    attribute,
    nested,
    number,
    parse_attributes,
    parse_messages,
    string,
    text,
    u32,
    u64,
)

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="needs a little-endian CPU")


@little_endian
def test_a_message_is_its_header_and_its_payload() -> None:
    message = Message(kind=0x1A, flags=5, sequence=7, payload=b"abcde")
    assert message.encode() == (
        b"\x15\0\0\0\x1a\0\x05\0\x07\0\0\0\0\0\0\0abcde\0\0\0"
    )  # fmt: skip


@little_endian
def test_attributes_have_their_length_and_are_padded() -> None:
    assert string(2, "nbd") == b"\x08\0\x02\0nbd\0"
    assert attribute(9, b"x") == b"\x05\0\x09\0x\0\0\0"
    assert u32(1, 258) == b"\x08\0\x01\0\x02\x01\0\0"
    assert u64(1, 258) == b"\x0c\0\x01\0\x02\x01\0\0\0\0\0\0"
    assert nested(7, u32(1, 3)) == b"\x0c\0\x07\x80\x08\0\x01\0\x03\0\0\0"


def test_a_datagram_may_hold_several_messages() -> None:
    messages = [Message(kind=2, payload=b"odd"), Message(kind=16, sequence=2)]
    assert parse_messages(b"".join(each.encode() for each in messages)) == messages
    assert parse_messages(b"") == []


def test_types_come_without_their_flags() -> None:
    assert parse_attributes(nested(7, b"") + u32(3, 1)) == [(7, b""), (3, b"\x01\0\0\0")]


def test_the_last_attribute_needs_no_padding() -> None:
    assert parse_attributes(attribute(1, b"abc")[:-1]) == [(1, b"abc")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"abc", "3 bytes where a header should be"),
        (struct.pack("=IHHII", 15, 0, 0, 0, 0), "a message of 15 bytes in 16"),
        (struct.pack("=IHHII", 17, 0, 0, 0, 0), "a message of 17 bytes in 16"),
    ],
)
def test_a_bad_message_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedNetlink, match=reason):
        parse_messages(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"ab", "2 bytes where an attribute should be"),
        (struct.pack("=HH", 3, 1), "an attribute of 3 bytes in 4"),
        (struct.pack("=HH", 9, 1), "an attribute of 9 bytes in 4"),
    ],
)
def test_a_bad_attribute_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedNetlink, match=reason):
        parse_attributes(data)


@pytest.mark.parametrize("value", [7, 0, 255])
def test_numbers_have_any_of_four_widths(value: int) -> None:
    for form in "=B", "=H", "=I", "=Q":
        assert number(struct.pack(form, value)) == value
    with pytest.raises(MalformedNetlink, match="a number of 3 bytes"):
        number(b"abc")


def test_an_error_is_an_errno() -> None:
    assert Message(kind=2, payload=struct.pack("=i", -16) + bytes(16)).error == 16
    assert Message(kind=2, payload=bytes(20)).error == 0
    with pytest.raises(MalformedNetlink):
        _ = Message(kind=2, payload=b"ab").error


def test_a_generic_message_has_a_header_of_its_own() -> None:
    message = GenericMessage(command=5, version=1, attributes=u32(1, 2))
    assert message.encode()[:4] == b"\x05\x01\0\0"
    assert GenericMessage.parse(message.encode()) == message
    with pytest.raises(MalformedNetlink):
        GenericMessage.parse(b"abc")


def test_a_text_ends_at_its_zero_byte() -> None:
    assert text(b"nbd\0\0") == text(b"nbd") == "nbd"
