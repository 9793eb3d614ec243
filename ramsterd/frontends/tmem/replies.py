"""Replies as frames.  Pure."""

from ramsterd.frontends.clients.replies import ReplyQueue
from ramsterd.frontends.tmem.messages import (
    PAGE_BYTES,
    ErrorCode,
    TmemType,
    encode_error,
    encode_frame,
)


class Replies(ReplyQueue):
    """The replies of one connection, in the order they are sent."""

    __slots__ = ()

    def answer(
        self, frame_type: TmemType, request_id: int, table: bytes = b"", *, count: int = 0
    ) -> None:
        """Append the reply to a request, without a body."""
        piece = encode_frame(frame_type, request_id, table, count=count, is_reply=True)
        self.pieces.append(piece)
        self.queued_bytes += len(piece)

    def answer_get(self, request_id: int, states: bytes, pages: list[bytes]) -> None:
        """Append the reply to a GET: a state for each page wanted, and the pages that there are."""
        body_bytes = len(pages) * PAGE_BYTES
        piece = encode_frame(
            TmemType.GET,
            request_id,
            states,
            count=len(states),
            body_bytes=body_bytes,
            is_reply=True,
        )
        self.pieces.append(piece)
        self.pieces += pages
        self.queued_bytes += len(piece) + body_bytes

    def refuse(self, request_id: int, code: ErrorCode, text: str) -> None:
        """Append an ERROR."""
        piece = encode_error(request_id, code, text)
        self.pieces.append(piece)
        self.queued_bytes += len(piece)
