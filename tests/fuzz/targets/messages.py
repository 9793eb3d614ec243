"""Any frame about pages is a message that is the same when encoded again, or RemoteProtocolError; a zpage in it is one page or CorruptPage."""

import random
from collections.abc import Callable, Mapping
from typing import Final

from config.limits import PAGE_BYTES
from config.model import PoolCodec
from net.errors import RemoteProtocolError
from net.frame import Frame
from nodemanager.ids import Incarnation
from nodemanager.table import PeerStatus
from ramsterd.core.codec import (
    ZPAGE_BYTES_MASK,
    checksum_of,
    compressor_of,
    decode_page,
    encode_page,
    is_packed_valid,
)
from ramsterd.core.page import CorruptPage, PoolKind
from ramsterd.remote import wire
from ramsterd.remote.wire import LIMITS, MessageType, PageList, PutPages
from tests.fuzz.decoding import decoded
from tests.fuzz.repairing import Parts, change_field, repair_frames
from tests.fuzz.target import Target
from tests.helpers import columns
from tests.helpers.links import make_frame

WORD: Final = 8
PAGE: Final = bytes(range(256)) * 16
LISTED_FROM: Final = 7
NOISE: Final = random.Random(1).randbytes(PAGE_BYTES)


def check_put(found: Frame) -> set[str]:
    put = PutPages.parse(found)
    assert wire.put_table(put.kind, put.serials, put.checksums, put.packed) == found.table
    assert len(put.serials) == len(put.checksums) == len(put.packed) == found.count
    return {f"put {put.kind.value}"} | unpack_all(list(put.packed), list(put.checksums), put.body)


def check_get_reply(found: Frame) -> set[str]:
    packed = wire.parse_get_reply(found, found.count)
    assert wire.get_reply_table(packed) == found.table
    missing = {"missing"} if 0 in packed else set()
    return missing | unpack_all([each for each in packed if each], [], found.body)


def unpack_all(packed: list[int], checksums: list[int], body: memoryview) -> set[str]:
    """Unpack zpages as their owner would, with the checksum that comes along or, if none does, any."""
    outcomes: set[str] = set()
    start = 0
    for place, each in enumerate(packed):
        end = start + (each & ZPAGE_BYTES_MASK)
        assert end <= len(body)
        checksum = checksums[place] if checksums else checksum_of(PAGE)
        try:
            page = decode_page(each, body[start:end], checksum)
        except CorruptPage:
            outcomes.add("corrupt page")
        else:
            assert len(page) == PAGE_BYTES
            outcomes.add("page")
        start = end
    assert start == len(body)
    return outcomes


def check_put_reply(found: Frame) -> set[str]:
    results = wire.parse_put_reply(found, found.count or 1)
    assert results == found.table
    return {"put reply"}


def check_get(found: Frame) -> set[str]:
    serials = wire.parse_get(found)
    assert wire.get_table(serials) == found.table
    return {"get"}


def check_flush(found: Frame) -> set[str]:
    ranges = columns.ranges_of(*wire.parse_flush(found))
    assert wire.flush_table(ranges) == found.table
    return {"flush"}


def check_flush_owner(found: Frame) -> set[str]:
    assert wire.owner_table(wire.parse_flush_owner(found)) == found.table
    return {"flush owner"}


def check_recall(found: Frame) -> set[str]:
    assert wire.recall_table(wire.parse_recall(found)) == found.table
    return {"recall"}


def check_list(found: Frame) -> set[str]:
    assert wire.list_table(wire.parse_list(found)) == found.table
    return {"list"}


def check_list_reply(found: Frame) -> set[str]:
    listed = wire.parse_list_reply(found, LISTED_FROM)
    assert wire.list_reply_table(listed) == found.table
    serials = [serial for each in listed.ranges for serial in each]
    assert serials == sorted(serials)
    assert all(LISTED_FROM <= each <= listed.up_to <= wire.SERIAL_MAX for each in serials)
    assert sum(last - first + 1 for first, last in listed.ranges) <= wire.LISTED_PAGES_MAX
    return {"list reply" if serials else "empty list"}


