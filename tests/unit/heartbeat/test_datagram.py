"""The layout, byte by byte, and each thing that is wrong with a datagram by its name."""

import pytest

from config.limits import NODE_NUMBER_MAX
from heartbeat.datagram import (
    HEAD_BYTES,
    MESSAGE_BYTES_MAX,
    ROWS_MAX,
    BadDatagram,
    Datagram,
    DatagramKind as Kind,
    cluster_digest,
)
from tests.helpers.heartbeat_messages import SUSPECT, message, row

DATAGRAM = Datagram(
    message=message(
        0x0102,
        0x0304,
        Kind.PING_REQUEST,
        row(0x0211, SUSPECT, incarnation=0x2122, refutation=0x3132, accuser=0x0341),
        incarnation=0x5152,
        refutation=0x6162,
        probe=0x7172,
        subject=0x0203,
    ),
    cluster=0x8182,
    counter=0x9192,
)
BYTES = bytes.fromhex(
    "5242 02 05 0201 0403 0302 01 00 62610000"
    "8281000000000000 5251000000000000 9291000000000000 7271000000000000"
    "1102 02 00 32310000 2221000000000000 4103"
)


def test_the_layout_is_the_one_that_the_protocol_names() -> None:
    assert DATAGRAM.encode() == BYTES
    assert Datagram.parse(BYTES) == DATAGRAM


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        (0, 0x53, "magic 0x4253, not 0x4252"),
        (2, 1, "version 1, not 2"),
        (3, 1, "unknown kind 1"),
        (3, 7, "unknown kind 7"),
        (5, 0xFF, f"node number 65282, not 0 to {NODE_NUMBER_MAX}"),
        (10, 2, "2 rows in 66 bytes"),
        (10, 0, "0 rows in 66 bytes"),
        (10, ROWS_MAX + 1, f"{ROWS_MAX + 1} rows in 66 bytes"),
        (11, 1, "reserved field is 1, not 0"),
        (HEAD_BYTES + 2, 0, "unknown state 0"),
        (HEAD_BYTES + 2, 4, "unknown state 4"),
        (HEAD_BYTES + 3, 9, "reserved field of a row is 9, not 0"),
        (HEAD_BYTES + 17, 0xFF, f"node number 65345, not 0 to {NODE_NUMBER_MAX}"),
    ],
)
def test_what_is_wrong_is_named(place: int, value: int, text: str) -> None:
    changed = bytearray(BYTES)
    changed[place] = value
    with pytest.raises(BadDatagram, match=f"^{text}$"):
        Datagram.parse(bytes(changed))


@pytest.mark.parametrize("length", [0, HEAD_BYTES - 1, MESSAGE_BYTES_MAX + 1])
def test_a_length_that_cannot_be_is_named(length: int) -> None:
    with pytest.raises(BadDatagram, match=f"^{length} bytes, not 48 to 624$"):
        Datagram.parse(bytes(length))


def test_a_cluster_is_told_by_its_name() -> None:
    assert cluster_digest("lab") == cluster_digest("lab") != cluster_digest("Lab")
    assert 0 < cluster_digest("lab") < 1 << 64
