"""Replies in wire format: simple replies, or structured ones where the client asked for them.

Pure.  Both kinds append to one `ReplyQueue` and have the same methods.  A structured READ is
answered with as few chunks as its holes allow: a run of zeros is one chunk of 32 bytes, whatever
its length.  What is answered whole is certain before anything is sent, so its last chunk says that
the reply is done; a READ that is sent slice by slice ends with a chunk of its own.

Simple replies are also used under structured ones for success without data, as the specification
allows.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from config.limits import PAGE_BYTES
from ramsterd.core.page import ZERO_PAGE
from ramsterd.frontends.clients.replies import ReplyQueue
from ramsterd.frontends.nbd.export import Extents
from ramsterd.frontends.nbd.failures import Failure
from ramsterd.frontends.nbd.parts import Pieces
from ramsterd.frontends.nbd.protocol import (
    ALLOCATION_CONTEXT_ID,
    CHUNK,
    DATA_CHUNK,
    ERROR_CHUNK,
    EXTENT,
    HOLE_CHUNK,
    REPLY_BYTES,
    SIMPLE_REPLY_MAGIC,
    STATUS_CHUNK,
    STRUCTURED_REPLY_MAGIC,
    Errno,
    ReplyFlag,
    ReplyType,
    encode_reply,
)
from ramsterd.frontends.pager import Pages

# A successful simple reply without its cookie.
SUCCESS: Final = encode_reply(Errno.NONE, bytes(8))[: REPLY_BYTES - 8]
assert SIMPLE_REPLY_MAGIC.to_bytes(4, "big") + bytes(4) == SUCCESS

_DONE: Final = int(ReplyFlag.DONE)
_DATA: Final = int(ReplyType.OFFSET_DATA)
_HOLE: Final = int(ReplyType.OFFSET_HOLE)
# What a chunk of data or of a hole has beyond CHUNK, without the data.
_DATA_HEAD_BYTES: Final = DATA_CHUNK.size - CHUNK.size
_PAGE_BODY_BYTES: Final = _DATA_HEAD_BYTES + PAGE_BYTES
_PAGE_CHUNK_BYTES: Final = DATA_CHUNK.size + PAGE_BYTES
_HOLE_BODY_BYTES: Final = HOLE_CHUNK.size - CHUNK.size
_ERROR_HEAD_BYTES: Final = ERROR_CHUNK.size - CHUNK.size
_STATUS_HEAD_BYTES: Final = STATUS_CHUNK.size - CHUNK.size
_pack_data: Final = DATA_CHUNK.pack
_pack_hole: Final = HOLE_CHUNK.pack


class Answers(Protocol):
    """Appends answers to the queue of a connection."""

    def success(self, cookie: bytes) -> None:
        """Answer a request that returns no data."""
        ...

    def failure(self, cookie: bytes, failure: Failure) -> None:
        """Answer a request that failed; a READ's data may have been sent before, in part."""
        ...

    def pages(self, cookie: bytes, offset: int, pages: Pages) -> None:
        """Answer a READ of whole pages."""
        ...

    def each_page(
        self, cookies: Sequence[bytes], offsets: Sequence[int], pages: Sequence[bytes | None]
    ) -> None:
        """Answer as many READs of one page each as there are pages."""
        ...

    def data(self, cookie: bytes, offset: int, length: int, pieces: Pieces) -> None:
        """Answer a READ in one piece, zeros and all."""
        ...


class SimpleAnswers:
    """Simple replies."""

    __slots__ = ("_queue",)

    def __init__(self, queue: ReplyQueue) -> None:
        self._queue = queue

    def success(self, cookie: bytes) -> None:
        """See `Answers.success`."""
        self._queue.pieces.append(SUCCESS + cookie)
        self._queue.queued_bytes += REPLY_BYTES

    def failure(self, cookie: bytes, failure: Failure) -> None:
        """See `Answers.failure`."""
        self._queue.pieces.append(encode_reply(failure.errno, cookie))
        self._queue.queued_bytes += REPLY_BYTES

    def pages(self, cookie: bytes, offset: int, pages: Pages) -> None:  # noqa: ARG002  (see Answers)
        """See `Answers.pages`."""
        pieces = self._queue.pieces
        pieces.append(SUCCESS + cookie)
        for page in pages:
            pieces.append(ZERO_PAGE if page is None else page)
        self._queue.queued_bytes += REPLY_BYTES + len(pages) * PAGE_BYTES

    def each_page(
        self,
        cookies: Sequence[bytes],
        offsets: Sequence[int],  # noqa: ARG002  (see Answers)
        pages: Sequence[bytes | None],
    ) -> None:
        """See `Answers.each_page`."""
        pieces = self._queue.pieces
        for cookie, page in zip(cookies, pages, strict=False):
            pieces += (SUCCESS + cookie, ZERO_PAGE if page is None else page)
        self._queue.queued_bytes += (REPLY_BYTES + PAGE_BYTES) * len(pages)

    def data(self, cookie: bytes, offset: int, length: int, pieces: Pieces) -> None:  # noqa: ARG002  (see Answers)
        """See `Answers.data`."""
        self._queue.pieces.append(SUCCESS + cookie)
        self._queue.pieces.extend(pieces)
        self._queue.queued_bytes += REPLY_BYTES + length