def check_status(found: Frame) -> set[str]:
    status = wire.parse_status(found)
    again = decoded(make_frame(MessageType.STATUS, 1, wire.status_message(status)), LIMITS)
    assert wire.parse_status(again[0]) == status
    return {"status"}


PARSERS: Final[Mapping[tuple[int, bool], Callable[[Frame], set[str]]]] = {
    (MessageType.STATUS, False): check_status,
    (MessageType.PUT_PAGES, False): check_put,
    (MessageType.PUT_PAGES, True): check_put_reply,
    (MessageType.GET_PAGES, False): check_get,
    (MessageType.GET_PAGES, True): check_get_reply,
    (MessageType.FLUSH_PAGES, False): check_flush,
    (MessageType.FLUSH_OWNER, False): check_flush_owner,
    (MessageType.RECALL, False): check_recall,
    (MessageType.LIST_PAGES, False): check_list,
    (MessageType.LIST_PAGES, True): check_list_reply,
}


def check(data: bytes) -> set[str]:
    outcomes: set[str] = set()
    for found in decoded(data, LIMITS):
        parse = PARSERS.get((found.type, found.is_reply))
        try:
            outcomes |= parse(found) if parse else {"no parser"}
        except RemoteProtocolError as error:
            assert str(error).isprintable(), "it stands in a log"
            outcomes.add(f"refused {found.type}")
    return outcomes


def put(kind: PoolKind, pages: list[tuple[int, bytes, int]]) -> bytes:
    serials = list(range(1, len(pages) + 1))
    packed, zpages, checksums = zip(*pages, strict=True)
    table = wire.put_table(kind, serials, checksums, packed)
    return make_frame(MessageType.PUT_PAGES, len(pages), table, b"".join(zpages), request_id=1)


def got(pages: list[tuple[int, bytes, int]]) -> bytes:
    packed, zpages, _ = zip(*pages, strict=True)
    table = wire.get_reply_table(packed)
    body = b"".join(zpages)
    return make_frame(MessageType.GET_PAGES, len(pages), table, body, request_id=1, is_reply=True)


def listed(ranges: list[tuple[int, int]], up_to: int) -> bytes:
    table = wire.list_reply_table(PageList(ranges, up_to))
    return make_frame(MessageType.LIST_PAGES, len(ranges), table, request_id=1, is_reply=True)


