"""What is said to the kernel's nbd, attribute by attribute, and what it says."""

import struct

import pytest

from ramsterd.attach.nbd_family import (
    CONTROLLER,
    LET_GO_SECONDS,
    Attribute,
    Command,
    DeviceStatus,
    Disk,
    Family,
    ask_family,
    ask_status,
    connect,
    disconnect,
    let_go,
    parse_dead_link,
    parse_family,
    parse_status,
    reconfigure,
)
from ramsterd.attach.netlink import (
    GenericMessage,
    MalformedNetlink,
    Message,
    attribute,
    nested,
    parse_attributes,
    string,
    u32,
)

FAMILY = Family(number=0x1C, group=9)
DISK = Disk(
    size=1 << 30,
    block_bytes=4096,
    server_flags=0x6D,
    dead_connection_seconds=300,
    request_seconds=0,
    identifier="ramster swap0",
)


def said(message: Message) -> tuple[int, dict[int, bytes]]:
    generic = GenericMessage.parse(message.payload)
    assert message.flags == 5, "a request with an acknowledgement"
    assert message.kind == FAMILY.number
    assert generic.version == 1
    return generic.command, dict(parse_attributes(generic.attributes))


def test_connect_names_all_of_a_disk() -> None:
    command, attributes = said(connect(FAMILY, 3, 12, DISK))
    assert command == 1, Command.CONNECT
    assert attributes == {
        1: struct.pack("=I", 3),
        2: struct.pack("=Q", 1 << 30),
        3: struct.pack("=Q", 4096),
        4: struct.pack("=Q", 0),
        5: struct.pack("=Q", 0x6D),
        6: struct.pack("=Q", 0),
        7: struct.pack("=HHHHI", 12, 0x8001, 8, 1, 12),
        8: struct.pack("=Q", 300),
        10: b"ramster swap0\0",
    }


def test_reconfigure_never_changes_the_size() -> None:
    command, attributes = said(reconfigure(FAMILY, 3, 12, DISK))
    assert command == 3, Command.RECONFIGURE
    assert set(attributes) == {
        Attribute.INDEX,
        Attribute.TIMEOUT,
        Attribute.DEAD_CONN_TIMEOUT,
        Attribute.BACKEND_IDENTIFIER,
        Attribute.SOCKETS,
    }


def test_what_is_let_go_gets_a_timer_and_no_socket() -> None:
    command, attributes = said(let_go(FAMILY, 3, DISK))
    assert command == 3
    assert attributes == {
        1: struct.pack("=I", 3),
        4: struct.pack("=Q", LET_GO_SECONDS),
        10: b"ramster swap0\0",
    }


def test_the_short_orders() -> None:
    assert said(disconnect(FAMILY, 3)) == (2, {1: struct.pack("=I", 3)})
    assert said(ask_status(FAMILY)) == (5, {})
    question = ask_family()
    assert question.kind == CONTROLLER
    assert question.payload == b"\x03\x01\0\0" + string(2, "nbd")


def test_the_family_and_its_group_are_found_by_name() -> None:
    groups = nested(
        7,
        nested(1, string(1, "other"), u32(2, 4)),
        nested(2, string(1, "nbd_mc_group"), u32(2, 9)),
    )
    answer = GenericMessage(
        command=1, attributes=attribute(1, struct.pack("=H", 0x1C)) + string(2, "nbd") + groups
    )
    assert parse_family(answer.encode()) == FAMILY
    answer = GenericMessage(command=1, attributes=attribute(1, b"\x1c\0") + nested(7))
    with pytest.raises(MalformedNetlink, match="no group nbd_mc_group"):
        parse_family(answer.encode())


def test_the_status_lists_devices() -> None:
    devices = nested(
        9,
        nested(1, u32(1, 0), attribute(2, b"\x01")),
        nested(1, u32(1, 1), attribute(2, b"\0")),
    )
    answer = GenericMessage(command=5, attributes=devices).encode()
    assert parse_status(answer) == [DeviceStatus(0, True), DeviceStatus(1, False)]
    with pytest.raises(MalformedNetlink, match="no attribute 9"):
        parse_status(GenericMessage(command=5).encode())


def test_only_a_dead_link_is_news() -> None:
    assert parse_dead_link(GenericMessage(command=4, attributes=u32(1, 6)).encode()) == 6
    assert parse_dead_link(GenericMessage(command=1, attributes=u32(1, 6)).encode()) is None
