"""The receive buffer moves without losing a byte; the reply queue drops what went."""

from net.buffers import KEPT_FRACTION, BufferPool
from ramsterd.frontends.nbd.buffers import RECEIVE_BYTES, ReceiveBuffer
from tests.helpers.buffers import spare_bytes


def unserved(buffer: ReceiveBuffer) -> bytes:
    return bytes(buffer.view[buffer.start : buffer.end])


def test_an_empty_buffer_starts_over() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"x" * 100)
    buffer.start = 100
    buffer.make_room(28)
    assert len(buffer.space()) == RECEIVE_BYTES


def test_a_request_at_the_end_moves_to_the_front() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"x" * (RECEIVE_BYTES - 5) + b"begin")
    buffer.start = RECEIVE_BYTES - 5
    buffer.make_room(28)
    assert unserved(buffer) == b"begin"
    assert len(buffer.space()) == RECEIVE_BYTES - 5


def test_a_move_over_itself_keeps_the_bytes() -> None:
    buffer = ReceiveBuffer()
    content = bytes(range(256)) * (RECEIVE_BYTES // 256)
    buffer.feed(content)
    buffer.start = 1
    buffer.make_room(RECEIVE_BYTES)
    assert unserved(buffer) == content[1:]
    assert len(buffer.space()) == 1


def test_an_idle_buffer_is_given_back_and_its_rest_is_kept() -> None:
    pool = BufferPool()
    idle, busy = ReceiveBuffer(pool), ReceiveBuffer(pool)
    idle.feed(b"served, begin")
    idle.start = 8
    idle.on_idle()
    assert (unserved(idle), spare_bytes(pool)) == (b"", RECEIVE_BYTES)
    busy.feed(b"x" * 100)
    assert spare_bytes(pool) == 0, "one buffer serves both"
    idle.feed(b"ning")
    assert unserved(idle) == b"beginning"
    assert unserved(busy) == b"x" * 100


def test_a_rest_that_is_long_keeps_the_buffer() -> None:
    pool = BufferPool()
    buffer = ReceiveBuffer(pool)
    buffer.feed(b"x" * (RECEIVE_BYTES // KEPT_FRACTION + 1))
    buffer.on_idle()
    assert spare_bytes(pool) == 0
    buffer.close()
    assert spare_bytes(pool) == RECEIVE_BYTES
    buffer.on_idle()
    buffer.close()
    assert spare_bytes(pool) == RECEIVE_BYTES, "given back once"
