"""docs/protocol.md names every number that travels."""

import re
from pathlib import Path

from net.frame import FRAME_BYTES_MAX, HEADER_BYTES, LinkType
from ramsterd.core.page import INDEX_MAX
from ramsterd.member_messages import MemberMessage
from ramsterd.remote.messages import LIMITS, SERIAL_MAX, MessageType

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "protocol.md").read_text()


def test_every_type_stands_there_with_its_number() -> None:
    named = dict(re.findall(r"^\| (\d+) ([A-Z_]+) \|", TEXT, re.MULTILINE))
    assert {int(number): name for number, name in named.items()} == {
        each.value: each.name for each in (*LinkType, *MessageType, *MemberMessage)
    }


def test_counts_are_those_of_the_code() -> None:
    for each in (MessageType.PUT_PAGES, MessageType.GET_PAGES, MessageType.FLUSH_PAGES):
        assert f"| {each.value} {each.name} | " in TEXT
        assert re.search(rf"{each.name} \| \w+, 1 to {LIMITS[each].count_max} \|", TEXT)
    assert f"header of {HEADER_BYTES} bytes" in TEXT
    assert FRAME_BYTES_MAX == 1 << 20
    assert SERIAL_MAX == INDEX_MAX == (1 << 48) - 1
