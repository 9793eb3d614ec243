"""Answers to LIST_PAGES, almost right."""

import struct

import pytest
from hypothesis import given, strategies as st

from net.errors import RemoteProtocolError
from ramsterd.remote import wire
from ramsterd.remote.wire import LIMITS, MessageType, PageList
from tests.helpers.links import decode_one, make_frame

# Gaps and lengths; so lists mostly ascend, and some do not.
steps = st.lists(st.tuples(st.integers(-1, 40), st.integers(-1, 40)), max_size=20)


@given(
    first=st.integers(1, 50), steps=steps, beyond=st.integers(-1, 40), tail=st.binary(max_size=1)
)
def test_an_answer_is_the_list_that_was_sent_or_an_error(
    first: int, steps: list[tuple[int, int]], beyond: int, tail: bytes
) -> None:
    ranges, last = [], first - 1
    for gap, more in steps:
        start = last + 1 + gap
        last = start + more
        ranges.append((start, last))
    words = [max(0, last + beyond), *(a for a, _ in ranges), *(b for _, b in ranges)]
    table = struct.pack(f"<{len(words)}Q", *(max(0, each) for each in words)) + tail
    frame = decode_one(
        make_frame(MessageType.LIST_PAGES, len(ranges), table, request_id=1, is_reply=True), LIMITS
    )
    is_right = (
        not tail
        and beyond >= 0
        and last + beyond >= first
        and all(gap >= 0 and more >= 0 for gap, more in steps)
    )
    if is_right:
        listed = wire.parse_list_reply(frame, first)
        assert listed == PageList(ranges, last + beyond)
        assert wire.list_reply_table(listed) == frame.table
    else:
        with pytest.raises(RemoteProtocolError):
            wire.parse_list_reply(frame, first)
