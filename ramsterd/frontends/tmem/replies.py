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

    __slots__ = ("_errors",)

    def __init__(self, errors: dict[ErrorCode, int]) -> None:
        """Count the errors that are sent in `errors`."""
        super().__init__()
        self._errors = errors

    def answer(
        self, frame_type: TmemType, request_id: int, table: bytes = b"", *, count: int = 0
    ) -> None:
        """Append the reply to a request, without a body."""
        self.append(encode_frame(frame_type, request_id, table, count=count, is_reply=True))

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
        self._errors[code] += 1
        self.append(encode_error(request_id, code, text))
