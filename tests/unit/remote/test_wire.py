"""LIST_PAGES: which pages of ours a holder keeps.  The other messages stand in the tests of those who send them."""

import pytest

from net.errors import RemoteProtocolError
from net.frame import Frame
from ramsterd.remote import wire
from ramsterd.remote.wire import (
    LIMITS,
    LISTED_PAGES_MAX,
    RANGES_PER_FRAME_MAX,
    SERIAL_MAX,
    MessageType,
    PageList,
)
from tests.helpers.links import decode_one, make_frame


def asked(table: bytes, count: int = 1) -> Frame:
    return decode_one(make_frame(MessageType.LIST_PAGES, count, table, request_id=1), LIMITS)


def answered(table: bytes, count: int) -> Frame:
    frame = make_frame(MessageType.LIST_PAGES, count, table, request_id=1, is_reply=True)
    return decode_one(frame, LIMITS)


def reply(ranges: list[tuple[int, int]], up_to: int = 100) -> Frame:
    return answered(wire.list_reply_table(PageList(ranges, up_to)), len(ranges))


def test_a_request_says_the_serial_that_it_begins_with() -> None:
    assert wire.parse_list(asked(wire.list_table(1))) == 1
    assert wire.parse_list(asked(wire.list_table(SERIAL_MAX))) == SERIAL_MAX


@pytest.mark.parametrize("first", [0, SERIAL_MAX + 1])
def test_a_request_from_no_serial_is_refused(first: int) -> None:
    with pytest.raises(RemoteProtocolError, match="LIST_PAGES of a serial outside 1 to"):
        wire.parse_list(asked(wire.list_table(first)))


def test_a_request_of_another_length_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="table of 7 bytes, expected 8"):
        wire.parse_list(asked(bytes(7)))


def test_a_list_arrives_as_it_was_said() -> None:
    listed = PageList([(3, 3), (5, 9), (10, 100)], 100)
    assert wire.parse_list_reply(reply(listed.ranges), 3) == listed


def test_a_list_may_name_nothing() -> None:
    assert wire.parse_list_reply(reply([], SERIAL_MAX), 9) == PageList([], SERIAL_MAX)


def test_a_list_may_be_as_long_as_its_frame_and_name_as_many_pages_as_it_may() -> None:
    pages = LISTED_PAGES_MAX // RANGES_PER_FRAME_MAX
    ranges = [
        (first, first + pages - 1)
        for first in range(1, RANGES_PER_FRAME_MAX * (pages + 1), pages + 1)
    ]
    assert len(ranges) == RANGES_PER_FRAME_MAX
    assert wire.parse_list_reply(reply(ranges, SERIAL_MAX), 1).ranges == ranges


@pytest.mark.parametrize(
    ("ranges", "why"),
    [
        ([(9, 5)], "last serial is below its first"),
        ([(5, 9), (3, 4)], "do not ascend"),
        ([(5, 9), (9, 12)], "share serials"),
        ([(4, 9)], "outside 5 to 100"),
        ([(5, 101)], "outside 5 to 100"),
        ([(0, 9)], "serial outside 1 to"),
        ([(5, SERIAL_MAX + 1)], "serial outside 1 to"),
    ],
)
def test_a_list_that_is_none_is_refused(ranges: list[tuple[int, int]], why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        wire.parse_list_reply(reply(ranges), 5)


def test_a_list_of_more_pages_than_one_answer_may_name_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="65537 pages, at most 65536"):
        wire.parse_list_reply(reply([(1, LISTED_PAGES_MAX + 1)], SERIAL_MAX), 1)


@pytest.mark.parametrize("up_to", [0, 4, SERIAL_MAX + 1])
def test_a_list_that_ends_before_it_began_or_nowhere_is_refused(up_to: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"up to serial {up_to}, not 5 to"):
        wire.parse_list_reply(reply([], up_to), 5)


@pytest.mark.parametrize("table", [b"", bytes(7), bytes(23), bytes(40)])
def test_a_list_of_another_length_than_it_says_is_refused(table: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=f"table of {len(table)} bytes for 1 ranges"):
        wire.parse_list_reply(answered(table, 1), 1)
