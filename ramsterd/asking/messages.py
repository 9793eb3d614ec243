"""What nodes say to each other when an operator at one asks another: parsed once, on arrival.

    COMMAND   [number] | a line as the control socket takes it             ANSWER follows
    ANSWER    [number, whether it is the last] | a piece of the answer     no answer

COMMAND is no request of the link: a node that is slow to answer takes no slot from pages, and the
asker has its own timeout (docs/design/0018-asking-other-nodes.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, cast

from net.errors import RemoteProtocolError
from net.frame import APPLICATION_TYPE_MIN, Frame, FrameLimits
from net.hello import check_range
from net.packing import pack_fields, unpack_fields
from ramsterd.membership import messages as about_members

# A bit of the features in HELLO: this node takes COMMAND.
ANSWERS_COMMANDS: Final = 1


class AskingMessage(IntEnum):
    """Frame types of commands for other nodes.  Append only.

    The protocol version that added each stands beside it.
    """

    COMMAND = 64  # version 1, with the feature
    ANSWER = 65  # version 1, with the feature


NUMBER_MAX: Final = 0xFFFF_FFFF
# No command of `ramsterctl` is as long.
COMMAND_BYTES_MAX: Final = 4096
# The status of a node in a cluster of a thousand; what is longer is refused by its sender.
ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
# Pages wait for no longer than this behind a piece.
PIECE_BYTES_MAX: Final = 64 * 1024
_TABLE_BYTES_MAX: Final = 16

LIMITS: Final[dict[int, FrameLimits]] = {
    AskingMessage.COMMAND: FrameLimits(1, _TABLE_BYTES_MAX, COMMAND_BYTES_MAX),
    AskingMessage.ANSWER: FrameLimits(1, _TABLE_BYTES_MAX, PIECE_BYTES_MAX),
}
assert set(LIMITS) == set(AskingMessage)
assert min(AskingMessage) >= APPLICATION_TYPE_MIN
assert not set(LIMITS) & set(about_members.ALL_LIMITS), "a frame type means one thing"
ALL_LIMITS: Final[dict[int, FrameLimits]] = {**about_members.ALL_LIMITS, **LIMITS}


@dataclass(frozen=True, slots=True)
class Command:
    """A line for the control socket of another node, and the number of its answer."""

    number: int
    line: bytes

    def table(self) -> bytes:
        """Return the table; the line is the body."""
        return pack_fields([self.number])


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: it follows the one before."""

    number: int
    is_last: bool
    data: bytes

    def table(self) -> bytes:
        """Return the table; the data is the body."""
        return pack_fields([self.number, self.is_last])


def pieces_of(number: int, answer: bytes) -> Iterator[Piece]:
    """Yield an answer in pieces."""
    assert 0 < len(answer) <= ANSWER_BYTES_MAX
    for start in range(0, len(answer), PIECE_BYTES_MAX):
        end = start + PIECE_BYTES_MAX
        yield Piece(number, end >= len(answer), answer[start:end])


def parse_command(frame: Frame) -> Command:
    """Return what a peer asks.

    Raises:
        RemoteProtocolError: It is none.
    """
    (number,) = cast("tuple[int]", unpack_fields(bytes(frame.table), (int,)))
    return Command(_number(number), _filled("COMMAND", frame))


def parse_piece(frame: Frame) -> Piece:
    """Return a piece of an answer.

    Raises:
        RemoteProtocolError: It is none.
    """
    number, is_last = cast("tuple[int, bool]", unpack_fields(bytes(frame.table), (int, bool)))
    return Piece(_number(number), is_last, _filled("ANSWER", frame))


def _number(number: int) -> int:
    check_range("number of a command", number, 1, NUMBER_MAX)
    return number


def _filled(what: str, frame: Frame) -> bytes:
    if not frame.body:
        raise RemoteProtocolError(f"{what} without a body")
    return bytes(frame.body)
