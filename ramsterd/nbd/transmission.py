"""The requests of one connection after its handshake: one pass over all that was received.

Pure.  A pass serves each complete request by one call of the pager and collects the replies in one list; the
shell then settles the pager and sends the list.  A request that has to wait for a peer leaves a callback with
the pager, which appends its reply later and calls `on_late_reply`: replies leave out of order.

Everyday requests (aligned, in range, no rare flag) are told by comparing one word and stay inside `serve`,
which makes no object for them but the callback that the pager wants; everything else goes through
`_serve_rare`.  What a connection may owe is bounded: `is_full` says when to stop receiving from it.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from ramsterd.core.page import ZERO_PAGE
from ramsterd.nbd.buffers import ReceiveBuffer, ReplyQueue
from ramsterd.nbd.counters import Counters
from ramsterd.nbd.export import Export, Pieces, errno_of
from ramsterd.nbd.protocol import (
    IN_FLIGHT_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    REPLY_BYTES,
    REPLY_BYTES_MAX,
    REQUEST,
    REQUEST_BYTES,
    REQUEST_MAGIC,
    REQUESTS_IN_FLIGHT_MAX,
    SIMPLE_REPLY_MAGIC,
    Command,
    CommandFlag,
    Errno,
    encode_reply,
    request_word,
)
from ramsterd.pager import GetOutcome, GetResult, PagerInterface, PutOutcome

_READ_WORD: Final = request_word(Command.READ)
_WRITE_WORD: Final = request_word(Command.WRITE)
# A successful reply's header without its cookie.
_SUCCESS: Final = encode_reply(0, bytes(8))[: REPLY_BYTES - 8]
_unpack_request: Final = REQUEST.unpack_from
_PAGE_MASK: Final = PAGE_BYTES - 1
_PAGE_SHIFT: Final = PAGE_BYTES.bit_length() - 1

assert SIMPLE_REPLY_MAGIC.to_bytes(4, "big") + bytes(4) == _SUCCESS
# What `_serve_rare` returns for a request that is not all here yet.
_INCOMPLETE: Final = -1
assert 1 << _PAGE_SHIFT == PAGE_BYTES


class Transmission:
    """One connection's requests and replies.

    `received` is filled and `replies` is sent by the shell.  After an exception the connection is of no
    further use: `close` it.
    """

    __slots__ = (
        "_counters",
        "_discard_bytes",
        "_export",
        "_in_pass",
        "_on_late_reply",
        "_pager",
        "_request_bytes",
        "has_unserved",
        "in_flight_bytes",
        "in_flight_count",
        "is_closed",
        "is_disconnecting",
        "received",
        "replies",
    )

    def __init__(
        self,
        export: Export,
        pager: PagerInterface,
        counters: Counters,
        on_late_reply: Callable[[], None],
    ) -> None:
        self.received = ReceiveBuffer()
        self.replies = ReplyQueue()
        # Requests that wait for the pager, and their bytes.
        self.in_flight_count = 0
        self.in_flight_bytes = 0
        # A limit ended the last pass: serve again before receiving.
        self.has_unserved = False
        self.is_disconnecting = False
        self.is_closed = False
        self._export = export
        self._pager = pager
        self._counters = counters
        self._on_late_reply = on_late_reply
        self._in_pass = False
        # Payload of a refused WRITE, still to come.
        self._discard_bytes = 0
        # What the first unserved request needs before it can be served.
        self._request_bytes = REQUEST_BYTES

    @property
    def is_full(self) -> bool:
        """Whether the client owes us patience: serve and receive nothing until it is false."""
        return (
            self.replies.queued_bytes >= REPLY_BYTES_MAX
            or self.in_flight_bytes >= IN_FLIGHT_BYTES_MAX
            or self.in_flight_count >= REQUESTS_IN_FLIGHT_MAX
        )

    @property
    def is_finished(self) -> bool:
        """Whether the client disconnected and has been sent everything."""
        return self.is_disconnecting and not self.in_flight_count and not self.replies.queued_bytes

    def close(self) -> None:
        """Forget replies, those queued and those to come."""
        self.is_closed = True
        self._counters.in_flight_count -= self.in_flight_count
        self.replies = ReplyQueue()

    def serve(self) -> None:
        """Serve every complete request received, until a limit is reached.

        Raises:
            RemoteProtocolError: The client sent what is no request, or a WRITE over the limit.  Requests
                before it were served.
        """
        self._in_pass = True
        try:
            self._serve()
        finally:
            self._in_pass = False
        if not self.has_unserved and not self.is_disconnecting:
            self.received.make_room(self._request_bytes)

    def _serve(self) -> None:
        received, replies = self.received, self.replies
        end, view = received.end, received.view
        start = received.start + self._discard(end - received.start)
        pool, object_id, size = self._export.pool, self._export.object_id, self._export.size
        get, put, on_get, on_put = self._pager.get, self._pager.put, self._on_get, self._on_put
        reads = writes = 0
        self._request_bytes = REQUEST_BYTES
        self.has_unserved = False
        while (body := start + REQUEST_BYTES) <= end:
            word, cookie, offset, length = _unpack_request(view, start)
            is_plain = not (offset | length) & _PAGE_MASK and 0 < length <= size - offset
            if word == _WRITE_WORD and is_plain and length <= end - body:
                writes += 1
                start = body + length
                index = offset >> _PAGE_SHIFT
                stored = put(
                    pool, object_id, index, view[body:start], partial(on_put, cookie, length)
                )
                if stored is PutOutcome.STORED:
                    replies.pieces.append(_SUCCESS + cookie)
                    replies.queued_bytes += REPLY_BYTES
                    continue
                if stored is not None:
                    self._answer(errno_of(stored), cookie)
                    continue
                self._owe(length)
            elif word == _READ_WORD and is_plain and length <= PAYLOAD_BYTES_MAX:
                reads += 1
                start = body
                index, count = offset >> _PAGE_SHIFT, length >> _PAGE_SHIFT
                pages = get(pool, object_id, index, count, partial(on_get, cookie, length))
                if pages is None:
                    self._owe(length)
                else:
                    self._answer_get(cookie, length, pages)
                    if replies.queued_bytes < REPLY_BYTES_MAX:
                        continue
            else:
                next_start = self._serve_rare(word, cookie, offset, length, view[body:end])
                if next_start == _INCOMPLETE:
                    break
                start = body + next_start
            if self.is_full:
                self.has_unserved = True
                break
            if self.is_disconnecting:
                break
        self._counters.requests[Command.READ] += reads
        self._counters.requests[Command.WRITE] += writes
        received.start = start

    def _serve_rare(
        self, word: int, cookie: bytes, offset: int, length: int, payload: memoryview
    ) -> int:
        """Serve any request; return how much of `payload` it took, or _INCOMPLETE."""
        if word >> 32 != REQUEST_MAGIC:
            raise RemoteProtocolError(f"request magic {word >> 32:#x}")
        flags, command = word >> 16 & 0xFFFF, word & 0xFFFF
        if command == Command.DISC:
            self._counters.on_request(command)
            self.is_disconnecting = True
            return 0
        error = self._export.judge(command, flags, offset, length)
        if command != Command.WRITE:
            self._counters.on_request(command)
            if error:
                self._answer(error, cookie)
            else:
                self._serve_without_payload(command, flags, cookie, offset, length)
            return 0
        if length > PAYLOAD_BYTES_MAX:
            raise RemoteProtocolError(f"WRITE of {length} bytes, at most {PAYLOAD_BYTES_MAX}")
        if error:
            self._counters.on_request(command)
            self._answer(error, cookie)
            self._discard_bytes = length
            return self._discard(len(payload))
        if len(payload) < length:
            self._request_bytes = REQUEST_BYTES + length
            return _INCOMPLETE
        self._counters.on_request(command)
        done = partial(self._on_write, cookie, length)
        self._answer_or_owe(
            self._export.write(self._pager, offset, payload[:length], done), cookie, length
        )
        return length

    def _serve_without_payload(
        self, command: int, flags: int, cookie: bytes, offset: int, length: int
    ) -> None:
        if command == Command.READ:
            read_done = partial(self._on_read, cookie, length)
            pieces = self._export.read(self._pager, offset, length, read_done)
            if pieces is None:
                self._owe(length)
            else:
                self._answer_read(cookie, length, pieces)
            return
        error: Errno | None = Errno.NONE
        if command == Command.TRIM:
            self._export.trim(self._pager, offset, length)
        elif command == Command.WRITE_ZEROES:
            # No payload: what waits are at most two patches, whatever the length.
            done = partial(self._on_write, cookie, 0)
            no_hole = bool(flags & CommandFlag.NO_HOLE)
            error = self._export.write_zeroes(self._pager, offset, length, done, no_hole=no_hole)
        self._answer_or_owe(error, cookie, 0)

    def _discard(self, here_bytes: int) -> int:
        """Skip payload of a refused WRITE; return how much of what is here belongs to it."""
        count = min(self._discard_bytes, here_bytes)
        self._discard_bytes -= count
        return count

    def _owe(self, length: int) -> None:
        self.in_flight_count += 1
        self.in_flight_bytes += length
        self._counters.in_flight_count += 1

    def _answer_or_owe(self, error: Errno | None, cookie: bytes, length: int) -> None:
        if error is None:
            self._owe(length)
        else:
            self._answer(error, cookie)

    def _answer(self, error: Errno, cookie: bytes) -> None:
        if error:
            self._counters.on_error(error)
        self.replies.pieces.append(encode_reply(error, cookie))
        self.replies.queued_bytes += REPLY_BYTES

    def _answer_get(self, cookie: bytes, length: int, result: GetResult) -> None:
        if isinstance(result, GetOutcome):
            self._answer(errno_of(result), cookie)
            return
        assert len(result) << _PAGE_SHIFT == length, "as many pages as were asked for"
        pieces = self.replies.pieces
        pieces.append(_SUCCESS + cookie)
        for page in result:
            pieces.append(ZERO_PAGE if page is None else page)
        self.replies.queued_bytes += REPLY_BYTES + length

    def _answer_read(self, cookie: bytes, length: int, pieces: Pieces | Errno) -> None:
        if isinstance(pieces, Errno):
            self._answer(pieces, cookie)
            return
        self.replies.pieces.append(_SUCCESS + cookie)
        self.replies.pieces.extend(pieces)
        self.replies.queued_bytes += REPLY_BYTES + length

    def _settle_debt(self, length: int) -> bool:
        """Take note that a request waits no more; return whether its reply is still wanted."""
        if self.is_closed:
            return False
        self.in_flight_count -= 1
        self.in_flight_bytes -= length
        self._counters.in_flight_count -= 1
        return True

    def _on_get(self, cookie: bytes, length: int, result: GetResult) -> None:
        if self._settle_debt(length):
            self._answer_get(cookie, length, result)
            self._on_late()

    def _on_read(self, cookie: bytes, length: int, pieces: Pieces | Errno) -> None:
        if self._settle_debt(length):
            self._answer_read(cookie, length, pieces)
            self._on_late()

    def _on_put(self, cookie: bytes, length: int, outcome: PutOutcome) -> None:
        self._on_write(cookie, length, errno_of(outcome))

    def _on_write(self, cookie: bytes, length: int, error: Errno) -> None:
        if self._settle_debt(length):
            self._answer(error, cookie)
            self._on_late()

    def _on_late(self) -> None:
        if not self._in_pass:
            self._on_late_reply()
