"""Tables that do not fit: both kinds of loops refuse the same, in the same words."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from net.errors import RemoteProtocolError
from net.frame import Frame
from ramsterd.core.codec import PACKED_FILL, PACKED_RAW, PACKED_ZSTD, ZPAGE_BYTES_MAX
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.remote import wire
from ramsterd.remote.wire import LIMITS, SERIAL_MAX, MessageType, PutPages
from tests.helpers import columns
from tests.helpers.links import decode_one, make_frame

pytestmark = pytest.mark.usefixtures("each_loops")
VALID = [1, ZPAGE_BYTES_MAX, PACKED_RAW, PACKED_ZSTD + 1, PACKED_ZSTD + ZPAGE_BYTES_MAX]
INVALID = [
    ZPAGE_BYTES_MAX + 1, 0x1FFF, PACKED_RAW - 1, PACKED_RAW + 1, PACKED_FILL, PACKED_FILL + 1,
    PACKED_ZSTD, PACKED_ZSTD + ZPAGE_BYTES_MAX + 1, 0x8001, 0xFFFF,
]  # fmt: skip


def body_of(packed: Sequence[int]) -> bytes:
    return bytes(sum(code & 0x1FFF for code in packed))


def put(serials: Sequence[int], packed: Sequence[int], body: bytes) -> Frame:
    table = wire.put_table(PoolKind.PERSISTENT, serials, [5] * len(serials), packed)
    return decode_one(
        make_frame(MessageType.PUT_PAGES, len(serials), table, body, request_id=1), LIMITS
    )


def gotten(packed: Sequence[int], body: bytes) -> Frame:
    table = wire.get_reply_table(packed)
    frame = make_frame(MessageType.GET_PAGES, len(packed), table, body, request_id=1, is_reply=True)
    return decode_one(frame, LIMITS)


def asked(serials: Sequence[int]) -> Frame:
    table = wire.get_table(serials)
    return decode_one(make_frame(MessageType.GET_PAGES, len(serials), table, request_id=1), LIMITS)


def flush(*ranges: tuple[int, int]) -> Frame:
    table = wire.flush_table(ranges)
    return decode_one(make_frame(MessageType.FLUSH_PAGES, len(ranges), table), LIMITS)


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_what_fits_is_taken_as_it_stands(byteorder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bytes have the other order columns are copied, as they are turned."""
    monkeypatch.setattr(wire, "sys", SimpleNamespace(byteorder=byteorder))
    serials = [1, SERIAL_MAX, 7, 1 << 40, 2]
    parsed = PutPages.parse(put(serials, VALID, body_of(VALID)))
    assert (list(parsed.serials), list(parsed.checksums)) == (serials, [5] * 5)
    assert list(parsed.packed) == VALID
    assert list(wire.parse_get(asked(serials))) == serials
    packed = [0, *VALID, 0]
    assert wire.parse_get_reply(gotten(packed, body_of(packed)), len(packed)) == packed
    ranges = [(1, 1), (2, 9), (11, SERIAL_MAX)]
    assert columns.ranges_of(*wire.parse_flush(flush(*ranges))) == ranges


@pytest.mark.parametrize("packed", [*INVALID, 0])
@pytest.mark.parametrize("place", [0, 2])
def test_a_put_of_what_no_zpage_is(packed: int, place: int) -> None:
    codes = [9, 9]
    codes.insert(place, packed)
    with pytest.raises(
        RemoteProtocolError,
        match=f"^PUT_PAGES with codec and length {packed:#06x}: no such encoding$",
    ):
        PutPages.parse(put([1, 2, 3], codes, body_of(codes)))


@pytest.mark.parametrize("packed", INVALID)
def test_an_answer_of_what_no_zpage_is(packed: int) -> None:
    codes = [9, 0, packed]
    with pytest.raises(
        RemoteProtocolError,
        match=f"^answer to a GET_PAGES with codec and length {packed:#06x}: no such encoding$",
    ):
        wire.parse_get_reply(gotten(codes, body_of(codes)), 3)


@pytest.mark.parametrize("brings", [0, 9, 17, 19, PAGE_BYTES])
def test_zpages_that_are_longer_or_shorter_than_they_claim(brings: int) -> None:
    with pytest.raises(
        RemoteProtocolError, match=f"^PUT_PAGES claims 18 bytes of zpages and brings {brings}$"
    ):
        PutPages.parse(put([1, 2], [9, 9], bytes(brings)))
    with pytest.raises(
        RemoteProtocolError,
        match=f"^answer to a GET_PAGES claims 18 bytes of zpages and brings {brings}$",
    ):
        wire.parse_get_reply(gotten([9, 0, 9], bytes(brings)), 3)


@pytest.mark.parametrize("serial", [0, SERIAL_MAX + 1, (1 << 64) - 1])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("parse", "what"),
    [
        (lambda serials: PutPages.parse(put(serials, [9, 9], bytes(18))), "PUT_PAGES"),
        (lambda serials: wire.parse_get(asked(serials)), "GET_PAGES"),
        (
            lambda serials: wire.parse_flush(flush(*((each, each) for each in serials))),
            "FLUSH_PAGES",
        ),
    ],
    ids=["put", "get", "flush"],
)
def test_a_serial_that_none_can_have(
    parse: Callable[[list[int]], object], what: str, serial: int, place: int
) -> None:
    serials = [5]
    serials.insert(place, serial)
    with pytest.raises(
        RemoteProtocolError, match=f"^{what} of a serial outside 1 to {SERIAL_MAX}$"
    ):
        parse(serials)


@pytest.mark.parametrize(
    ("ranges", "why"),
    [
        ([(1, 2), (9, 5)], "of a range whose last serial is below its first"),
        ([(5, 9), (3, 4)], "of ranges that do not ascend, or share serials"),
        ([(5, 9), (9, 12)], "of ranges that do not ascend, or share serials"),
    ],
)
def test_ranges_that_are_none(ranges: list[tuple[int, int]], why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^FLUSH_PAGES {why}$"):
        wire.parse_flush(flush(*ranges))
