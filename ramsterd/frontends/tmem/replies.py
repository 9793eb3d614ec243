"""What one connection has answered but not yet sent."""

from typing import TypeAlias

from ramsterd.frontends.tmem.messages import (
    PAGE_BYTES,
    ErrorCode,
    TmemType,
    encode_error,
    encode_reply,
)

Piece: TypeAlias = bytes | memoryview


class ReplyQueue:
    """Pieces of replies, in the order they are sent."""

    __slots__ = ("pieces", "queued_bytes")

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.queued_bytes = 0

    def answer(
        self, frame_type: TmemType, request_id: int, table: bytes = b"", *, count: int = 0
    ) -> None:
        """Append the reply to a request, without a body."""
        piece = encode_reply(frame_type, request_id, table, count=count)
        self.pieces.append(piece)
        self.queued_bytes += len(piece)

    def answer_get(self, request_id: int, states: bytes, pages: list[bytes]) -> None:
        """Append the reply to a GET: a state for each page wanted, and the pages that there are."""
        body_bytes = len(pages) * PAGE_BYTES
        piece = encode_reply(
            TmemType.GET, request_id, states, count=len(states), body_bytes=body_bytes
        )
        self.pieces.append(piece)
        self.pieces += pages
        self.queued_bytes += len(piece) + body_bytes

    def refuse(self, request_id: int, code: ErrorCode, text: str) -> None:
        """Append an ERROR."""
        piece = encode_error(request_id, code, text)
        self.pieces.append(piece)
        self.queued_bytes += len(piece)

    def on_sent(self, count: int) -> None:
        """Drop `count` bytes from the front."""
        self.queued_bytes -= count
        if self.queued_bytes == 0:
            self.pieces.clear()
            return
        whole = 0
        for piece in self.pieces:
            if len(piece) > count:
                break
            count -= len(piece)
            whole += 1
        del self.pieces[:whole]
        if count:
            self.pieces[0] = memoryview(self.pieces[0])[count:]

    def clear(self) -> None:
        """Forget everything: nobody is there to take it."""
        self.pieces.clear()
        self.queued_bytes = 0
