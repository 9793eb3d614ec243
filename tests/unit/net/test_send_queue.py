"""What a link has to send: in order, counted, and its own once it waits."""

from net.send_queue import SendQueue


def test_a_frame_is_a_head_and_the_pieces_of_its_body() -> None:
    queue = SendQueue()
    queue.add(b"head", [b"one", b"two"], 6)
    assert queue.queued_bytes == 10
    assert queue.take_fresh() == ([b"head", b"one", b"two"], 10)
    assert not queue.has_fresh
    assert queue.queued_bytes == 0


def test_what_the_socket_did_not_take_is_unsent() -> None:
    queue = SendQueue()
    queue.add(b"head", [b"body"], 4)
    pieces, count = queue.take_fresh()
    queue.keep(pieces, 6, count)
    assert b"".join(queue.unsent) == b"dy"
    assert queue.queued_bytes == 2
    queue.on_sent(2)
    assert not queue.unsent
    assert queue.queued_bytes == 0


def test_a_buffer_may_change_once_its_bytes_are_unsent() -> None:
    queue, buffer = SendQueue(), bytearray(b"page")
    queue.add(b"head", [memoryview(buffer)], 4)
    pieces, count = queue.take_fresh()
    queue.keep(pieces, 5, count)
    buffer[:] = b"else"
    assert b"".join(queue.unsent) == b"age"


def test_fresh_frames_are_unsent_behind_what_is_unsent() -> None:
    queue = SendQueue()
    for frame in (b"first", b"second"):
        queue.add(frame)
        pieces, count = queue.take_fresh()
        queue.keep(pieces, 0, count)
    assert b"".join(queue.unsent) == b"firstsecond"
    assert queue.frames_total == 2


def test_nothing_is_left_when_the_link_is_over() -> None:
    queue = SendQueue()
    queue.add(b"unsent")
    pieces, count = queue.take_fresh()
    queue.keep(pieces, 0, count)
    queue.add(b"fresh")
    queue.clear()
    assert queue.queued_bytes == 0
    assert not queue.has_fresh
    assert not queue.unsent