def seeds() -> Mapping[str, bytes]:
    lz4, raw = encode_page(PAGE), encode_page(NOISE)
    zstd = encode_page(PAGE, compressor_of(PoolCodec.ZSTD))
    status = PeerStatus(
        budget_bytes=1 << 29, free_bytes=1 << 28, is_accepting=True, pressure=0.5, pages_held_for_us=9
    )  # fmt: skip
    return {
        "status": make_frame(MessageType.STATUS, 1, wire.status_message(status)),
        "put": put(PoolKind.PERSISTENT, [lz4, zstd]),
        "put-raw": put(PoolKind.EPHEMERAL, [raw]),
        "put-reply": make_frame(MessageType.PUT_PAGES, 3, b"\0\1\2", request_id=1, is_reply=True),
        "get": make_frame(MessageType.GET_PAGES, 2, wire.get_table([1, 1 << 40]), request_id=1),
        "get-reply": got([lz4, (0, b"", 0), zstd]),
        "flush": make_frame(MessageType.FLUSH_PAGES, 2, wire.flush_table([(1, 5), (9, 9)])),
        "flush-owner": make_frame(MessageType.FLUSH_OWNER, 1, wire.owner_table(Incarnation(7))),
        "long-body": put(PoolKind.PERSISTENT, [lz4, (lz4[0], lz4[1] + b"x", lz4[2])]),
        "recall": make_frame(MessageType.RECALL, 1, wire.recall_table(wire.PAGES_ANY)),
        "list": make_frame(MessageType.LIST_PAGES, 1, wire.list_table(LISTED_FROM), request_id=1),
        "list-reply": listed([(7, 9), (12, 1 << 15)], wire.SERIAL_MAX),
        "empty-list": listed([], 7),
        "list-of-too-many": listed([(8, 1 << 20)], 1 << 30),
        "wrong": b"".join(
            make_frame(kind, 1, bytes(7), request_id=1, is_reply=is_reply)
            for kind, is_reply in PARSERS
        ),
        "corrupt": put(PoolKind.PERSISTENT, [(lz4[0], lz4[1], 1)]),
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    def repair_parts(
        frame_type: int, is_reply: bool, count: int, table: bytes, body: bytes
    ) -> Parts:
        if rng.random() < 0.15:
            return count, table, body
        if is_reply:
            return repair_reply(frame_type, count, table, body)
        if frame_type == MessageType.STATUS and rng.random() < 0.5:
            table = change_field(table, rng)
        return repair_request(frame_type, count, table, body)

    return repair_frames(data, LIMITS, repair_parts)


def repair_request(frame_type: int, count: int, table: bytes, body: bytes) -> Parts:
    match frame_type:
        case MessageType.PUT_PAGES:
            return repair_put(table, body)
        case MessageType.GET_PAGES:
            return len(table) // WORD, repair_serials(table[: len(table) // WORD * WORD]), b""
        case MessageType.FLUSH_PAGES:
            count = len(table) // (2 * WORD)
            return count, repair_serials(table[: 2 * WORD * count]), b""
        case MessageType.FLUSH_OWNER | MessageType.RECALL | MessageType.LIST_PAGES:
            return 1, table[:WORD].ljust(WORD, b"\0"), b""
        case _:
            return count, table[: LIMITS[frame_type].table_bytes_max], b""


def repair_reply(frame_type: int, count: int, table: bytes, body: bytes) -> Parts:
    match frame_type:
        case MessageType.PUT_PAGES:
            return min(len(table), 128), bytes(each % 4 for each in table[:128]), b""
        case MessageType.GET_PAGES:
            return repair_got(table, body)
        case MessageType.LIST_PAGES:
            return repair_listed(table)
        case _:
            return count, table, body


def repair_listed(table: bytes) -> Parts:
    """Return ranges that ascend, each of a few pages."""
    count = max(0, len(table) - WORD) // (2 * WORD)
    if not count:
        return 0, table[:WORD].ljust(WORD, b"\0")[:6] + b"\0\0", b""
    steps, first, ranges = table[WORD:], LISTED_FROM, []
    for at in range(count):
        first += steps[2 * at] + 1
        ranges.append((first, first + steps[2 * at + 1]))
        first = ranges[-1][1] + 1
    up_to = min(wire.SERIAL_MAX, first - 1 + (int.from_bytes(table[:WORD], "little") >> 16))
    return count, wire.list_reply_table(PageList(ranges, up_to)), b""


def repair_serials(column: bytes) -> bytes:
    """Clear the two high bytes of each word: serials are of 48 bits."""
    return b"".join(column[at : at + 6] + b"\0\0" for at in range(0, len(column), WORD))


def repair_put(table: bytes, body: bytes) -> Parts:
    count = min((len(table) - WORD) // (2 * WORD + 2), 128)
    if count < 1:
        return 1, table, body
    words, packed = table[WORD:][: 2 * count * WORD], table[WORD + 2 * count * WORD :]
    lengths, body = repair_zpages(packed[: 2 * count], body)
    serials = repair_serials(words[: count * WORD])
    kind = (table[0] & 1).to_bytes(WORD, "little")
    return count, kind + serials + words[count * WORD :] + lengths, body


def repair_got(table: bytes, body: bytes) -> Parts:
    count = min(len(table) // 2, 128)
    return count, *repair_zpages(table[: 2 * count], body)


def repair_zpages(column: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return lengths that can be and a body that is as long as they say."""
    repaired, total = b"", 0
    for at in range(0, len(column), 2):
        code = int.from_bytes(column[at : at + 2], "little")
        code = code if not code or is_packed_valid(code) else 1 + code % 200
        repaired += code.to_bytes(2, "little")
        total += code & ZPAGE_BYTES_MASK
    return repaired, body[:total].ljust(total, b"\x55")


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        ["put persistent", "put ephemeral", "put reply", "get", "missing", "page", "corrupt page", "flush"]
        + ["flush owner", "recall", "status", "list", "list reply", "empty list"]
        + [f"refused {kind:d}" for kind in MessageType]
    ),
    repair=repair,
    bytes_max=8192,
)  # fmt: skip
