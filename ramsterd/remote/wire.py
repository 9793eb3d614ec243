"""What nodes say to each other about pages: packed tables, parsed once, on arrival.

Pages are named by the owner's serials alone; the owner is who the link says it is.  Tables are
columns, little-endian, so that a frame of many pages is packed and parsed by a few calls.

    STATUS       msgpack [budget bytes, free bytes, accepting, pressure, pages held for you]     no answer
    PUT_PAGES    kind u64 | serial u64 * n | checksum u64 * n | packed u16 * n | zpages          outcome u8 * n
    GET_PAGES    serial u64 * n                                                packed u16 * n (0: missing) | zpages
    FLUSH_PAGES  first serial u64 * n | last serial u64 * n                                      no answer
    FLUSH_OWNER  last incarnation u64: drop all that this and earlier incarnations of the sender own    no answer
    RECALL       pages u64: keep at most so many of your pages here; `PAGES_ANY` ends a recall   no answer
    LIST_PAGES   first serial u64      up to serial u64 | first serial u64 * n | last serial u64 * n
"""

import enum
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, cast

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from net.frame import APPLICATION_TYPE_MIN, FRAME_BYTES_MAX, Frame, FrameLimits
from net.packing import pack_fields, unpack_fields
from nodemanager.ids import Incarnation
from nodemanager.table import PeerStatus
from ramsterd import compiled
from ramsterd.core.codec import ZPAGE_BYTES_MASK, is_packed_valid
from ramsterd.core.page import INDEX_MAX, PoolKind
from ramsterd.core.twin_hold import Column


class MessageType(enum.IntEnum):
    """Frame types of page traffic.  Append only.

    The protocol version that added each stands beside it.
    """

    STATUS = 16  # version 1
    PUT_PAGES = 17  # version 1
    GET_PAGES = 18  # version 1
    FLUSH_PAGES = 19  # version 1
    FLUSH_OWNER = 20  # version 1
    RECALL = 21  # version 1
    LIST_PAGES = 22  # version 1


class PutResult(enum.IntEnum):
    """What a holder did with one page of a PUT."""

    STORED = 0
    NO_ROOM = 1
    NOT_ACCEPTING = 2


PAGES_PER_FRAME_MAX: Final = 128
RANGES_PER_FRAME_MAX: Final = 2048
# Pages that one answer to a LIST_PAGES names: what an owner makes of it is bounded, whatever a
# holder claims.
LISTED_PAGES_MAX: Final = 1 << 16
STATUS_BYTES_MAX: Final = 256
# The bound of a RECALL that is none.
PAGES_ANY: Final = (1 << 64) - 1
# A serial is an index in the owner's pool at its holder.
SERIAL_MAX: Final = INDEX_MAX
_WORD: Final = 8
_PUT_PAGE_BYTES: Final = 2 * _WORD + 2
_KINDS: Final = {0: PoolKind.PERSISTENT, 1: PoolKind.EPHEMERAL}
_KIND_CODES: Final = {kind: code for code, kind in _KINDS.items()}

LIMITS: Final[dict[int, FrameLimits]] = {
    MessageType.STATUS: FrameLimits(1, STATUS_BYTES_MAX, 0),
    MessageType.PUT_PAGES: FrameLimits(
        PAGES_PER_FRAME_MAX,
        _WORD + PAGES_PER_FRAME_MAX * _PUT_PAGE_BYTES,
        PAGES_PER_FRAME_MAX * PAGE_BYTES,
    ),
    MessageType.GET_PAGES: FrameLimits(
        PAGES_PER_FRAME_MAX, PAGES_PER_FRAME_MAX * _WORD, PAGES_PER_FRAME_MAX * PAGE_BYTES
    ),
    MessageType.FLUSH_PAGES: FrameLimits(RANGES_PER_FRAME_MAX, RANGES_PER_FRAME_MAX * 2 * _WORD, 0),
    MessageType.FLUSH_OWNER: FrameLimits(1, _WORD, 0),
    MessageType.RECALL: FrameLimits(1, _WORD, 0),
    MessageType.LIST_PAGES: FrameLimits(
        RANGES_PER_FRAME_MAX, _WORD + RANGES_PER_FRAME_MAX * 2 * _WORD, 0
    ),
}

