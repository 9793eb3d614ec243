"""The receive buffer moves without losing a byte; the reply queue drops what went."""

from net.transport import Piece
from ramsterd.nbd.buffers import RECEIVE_BYTES, ReceiveBuffer, ReplyQueue


def unserved(buffer: ReceiveBuffer) -> bytes:
    return bytes(buffer.view[buffer.start : buffer.end])


def test_an_empty_buffer_starts_over() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"x" * 100)
    buffer.start = 100
    buffer.make_room(28)
    assert len(buffer.target()) == RECEIVE_BYTES


def test_a_request_at_the_end_moves_to_the_front() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"x" * (RECEIVE_BYTES - 5) + b"begin")
    buffer.start = RECEIVE_BYTES - 5
    buffer.make_room(28)
    assert unserved(buffer) == b"begin"
    assert len(buffer.target()) == RECEIVE_BYTES - 5


def test_a_move_over_itself_keeps_the_bytes() -> None:
    buffer = ReceiveBuffer()
    content = bytes(range(256)) * (RECEIVE_BYTES // 256)
    buffer.feed(content)
    buffer.start = 1
    buffer.make_room(RECEIVE_BYTES)
    assert unserved(buffer) == content[1:]
    assert len(buffer.target()) == 1


def test_what_was_sent_leaves_the_queue_wherever_it_was_cut() -> None:
    pieces: list[Piece] = [b"abc", b"", b"defg", memoryview(b"hi")]
    whole = b"".join(pieces)
    for first in range(1, len(whole) + 1):
        queue = ReplyQueue()
        queue.pieces.extend(pieces)
        queue.queued_bytes = len(whole)
        queue.on_sent(first)
        assert b"".join(queue.pieces) == whole[first:]
        assert queue.queued_bytes == len(whole) - first
