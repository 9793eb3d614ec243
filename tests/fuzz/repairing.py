"""Make almost-valid messages of what a mutation left: the parts that more than one target needs."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgpack

from net.errors import RemoteProtocolError
from net.frame import HEADER, HEADER_BYTES, FrameLimits
from net.packing import unpack
from tests.helpers.links import make_frame

# (count, table, body) of a frame of some type, made to fit each other.
Parts = tuple[int, bytes, bytes]
RepairParts = Callable[[int, bool, int, bytes, bytes], Parts]

# Values that a field may have and seldom should.
ODD_VALUES: Final[Sequence[object]] = (
    0, 1, -1, 255, 1 << 16, (1 << 31) - 1, (1 << 48) - 1, (1 << 63) - 1, (1 << 64) - 1, -(1 << 63),
    0.0, 0.5, 1.0, -0.0, float("inf"), float("nan"), 1e-300, True, False, None,
    "", "a", "lab", "node1", "\0", "\n", "\u2028", "é", "a" * 63, "a" * 64, "127.0.0.1", "::1", b"", b"\xff",
    [], [[]], [1], [[1, 2]], {}, {"a": 1},
)  # fmt: skip


def leave_parts(_type: int, _reply: bool, count: int, table: bytes, body: bytes) -> Parts:
    """Leave table and body as they are."""
    return count, table, body


def repair_frames(
    stream: bytes, limits: Mapping[int, FrameLimits], repair_parts: RepairParts = leave_parts
) -> bytes:
    """Return a stream of frames whose headers are right and whose tables and bodies are all there."""
    types = sorted(limits)
    repaired = b""
    while len(stream) >= HEADER_BYTES:
        _, _, number, flags, _, count, request_id, *lengths = HEADER.unpack_from(stream)
        frame_type = number if number in limits else types[number % len(types)]
        limit = limits[frame_type]
        rest = stream[HEADER_BYTES:]
        table = rest[: min(lengths[0], limit.table_bytes_max)]
        body = rest[len(table) :][: min(lengths[1], limit.body_bytes_max)]
        stream = rest[len(table) + len(body) :]
        is_reply = bool(flags & 1)
        parts = repair_parts(frame_type, is_reply, min(count, limit.count_max), table, body)
        repaired += make_frame(
            frame_type, *parts, request_id=request_id or is_reply, is_reply=is_reply
        )
    return repaired + stream


def change_field(payload: bytes, rng: random.Random) -> bytes:
    """Return a msgpack list with one field, at any depth, given an odd value; other bytes as they are."""
    try:
        fields = unpack(payload)
    except RemoteProtocolError:
        return payload
    if not isinstance(fields, list) or not fields:
        return payload
    change_within(fields, rng)
    changed: bytes = msgpack.packb(fields, use_bin_type=True)
    return changed


def change_within(row: list[object], rng: random.Random) -> None:
    """Change one field of a list, or of what is in it."""
    place = rng.randrange(len(row))
    match row[place]:
        case list(inner) if inner and rng.random() < 0.7:
            change_within(inner, rng)
        case dict(inner) if inner and rng.random() < 0.7:
            inner[rng.choice(list(inner))] = rng.choice(ODD_VALUES)
        case field:
            match rng.randrange(6):
                case 0:
                    del row[place]
                case 1:
                    row.insert(place, field)
                case _:
                    row[place] = rng.choice(ODD_VALUES)