assert min(MessageType) >= APPLICATION_TYPE_MIN
assert set(LIMITS) == set(MessageType)
assert all(
    limits.table_bytes_max + limits.body_bytes_max + _WORD * _WORD <= FRAME_BYTES_MAX
    for limits in LIMITS.values()
), "a full frame of raw pages fits"


def _column(code: str, values: Iterable[int]) -> bytes:
    column = array(code, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _view_column(code: str, table: memoryview) -> Column:
    if sys.byteorder == "little":
        return table.cast(code)  # type: ignore[call-overload,no-any-return]  # one of two codes
    column = array(code)
    column.frombytes(table)
    column.byteswap()
    return column


def _check_table(frame: Frame, bytes_expected: int, what: str) -> None:
    if frame.count < 1 and what != "STATUS":
        raise RemoteProtocolError(f"{what} of {frame.count} entries, expected 1 or more")
    if len(frame.table) != bytes_expected:
        raise RemoteProtocolError(
            f"{what} with a table of {len(frame.table)} bytes, expected {bytes_expected}"
        )


def _check_serials(column: Column, what: str) -> None:
    if compiled.loops is not None and compiled.loops.are_serials(column, SERIAL_MAX):
        return
    serials = column.tolist()
    if min(serials) < 1 or max(serials) > SERIAL_MAX:
        raise RemoteProtocolError(f"{what} of a serial outside 1 to {SERIAL_MAX}")


@dataclass(frozen=True, slots=True)
class PutPages:
    """Parallel columns, one entry a page; `body` holds the zpages back to back.  All are views of the frame."""

    kind: PoolKind
    serials: Column
    checksums: Column
    packed: Column
    body: memoryview

    @classmethod
    def parse(cls, frame: Frame) -> "PutPages":
        """Return the message.

        Raises:
            RemoteProtocolError: Anything in it does not fit anything else.
        """
        count, table = frame.count, frame.table
        _check_table(frame, _WORD + count * _PUT_PAGE_BYTES, "PUT_PAGES")
        code = int.from_bytes(table[:_WORD], "little")
        if code not in _KINDS:
            raise RemoteProtocolError(f"PUT_PAGES of pool kind {code}, expected 0 or 1")
        words = _view_column("Q", table[_WORD : _WORD + 2 * count * _WORD])
        packed = _view_column("H", table[_WORD + 2 * count * _WORD :])
        serials, checksums = words[:count], words[count:]
        _check_serials(serials, "PUT_PAGES")
        _check_zpages(packed, frame.body, "PUT_PAGES")
        return cls(_KINDS[code], serials, checksums, packed, frame.body)


def _check_zpages(column: Column, body: memoryview, what: str, *, may_miss: bool = False) -> None:
    """Check lengths that a peer claims against the bytes that it sent; 0: a page that is missing, if that may be."""
    if compiled.loops is not None and compiled.loops.are_zpages(column, len(body), may_miss):
        return
    packed = [code for code in column.tolist() if code or not may_miss]
    for code in packed:
        if not is_packed_valid(code):
            raise RemoteProtocolError(f"{what} with codec and length {code:#06x}: no such encoding")
    claimed = sum([code & ZPAGE_BYTES_MASK for code in packed])
    if claimed != len(body):
        raise RemoteProtocolError(f"{what} claims {claimed} bytes of zpages and brings {len(body)}")


def put_table(
    kind: PoolKind, serials: Sequence[int], checksums: Sequence[int], packed: Sequence[int]
) -> bytes:
    """Return the table of a PUT_PAGES."""
    code = _KIND_CODES[kind].to_bytes(_WORD, "little")
    return b"".join((code, _column("Q", serials), _column("Q", checksums), _column("H", packed)))


def parse_put_reply(frame: Frame, pages_count: int) -> bytes:
    """Return one `PutResult` for each page.

    Raises:
        RemoteProtocolError: Another number of pages, or an unknown result.
    """
    results = bytes(frame.table)
    if frame.count != pages_count or len(results) != pages_count:
        raise RemoteProtocolError(f"answer to a PUT of {pages_count} pages speaks of {frame.count}")
    if max(results) > max(PutResult):
        raise RemoteProtocolError(f"PUT result {max(results)}, at most {max(PutResult)}")
    return results


def get_table(serials: Sequence[int]) -> bytes:
    """Return the table of a GET_PAGES."""
    return _column("Q", serials)


def parse_get(frame: Frame) -> Column:
    """Return the serials asked for.

    Raises:
        RemoteProtocolError: The table is not that of a GET.
    """
    _check_table(frame, frame.count * _WORD, "GET_PAGES")
    serials = _view_column("Q", frame.table)
    _check_serials(serials, "GET_PAGES")
    return serials


def get_reply_table(packed: Sequence[int]) -> bytes:
    """Return the table of the answer to a GET_PAGES."""
    return _column("H", packed)


def parse_get_reply(frame: Frame, pages_count: int) -> list[int]:
    """Return the packed number of each page, 0 for one that is missing; the zpages are the body.

    Raises:
        RemoteProtocolError: Another number of pages, or lengths that do not fit the body.
    """
    _check_table(frame, frame.count * 2, "answer to a GET_PAGES")
    if frame.count != pages_count:
        raise RemoteProtocolError(f"answer to a GET of {pages_count} pages speaks of {frame.count}")
    packed = _view_column("H", frame.table)
    _check_zpages(packed, frame.body, "answer to a GET_PAGES", may_miss=True)
    return packed.tolist()


def flush_table(ranges: Sequence[tuple[int, int]]) -> bytes:
    """Return the table of a FLUSH_PAGES of (first, last) ranges."""
    return _column("Q", [first for first, _ in ranges]) + _column("Q", [last for _, last in ranges])


def parse_flush(frame: Frame) -> tuple[Column, Column]:
    """Return the first and the last serial of each range; ranges ascend and share nothing.

    Raises:
        RemoteProtocolError: A range that is none, or out of order.
    """
    _check_table(frame, frame.count * 2 * _WORD, "FLUSH_PAGES")
    return _view_ranges(frame.table, frame.count, "FLUSH_PAGES")


def _view_ranges(table: memoryview, count: int, what: str) -> tuple[Column, Column]:
    words = _view_column("Q", table)
    firsts, lasts = words[:count], words[count:]
    if compiled.loops is not None and compiled.loops.are_ranges(firsts, lasts, SERIAL_MAX):
        return firsts, lasts
    _check_serials(words, what)
    ranges = list(zip(firsts, lasts, strict=True))
    if any(first > last for first, last in ranges):
        raise RemoteProtocolError(f"{what} of a range whose last serial is below its first")
    if any(before[1] >= after[0] for before, after in pairwise(ranges)):
        raise RemoteProtocolError(f"{what} of ranges that do not ascend, or share serials")
    return firsts, lasts


def list_table(first: int) -> bytes:
    """Return the table of a LIST_PAGES."""
    return struct.pack("<Q", first)


def parse_list(frame: Frame) -> int:
    """Return the serial that the list is to begin with.

    Raises:
        RemoteProtocolError: The table is not one serial.
    """
    _check_table(frame, _WORD, "LIST_PAGES")
    first = int.from_bytes(frame.table, "little")
    _check_serials(array("Q", [first]), "LIST_PAGES")
    return first


@dataclass(frozen=True, slots=True)
class PageList:
    """All serials that a holder keeps, from the one that was asked for to `up_to`, as (first, last) ranges."""

    ranges: list[tuple[int, int]]
    up_to: int


def list_reply_table(listed: PageList) -> bytes:
    """Return the table of the answer to a LIST_PAGES."""
    return struct.pack("<Q", listed.up_to) + flush_table(listed.ranges)


def parse_list_reply(frame: Frame, first: int) -> PageList:
    """Return what a holder keeps from the serial `first` on.

    Raises:
        RemoteProtocolError: Ranges that are none, out of order, outside what they tell of, or of
            too many pages.
    """
    what = "answer to a LIST_PAGES"
    if len(frame.table) != _WORD * (1 + 2 * frame.count):
        raise RemoteProtocolError(
            f"{what} with a table of {len(frame.table)} bytes for {frame.count} ranges"
        )
    up_to = int.from_bytes(frame.table[:_WORD], "little")
    if not first <= up_to <= SERIAL_MAX:
        raise RemoteProtocolError(f"{what} up to serial {up_to}, not {first} to {SERIAL_MAX}")
    if not frame.count:
        return PageList([], up_to)
    ranges = list(zip(*_view_ranges(frame.table[_WORD:], frame.count, what), strict=True))
    if ranges[0][0] < first or ranges[-1][1] > up_to:
        raise RemoteProtocolError(f"{what} of serials outside {first} to {up_to}")
    pages = sum(after - before + 1 for before, after in ranges)
    if pages > LISTED_PAGES_MAX:
        raise RemoteProtocolError(f"{what} of {pages} pages, at most {LISTED_PAGES_MAX}")
    return PageList(ranges, up_to)


def serial_ranges(serials: Iterable[int]) -> list[tuple[int, int]]:
    """Return the (first, last) ranges that hold just these serials."""
    ranges: list[tuple[int, int]] = []
    first = last = 0
    for serial in sorted(serials):
        if first and serial <= last + 1:
            last = serial
            continue
        if first:
            ranges.append((first, last))
        first = last = serial
    if first:
        ranges.append((first, last))
    return ranges


def owner_table(incarnation: Incarnation) -> bytes:
    """Return the table of a FLUSH_OWNER."""
    return struct.pack("<Q", incarnation)


def parse_flush_owner(frame: Frame) -> Incarnation:
    """Return the last incarnation whose pages go.

    Raises:
        RemoteProtocolError: The table is not one incarnation.
    """
    _check_table(frame, _WORD, "FLUSH_OWNER")
    return Incarnation(int.from_bytes(frame.table, "little"))


def recall_table(pages_max: int) -> bytes:
    """Return the table of a RECALL."""
    return struct.pack("<Q", pages_max)


def parse_recall(frame: Frame) -> int:
    """Return how many pages of ours the sender keeps at most.

    Raises:
        RemoteProtocolError: The table is not one number.
    """
    _check_table(frame, _WORD, "RECALL")
    return int.from_bytes(frame.table, "little")


def status_message(status: PeerStatus) -> bytes:
    """Return a STATUS for one peer."""
    return pack_fields(
        [
            status.budget_bytes,
            status.free_bytes,
            status.is_accepting,
            status.pressure,
            status.pages_held_for_us,
            status.put_bytes_per_second,
        ]
    )


def parse_status(frame: Frame) -> PeerStatus:
    """Return what a peer says of itself.

    Raises:
        RemoteProtocolError: Not a status, or figures that can't be.
    """
    fields = unpack_fields(bytes(frame.table), (int, int, bool, float, int, int))
    budget, free, is_accepting, pressure, held, rate = cast(
        "tuple[int, int, bool, float, int, int]", fields
    )
    if not (0 <= free <= budget and 0 <= pressure <= 1 and held >= 0 and rate >= 0):
        raise RemoteProtocolError(
            f"STATUS with {free} free of {budget} bytes, pressure {pressure}, {held} pages held, {rate} bytes a second"
        )
    return PeerStatus(
        budget_bytes=budget,
        free_bytes=free,
        is_accepting=is_accepting,
        pressure=pressure,
        pages_held_for_us=held,
        put_bytes_per_second=rate,
    )
