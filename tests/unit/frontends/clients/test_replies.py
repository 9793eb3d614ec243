from net.transport import Piece
from ramsterd.frontends.clients.replies import ReplyQueue


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
