"""Any bytes are a COMMAND, a piece of an ANSWER, or RemoteProtocolError; what is said is what is heard."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from net.errors import RemoteProtocolError
from net.frame import Frame
from net.packing import pack_fields
from ramsterd.asking.messages import (
    ANSWER_BYTES_MAX,
    COMMAND_BYTES_MAX,
    NUMBER_MAX,
    PIECE_BYTES_MAX,
    AskingMessage,
    Command,
    parse_command,
    parse_piece,
    pieces_of,
)

numbers = st.integers(1, NUMBER_MAX)


def frame(kind: AskingMessage, table: bytes, body: bytes) -> Frame:
    return Frame(kind, False, 0, 1, memoryview(table), memoryview(body))


@given(numbers, st.binary(min_size=1, max_size=COMMAND_BYTES_MAX))
def test_a_command_that_is_said_is_heard(number: int, line: bytes) -> None:
    command = Command(number, line)
    assert parse_command(frame(AskingMessage.COMMAND, command.table(), line)) == command


@given(numbers, st.integers(1, ANSWER_BYTES_MAX))
def test_an_answer_of_any_length_comes_as_pieces_of_which_the_last_says_so(
    number: int, length: int
) -> None:
    answer = bytes(length)
    heard = [
        parse_piece(frame(AskingMessage.ANSWER, piece.table(), piece.data))
        for piece in pieces_of(number, answer)
    ]
    assert b"".join(piece.data for piece in heard) == answer
    assert [piece.is_last for piece in heard] == [False] * (len(heard) - 1) + [True]
    assert {piece.number for piece in heard} == {number}
    assert max(len(piece.data) for piece in heard) <= PIECE_BYTES_MAX


@given(st.binary(max_size=32), st.binary(max_size=8))
def test_any_bytes_are_a_message_or_break_the_protocol(table: bytes, body: bytes) -> None:
    for kind, parse in (
        (AskingMessage.COMMAND, parse_command),
        (AskingMessage.ANSWER, parse_piece),
    ):
        with contextlib.suppress(RemoteProtocolError):
            parse(frame(kind, table, body))


@pytest.mark.parametrize("parse", [parse_command, parse_piece])
@pytest.mark.parametrize(
    ("fields", "body", "what"),
    [
        ([0, True], b"x", "number of a command 0, not 1 to 4294967295"),
        ([NUMBER_MAX + 1, True], b"x", "number of a command 4294967296"),
        ([1, True], b"", "without a body"),
        ([True, True], b"x", "field 0 is bool, expected int"),
        ([], b"x", "a message of 0 fields"),
    ],
)
def test_a_wrong_field_is_named(
    parse: Callable[[Frame], object], fields: list[object], body: bytes, what: str
) -> None:
    with pytest.raises(RemoteProtocolError, match=what):
        parse(frame(AskingMessage.ANSWER, pack_fields(fields), body))
