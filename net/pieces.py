"""Pieces of frames on their way out: what is left of them, whose they are, whether a peer will take them.  Pure."""

from collections.abc import Mapping, Sequence

from net.errors import LocalProtocolError
from net.frame import FrameLimits
from net.transport import Piece


def check_limits(
    known: Mapping[int, FrameLimits], frame_type: int, count: int, table_bytes: int, body_bytes: int
) -> None:
    """Raise LocalProtocolError if a peer would refuse such a frame."""
    limits = known.get(frame_type)
    if (
        limits is None
        or count > limits.count_max
        or table_bytes > limits.table_bytes_max
        or body_bytes > limits.body_bytes_max
    ):
        raise LocalProtocolError(
            f"frame type {frame_type}, count {count}, {table_bytes} table bytes,"
            f" {body_bytes} body bytes: a peer would refuse this, limits are {limits}"
        )


def rest_of(pieces: list[Piece], sent: int) -> list[Piece]:
    """Return the pieces behind the first `sent` bytes."""
    for place, piece in enumerate(pieces):
        if sent < len(piece):
            rest = pieces[place:]
            if sent:
                rest[0] = memoryview(piece)[sent:]
            return rest
        sent -= len(piece)
    assert sent == 0, "the stream took more than there was"
    return []


def frozen(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces as bytes of our own, because they will wait."""
    return [piece if type(piece) is bytes else bytes(piece) for piece in pieces]
