"""docs/protocol.md names every number that travels, as the code has it."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from config.limits import MEMBERSHIP_VERSION_MAX, NAME_BYTES_MAX, NODE_NUMBER_MAX, NODES_MAX
from config.model import TimersConfig
from heartbeat import datagram, seal
from heartbeat.datagram import DatagramKind
from heartbeat.datagram_filter import PROCESS_SHIFT
from net import connection, hello, listener, packing, peerlink, tls
from net.frame import (
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    LINK_LIMITS,
    MAGIC,
    PROTOCOL_VERSION,
    Flag,
    FrameLimits,
    LinkType,
)
from nodemanager.changes import ANCESTORS_MAX
from nodemanager.incarnations import ATTACH_COUNT_MAX
from nodemanager.table import PeerStatus
from ramsterd.asking.messages import ALL_LIMITS, AskingMessage
from ramsterd.core.page import INDEX_MAX
from ramsterd.frontends.nbd.protocol import Command, CommandFlag, Info, Option
from ramsterd.frontends.tmem import messages as tmem
from ramsterd.membership import messages
from ramsterd.membership.messages import MemberMessage
from ramsterd.remote.wire import LIMITS, LISTED_PAGES_MAX, SERIAL_MAX, MessageType, PutResult

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text()
# A sentence may be wrapped.
SENTENCES = " ".join(TEXT.split())


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    below = TEXT.split(f"\n## {heading}\n")[1]
    table = re.search(r"((?:^\|.*\|\n)+)", below, re.MULTILINE)
    assert table is not None
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table.group(1).splitlines()[2:]
    ]


def section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_every_type_of_a_frame_stands_there_with_its_number_and_what_it_carries() -> None:
    links = section("Frames of the link") + section("Frames about pages")
    named = dict(
        re.findall(
            r"^\| (\d+) ([A-Z_]+) \|",
            links + section("Frames about members") + section("Frames about other nodes"),
            re.MULTILINE,
        )
    )
    assert {int(number): name for number, name in named.items()} == {
        each.value: each.name for each in (*LinkType, *MessageType, *MemberMessage, *AskingMessage)
    }


def test_every_type_of_a_frame_stands_there_with_its_limits() -> None:
    limits: Mapping[int, FrameLimits] = {**LINK_LIMITS, **ALL_LIMITS}
    names = {
        each.value: each.name for each in (*LinkType, *MessageType, *MemberMessage, *AskingMessage)
    }
    assert rows("Limits of each frame") == [
        [
            f"{number:d} {names[number]}",
            str(limit.count_max),
            str(limit.table_bytes_max),
            str(limit.body_bytes_max),
        ]
        for number, limit in limits.items()
    ]


def test_counts_are_those_of_the_code() -> None:
    for each in (MessageType.PUT_PAGES, MessageType.GET_PAGES, MessageType.FLUSH_PAGES):
        assert f"| {each.value} {each.name} | " in TEXT
        assert re.search(rf"{each.name} \| \w+, 1 to {LIMITS[each].count_max} \|", TEXT)
    assert f"ranges, 0 to {LIMITS[MessageType.LIST_PAGES].count_max}: up to serial" in TEXT
    assert f"of {LISTED_PAGES_MAX} pages at most" in TEXT
    assert f"header of {HEADER_BYTES} bytes" in TEXT
    assert FRAME_BYTES_MAX == 1 << 20
    assert SERIAL_MAX == INDEX_MAX == (1 << 48) - 1 == MEMBERSHIP_VERSION_MAX


@pytest.mark.parametrize(
    "phrase",
    [
        f"| magic | u16 | {MAGIC:#06x}",
        f"| version | u8 | {PROTOCOL_VERSION} |",
        f"| flags | u8 | {Flag.REPLY:d}: this is a reply",
        f"A greeting may take {connection.HELLO_SECONDS_MAX:g} s",
        f"At most {listener.GREETINGS_MAX} connections",
        f"At most {connection.REQUESTS_IN_FLIGHT_MAX} requests",
        f"when {peerlink.SEND_QUEUE_BYTES_MAX >> 20} MiB wait",
        f"at most {packing.MESSAGE_BYTES_MAX >> 10} KiB, strings of {packing.STRING_BYTES_MAX} bytes",
        f"lists of {packing.ARRAY_ITEMS_MAX} items, maps of {packing.MAP_ITEMS_MAX}",
        f"| cluster name | text | 1 to {NAME_BYTES_MAX} bytes",
        f"| node number | int | 0 to {NODE_NUMBER_MAX} |",
        f"| attach count | int | 0 to 2^{ATTACH_COUNT_MAX.bit_length()} - 1 |",
        f"at its attach count, shifted by {PROCESS_SHIFT} bits",
        f"at most {hello.CODECS_MAX} of {hello.CODEC_BYTES_MAX} bytes",
        f"{TimersConfig().keepalive_seconds:g} s) of own silence",
        f"`idle_seconds` ({TimersConfig().idle_seconds:g} s)",
        f"members, at most {NODES_MAX} |",
        f"| at most {ANCESTORS_MAX} |",
        f"at most {messages.GROUPS_MAX} groups of",
        f"up to {messages.NODES_PER_GROUP_MAX} members; a node sends at most {messages.NODES_PER_GROUP} in one",
        f"Each member is [{', '.join(messages.KEYS)}]",
        f"0x{datagram.MAGIC:04x}",
        f"| version | u8 | {datagram.VERSION} |",
        f"head of {datagram.HEAD_BYTES} bytes",
        f"0 to {datagram.ROWS_MAX} rows of {datagram.ROW_BYTES} bytes",
        f"{seal.DATAGRAM_BYTES_MAX} bytes at most",
        f"within {seal.WINDOW_DATAGRAMS} of the highest",
        ", ".join(f"{kind.value} {kind.name}" for kind in DatagramKind),
        ", ".join(f"{each.value} {each.name.lower().replace('_', ' ')}" for each in PutResult),
    ],
)
def test_a_number_of_the_code_stands_there(phrase: str) -> None:
    assert phrase in SENTENCES


def test_the_wait_of_an_alert_is_that_of_the_code() -> None:
    assert tls.ALERT_SECONDS_MAX == 1.0
    assert "waits up to a second for the other side to close" in SENTENCES


def test_each_field_of_hello_and_status_stands_there() -> None:
    assert [row[0] for row in field_rows("field of HELLO")] == [
        "protocol version", "cluster name", "node number", "node name", "incarnation",
        "unit bytes", "codecs", "timers", "attach count", "features",
    ]  # fmt: skip
    timers = next(row for row in field_rows("field of HELLO") if row[0] == "timers")
    assert [name.replace(" ", "_") for name in timers[2].split(":")[0].split(", ")] == [
        timer.removesuffix("_seconds") for timer in hello.TIMERS
    ]
    assert len(field_rows("field of STATUS")) == len(fields(PeerStatus))


def field_rows(head: str) -> list[list[str]]:
    table = re.search(rf"^\| {head} \|.*\n\|.*\n((?:^\|.*\|\n)+)", TEXT, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def test_the_tmem_socket_stands_there() -> None:
    heading = "The tmem socket, towards programs"
    assert [row[0] for row in rows(heading)] == [
        f"{each.value} {each.name}" for each in tmem.TmemType
    ]
    text = section(heading)
    for enum in (tmem.PageState, tmem.ErrorCode):
        assert ", ".join(f"{each.value} {each.name}" for each in enum) in " ".join(text.split())
    assert f"Version {tmem.VERSION}," in text
    limits = [int(number) for number in re.findall(r"^\| [^|]+ \| (\d+) \|$", text, re.MULTILINE)]
    assert limits == [
        tmem.PAGES_PER_FRAME_MAX,
        tmem.REQUESTS_IN_FLIGHT_MAX,
        tmem.IN_FLIGHT_BYTES_MAX,
        tmem.CONTROL_BYTES_MAX,
        tmem.ERROR_TEXT_BYTES_MAX,
        tmem.NAME_BYTES_MAX,
        tmem.OBJECT_ID_BYTES_MAX,
        int(tmem.HELLO_SECONDS_MAX),
    ]


def test_what_nbd_clients_may_say_stands_there() -> None:
    text = section("NBD, towards clients")
    for each in (*Option, *Command, *CommandFlag, *Info):
        assert re.search(rf"\b{each.name}\b", text), each
