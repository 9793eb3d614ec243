import struct

import pytest

from config.limits import NODE_NUMBER_MAX
from heartbeat.datagram import DATAGRAM_BYTES, U64_MAX, BadDatagram, Beat, cluster_digest
from nodemanager.ids import Incarnation, NodeId

BEAT = Beat(cluster=1, node=NodeId(2), incarnation=Incarnation(3), sequence=4)


def test_a_beat_has_these_bytes_on_the_wire() -> None:
    expected = bytes.fromhex(
        "52 42 01 01 02 00 00 00  01 00 00 00 00 00 00 00"
        "03 00 00 00 00 00 00 00  04 00 00 00 00 00 00 00"
    )
    assert BEAT.encode() == expected
    assert Beat.parse(expected) == BEAT


def test_the_largest_values_make_the_round_trip() -> None:
    beat = Beat(
        cluster=U64_MAX,
        node=NodeId(NODE_NUMBER_MAX),
        incarnation=Incarnation(U64_MAX),
        sequence=U64_MAX,
    )
    assert Beat.parse(beat.encode()) == beat


@pytest.mark.parametrize("length", [0, 1, DATAGRAM_BYTES - 1, DATAGRAM_BYTES + 1])
def test_a_datagram_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(BadDatagram, match=f"{length} bytes, not {DATAGRAM_BYTES}"):
        Beat.parse((BEAT.encode() * 2)[:length])


@pytest.mark.parametrize(
    ("offset", "layout", "value", "told"),
    [
        (0, "<H", 0x3252, "magic 0x3252, not 0x4252"),
        (2, "<B", 2, "version 2, not 1"),
        (3, "<B", 9, "unknown kind 9"),
        (4, "<H", NODE_NUMBER_MAX + 1, f"node number {NODE_NUMBER_MAX + 1}"),
        (6, "<H", 1, "reserved field is 1, not 0"),
    ],
)
def test_each_wrong_field_is_named(offset: int, layout: str, value: int, told: str) -> None:
    datagram = bytearray(BEAT.encode())
    struct.pack_into(layout, datagram, offset, value)
    with pytest.raises(BadDatagram, match=told):
        Beat.parse(bytes(datagram))


def test_clusters_are_told_apart_by_their_names() -> None:
    assert cluster_digest("blue") == cluster_digest("blue")
    assert len({cluster_digest(name) for name in ("", "blue", "Blue", "blue ")}) == 4
    assert 0 <= cluster_digest("blue") <= U64_MAX