class StructuredAnswers(SimpleAnswers):
    """Structured replies, and simple ones for success without data."""

    __slots__ = ()

    def failure(self, cookie: bytes, failure: Failure) -> None:
        """See `Answers.failure`."""
        reason = failure.reason.encode()
        head = ERROR_CHUNK.pack(
            STRUCTURED_REPLY_MAGIC, _DONE, ReplyType.ERROR, cookie,
            _ERROR_HEAD_BYTES + len(reason), failure.errno, len(reason),
        )  # fmt: skip
        self._append(head + reason)

    def pages(self, cookie: bytes, offset: int, pages: Pages) -> None:
        """See `Answers.pages`."""
        page = pages[0]
        if len(pages) == 1 and page is not None and page is not ZERO_PAGE:
            # The everyday READ: one page of data, without the calls below.
            queue = self._queue
            queue.pieces += (
                _pack_data(STRUCTURED_REPLY_MAGIC, _DONE, _DATA, cookie, _PAGE_BODY_BYTES, offset),
                page,
            )
            queue.queued_bytes += _PAGE_CHUNK_BYTES
            return
        if None in pages or ZERO_PAGE in pages:
            self.runs(cookie, offset, pages, last_flags=_DONE)
        else:
            # No page of them is None.
            self._chunk(cookie, offset, len(pages) * PAGE_BYTES, pages, _DONE)  # type: ignore[arg-type]

    def each_page(
        self, cookies: Sequence[bytes], offsets: Sequence[int], pages: Sequence[bytes | None]
    ) -> None:
        """See `Answers.each_page`."""
        queue = self._queue
        pieces, queued_bytes = queue.pieces, 0
        for cookie, offset, page in zip(cookies, offsets, pages, strict=False):
            if page is None or page is ZERO_PAGE:
                pieces.append(
                    _pack_hole(
                        STRUCTURED_REPLY_MAGIC, _DONE, _HOLE, cookie, _HOLE_BODY_BYTES, offset, PAGE_BYTES
                    )
                )  # fmt: skip
                queued_bytes += HOLE_CHUNK.size
            else:
                pieces += (
                    _pack_data(
                        STRUCTURED_REPLY_MAGIC, _DONE, _DATA, cookie, _PAGE_BODY_BYTES, offset
                    ),
                    page,
                )
                queued_bytes += _PAGE_CHUNK_BYTES
        queue.queued_bytes += queued_bytes

    def data(self, cookie: bytes, offset: int, length: int, pieces: Pieces) -> None:
        """See `Answers.data`."""
        self._chunk(cookie, offset, length, pieces, _DONE)

    def runs(
        self, cookie: bytes, offset: int, pieces: Sequence[bytes | None], *, last_flags: int = 0
    ) -> None:
        """Append chunks of data and of holes, as few as there can be.

        Pages of zeros are holes here.
        """
        start, count = 0, len(pieces)
        while start < count:
            piece = pieces[start]
            is_hole = piece is None or piece is ZERO_PAGE
            run: Pieces = []
            while start < count and (piece is None or piece is ZERO_PAGE) == is_hole:
                run.append(ZERO_PAGE if piece is None else piece)
                start += 1
                piece = pieces[start] if start < count else None
            length = sum(map(len, run))
            flags = last_flags if start == count else 0
            if is_hole:
                self._hole(cookie, offset, length, flags)
            else:
                self._chunk(cookie, offset, length, run, flags)
            offset += length

    def _chunk(self, cookie: bytes, offset: int, length: int, pieces: Pieces, flags: int) -> None:
        queue = self._queue
        queue.pieces.append(
            _pack_data(
                STRUCTURED_REPLY_MAGIC, flags, _DATA, cookie, _DATA_HEAD_BYTES + length, offset
            )
        )
        queue.pieces.extend(pieces)
        queue.queued_bytes += DATA_CHUNK.size + length

    def end(self, cookie: bytes) -> None:
        """End a reply whose chunks are all sent."""
        self._append(CHUNK.pack(STRUCTURED_REPLY_MAGIC, _DONE, ReplyType.NONE, cookie, 0))

    def extents(self, cookie: bytes, extents: Extents) -> None:
        """Answer a BLOCK_STATUS."""
        body = b"".join(EXTENT.pack(length, state) for length, state in extents)
        head = STATUS_CHUNK.pack(
            STRUCTURED_REPLY_MAGIC, _DONE, ReplyType.BLOCK_STATUS, cookie,
            _STATUS_HEAD_BYTES + len(body), ALLOCATION_CONTEXT_ID,
        )  # fmt: skip
        self._append(head + body)

    def _hole(self, cookie: bytes, offset: int, length: int, flags: int) -> None:
        self._append(
            _pack_hole(
                STRUCTURED_REPLY_MAGIC, flags, _HOLE, cookie, _HOLE_BODY_BYTES, offset, length
            )
        )

    def _append(self, piece: bytes) -> None:
        self._queue.pieces.append(piece)
        self._queue.queued_bytes += len(piece)
