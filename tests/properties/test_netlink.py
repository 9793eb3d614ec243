"""The decoders of netlink: what is encoded comes back, and any bytes are a value or MalformedNetlink."""

from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from ramsterd.attach.nbd_family import parse_dead_link, parse_family, parse_status
from ramsterd.attach.netlink import (
    GenericMessage,
    MalformedNetlink,
    Message,
    attribute,
    nested,
    parse_attributes,
    parse_messages,
    u32,
)

messages = st.builds(
    Message,
    kind=st.integers(0, 0xFFFF),
    flags=st.integers(0, 0xFFFF),
    sequence=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=40),
)
attributes = st.tuples(st.integers(0, (1 << 14) - 1), st.binary(max_size=20))


@given(st.lists(messages, max_size=5))
def test_messages_come_back(sent: list[Message]) -> None:
    assert parse_messages(b"".join(each.encode() for each in sent)) == sent


@given(st.lists(attributes, max_size=8))
def test_attributes_come_back(sent: list[tuple[int, bytes]]) -> None:
    assert parse_attributes(b"".join(attribute(*each) for each in sent)) == sent


@given(st.lists(messages, min_size=1, max_size=3), st.data())
def test_a_datagram_with_changed_bytes_is_messages_or_malformed(
    sent: list[Message], data: st.DataObject
) -> None:
    changed = bytearray(b"".join(each.encode() for each in sent))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = parse_messages(bytes(changed))
    except MalformedNetlink:
        return
    assert sum(len(each.payload) for each in parsed) <= len(changed)


@pytest.mark.parametrize("parse", [parse_family, parse_status, parse_dead_link])
@given(data=st.binary(max_size=120))
def test_any_payload_is_a_value_or_malformed(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except MalformedNetlink:
        pass


trees = st.recursive(
    st.builds(u32, st.integers(0, 10), st.integers(0, 20)) | st.builds(attribute, st.integers(0, 10), st.binary(max_size=9)),
    lambda inner: st.builds(
        lambda kind, parts: nested(kind, *parts), st.integers(0, 10), st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize("parse", [parse_family, parse_status, parse_dead_link])
@given(parts=st.lists(trees, max_size=5), command=st.integers(0, 9))
def test_any_attributes_are_a_value_or_malformed(
    parse: Callable[[bytes], object], parts: list[bytes], command: int
) -> None:
    message = GenericMessage(command=command, attributes=b"".join(parts))
    try:
        parse(message.encode())
    except MalformedNetlink:
        pass
