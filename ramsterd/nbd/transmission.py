"""The requests of one connection after its handshake: one pass over all that was received.

Pure.  A pass serves each complete request by one call of the pager and collects the replies in one list; the
shell then settles the pager and sends the list.  A request that has to wait for a peer leaves a callback with
the pager, which appends its reply later and calls `on_late_reply`: replies leave out of order.

Everyday requests (aligned, in range, no rare flag) are told by comparing one word and stay inside `serve`,
which makes no object for them but the callback that the pager wants; everything else goes through
`_serve_rare`.

A pass is bounded, so that one client does not hold up the others: after PASS_PAGES_MAX pages it ends, and a
request longer than that is under way over several passes, during which its connection serves nothing else.
What a connection may owe is bounded too: `is_full` says when to stop receiving from it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from ramsterd.nbd.answers import SUCCESS, SimpleAnswers, StructuredAnswers
from ramsterd.nbd.buffers import RECEIVE_BYTES, WHOLE_WRITE_BYTES_MAX, ReceiveBuffer, ReplyQueue
from ramsterd.nbd.counters import Counters
from ramsterd.nbd.export import Failure, Parts, failure_of
from ramsterd.nbd.protocol import (
    EXTENTS_MAX,
    IN_FLIGHT_BYTES_MAX,
    PASS_PAGES_MAX,
    REFUSED_PAYLOAD_BYTES_MAX,
    REPLY_BYTES,
    REPLY_BYTES_MAX,
    REQUEST,
    REQUEST_BYTES,
    REQUEST_MAGIC,
    REQUESTS_IN_FLIGHT_MAX,
    SLICE_PAGES,
    Command,
    CommandFlag,
    request_word,
)
from ramsterd.nbd.reading import Reading
from ramsterd.nbd.session import Session
from ramsterd.pager import DiskPagerInterface, GetOutcome, GetResult, PutOutcome

_READ_WORD: Final = request_word(Command.READ)
_WRITE_WORD: Final = request_word(Command.WRITE)
_unpack_request: Final = REQUEST.unpack_from
_PAGE_MASK: Final = PAGE_BYTES - 1
_PAGE_SHIFT: Final = PAGE_BYTES.bit_length() - 1
_SLICE_BYTES: Final = SLICE_PAGES * PAGE_BYTES
# What `_serve_rare` returns for a request that is not all here yet.
_INCOMPLETE: Final = -1

assert 1 << _PAGE_SHIFT == PAGE_BYTES
assert WHOLE_WRITE_BYTES_MAX >= PAGE_BYTES, "a part of a long WRITE is a page at least"


class _Writing:
    """A WRITE that is longer than the buffer, served in parts as its payload arrives."""

    __slots__ = ("offset", "parts", "rest_bytes")

    def __init__(self, offset: int, rest_bytes: int, parts: Parts) -> None:
        self.offset = offset
        self.rest_bytes = rest_bytes
        self.parts = parts

    def next_part(self, here_bytes: int) -> int:
        """Return how many of the bytes that are here to write now; parts end where pages do."""
        if here_bytes >= self.rest_bytes:
            return self.rest_bytes
        return max(0, here_bytes - (self.offset + here_bytes) % PAGE_BYTES)


class _Refused:
    """A WRITE that is refused as soon as the rest of its payload has come."""

    __slots__ = ("cookie", "failure", "rest_bytes")

    def __init__(self, cookie: bytes, rest_bytes: int, failure: Failure) -> None:
        self.cookie = cookie
        self.rest_bytes = rest_bytes
        self.failure = failure


class Transmission:
    """One connection's requests and replies.

    `received` is filled and `replies` is sent by the shell.  After an exception the connection is of no
    further use: `close` it.
    """

    __slots__ = (
        "_answers",
        "_counters",
        "_export",
        "_in_pass",
        "_on_late_reply",
        "_pager",
        "_pages_of_pass",
        "_refused",
        "_session",
        "_slices",
        "_structured",
        "_wanted_bytes",
        "_writable_word",
        "_writing",
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
        session: Session,
        pager: DiskPagerInterface,
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
        self._session = session
        self._export = session.export
        self._pager = pager
        self._counters = counters
        self._on_late_reply = on_late_reply
        self._structured = StructuredAnswers(self.replies) if session.is_structured else None
        self._answers = self._structured or SimpleAnswers(self.replies)
        # To a read-only export no WRITE is an everyday request.
        self._writable_word = -1 if session.export.is_read_only else _WRITE_WORD
        self._in_pass = False
        self._pages_of_pass = 0
        # The request that is under way over several passes: its slices, or its payload.
        self._slices: Iterator[None] | None = None
        self._writing: _Writing | None = None
        self._refused: _Refused | None = None
        # What the first unserved request needs before it can be served.
        self._wanted_bytes = REQUEST_BYTES

    @property
    def is_full(self) -> bool:
        """Whether the client owes us patience: serve and receive nothing until it is false.

        A request that has begun is always finished: it is what fills the rest of the limit.
        """
        if self.replies.queued_bytes >= REPLY_BYTES_MAX:
            return True
        if self._slices is not None or self._writing is not None:
            return False
        return (
            self.in_flight_bytes >= IN_FLIGHT_BYTES_MAX
            or self.in_flight_count >= REQUESTS_IN_FLIGHT_MAX
        )

    @property
    def is_finished(self) -> bool:
        """Whether the client disconnected and has been sent everything."""
        return self.is_disconnecting and not self.in_flight_count and not self.replies.queued_bytes

    def close(self) -> None:
        """Forget replies, those queued and those to come."""
        self.is_closed = True
        self._slices = self._writing = None
        self._counters.in_flight_count -= self.in_flight_count
        self.replies = ReplyQueue()

    def serve(self) -> None:
        """Serve every complete request received, until a limit is reached.

        Raises:
            RemoteProtocolError: The client sent what is no request, or a WRITE far over the limit.  Requests
                before it were served.
        """
        self._in_pass = True
        self._pages_of_pass = 0
        self.has_unserved = False
        try:
            if self._slices is not None:
                self._advance(self._slices)
            if self._slices is None and self._take_payload():
                self.has_unserved = self.is_full
                if not self.has_unserved:
                    self._serve()
        finally:
            self._in_pass = False
        if not self.has_unserved and not self.is_disconnecting:
            self.received.make_room(self._wanted_bytes)

    def _serve(self) -> None:
        received, replies = self.received, self.replies
        start, end, view = received.start, received.end, received.view
        pool, object_id, size = self._export.pool, self._export.object_id, self._export.size
        get, put, on_get, on_put = self._pager.get, self._pager.put, self._on_get, self._on_put
        answer_pages, write_word = self._answers.pages, self._writable_word
        reads = writes = 0
        pages_read = 0
        self._wanted_bytes = REQUEST_BYTES
        while (body := start + REQUEST_BYTES) <= end:
            word, cookie, offset, length = _unpack_request(view, start)
            is_plain = not (offset | length) & _PAGE_MASK and 0 < length <= size - offset
            if word == write_word and is_plain and length <= end - body:
                writes += 1
                start = body + length
                index = offset >> _PAGE_SHIFT
                stored = put(
                    pool, object_id, index, view[body:start], partial(on_put, cookie, length)
                )
                if stored is PutOutcome.STORED:
                    replies.pieces.append(SUCCESS + cookie)
                    replies.queued_bytes += REPLY_BYTES
                    continue
                self._answer_or_owe(cookie, length, stored)
            elif word == _READ_WORD and is_plain and length <= _SLICE_BYTES:
                reads += 1
                start = body
                index, count = offset >> _PAGE_SHIFT, length >> _PAGE_SHIFT
                pages_read += count
                pages = get(pool, object_id, index, count, partial(on_get, cookie, offset, length))
                if isinstance(pages, list):
                    assert len(pages) == count, "as many pages as were asked for"
                    answer_pages(cookie, offset, pages)
                    if pages_read < PASS_PAGES_MAX:
                        continue
                else:
                    self._answer_or_owe(cookie, length, pages)
            else:
                taken = self._serve_rare(word, cookie, offset, length, view[body:end])
                if taken == _INCOMPLETE:
                    break
                start = body + taken
            if self._must_stop(pages_read):
                break
        self._counters.requests[Command.READ] += reads
        self._counters.requests[Command.WRITE] += writes
        received.start = start

    def _must_stop(self, pages_read: int) -> bool:
        """Whether a pass is over, asked after each request that is not answered at once."""
        if self._slices is not None or self.is_disconnecting:
            return True
        if self._writing is not None or self._refused is not None:
            return True
        self.has_unserved = pages_read + self._pages_of_pass >= PASS_PAGES_MAX or self.is_full
        return self.has_unserved

    def _take_payload(self) -> bool:
        """Use what is here of the payload of a long or refused WRITE; return whether that is all of it."""
        received = self.received
        if self._refused is not None:
            received.start += self._skip(self._refused, received.end - received.start)
        elif self._writing is not None:
            payload = received.view[received.start : received.end]
            received.start += self._write_on(self._writing, payload)
        return self._writing is None and self._refused is None

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
        failure = self._session.judge(command, flags, offset, length)
        if failure is None and command == Command.WRITE:
            return self._begin_write(flags, cookie, offset, length, payload)
        self._counters.on_request(command)
        if failure is None:
            self._serve_without_payload(command, flags, cookie, offset, length)
            return 0
        if command != Command.WRITE or not length:
            self._answer(cookie, failure)
            return 0
        if length > REFUSED_PAYLOAD_BYTES_MAX:
            self._answer(cookie, failure)
            raise RemoteProtocolError(
                f"WRITE of {length} bytes, more than {REFUSED_PAYLOAD_BYTES_MAX} are not even skipped"
            )
        # Clients expect no answer to what they are still sending: libnbd takes one for a broken server.
        self._refused = _Refused(cookie, length, failure)
        return self._skip(self._refused, len(payload))

    def _begin_write(
        self, flags: int, cookie: bytes, offset: int, length: int, payload: memoryview
    ) -> int:
        is_whole = len(payload) >= length
        if not is_whole and length <= WHOLE_WRITE_BYTES_MAX:
            self._wanted_bytes = REQUEST_BYTES + length
            return _INCOMPLETE
        self._counters.on_request(Command.WRITE)
        self._owe(length)
        parts = self._parts(flags, cookie, length, offset, length)
        if is_whole:
            self._export.write(self._pager, offset, payload[:length], parts)
            parts.all_begun()
            return length
        self._writing = _Writing(offset, length, parts)
        return self._write_on(self._writing, payload)

    def _write_on(self, writing: _Writing, payload: memoryview) -> int:
        """Write what is here of a long WRITE; return how many bytes that is."""
        length = writing.next_part(len(payload))
        if length:
            self._export.write(self._pager, writing.offset, payload[:length], writing.parts)
            writing.offset += length
            writing.rest_bytes -= length
        if writing.rest_bytes:
            self._wanted_bytes = min(writing.rest_bytes, RECEIVE_BYTES)
        else:
            self._writing = None
            writing.parts.all_begun()
        return length

    def _skip(self, refused: _Refused, here_bytes: int) -> int:
        """Skip the payload of a refused WRITE; return how much of what is here belongs to it."""
        length = min(refused.rest_bytes, here_bytes)
        refused.rest_bytes -= length
        if refused.rest_bytes:
            self._wanted_bytes = min(refused.rest_bytes, RECEIVE_BYTES)
        else:
            self._refused = None
            self._answer(refused.cookie, refused.failure)
        return length

    def _serve_without_payload(
        self, command: int, flags: int, cookie: bytes, offset: int, length: int
    ) -> None:
        export, pager = self._export, self._pager
        self._pages_of_pass += min(length >> _PAGE_SHIFT, PASS_PAGES_MAX) + 1
        if command == Command.READ:
            self._begin_read(flags, cookie, offset, length)
            return
        if command == Command.BLOCK_STATUS:
            assert self._structured is not None
            self._pages_of_pass += PASS_PAGES_MAX
            extents_max = 1 if flags & CommandFlag.REQ_ONE else EXTENTS_MAX
            extents = export.extents(pager, offset, length, extents_max=extents_max)
            self._structured.extents(cookie, extents)
            return
        # No payload and no data: whatever the length, what waits is small.
        self._owe(0)
        if command == Command.FLUSH:
            parts = Parts(partial(self._on_done, cookie, 0))
            if export.is_replicated:
                export.replicate(pager, 0, export.size, parts)
            parts.all_begun()
            return
        parts = self._parts(flags, cookie, 0, offset, length)
        if command == Command.TRIM:
            slices = export.trim(pager, offset, length)
        elif command == Command.CACHE:
            slices = export.cache(pager, offset, length, parts)
        else:
            assert command == Command.WRITE_ZEROES
            no_hole = bool(flags & CommandFlag.NO_HOLE)
            slices = export.write_zeroes(pager, offset, length, parts, no_hole=no_hole)
        self._advance(_then(slices, parts.all_begun))

    def _begin_read(self, flags: int, cookie: bytes, offset: int, length: int) -> None:
        self._owe(length)
        slices_count = -(-(offset % PAGE_BYTES + length) // _SLICE_BYTES)
        is_streamed = slices_count > 1 and not flags & CommandFlag.DF
        reading = Reading(
            self._answers,
            cookie,
            offset,
            length,
            slices_count=slices_count,
            streamed=self._structured if is_streamed else None,
            on_progress=self._on_late,
            on_end=partial(self._on_read_end, length),
        )
        self._advance(self._export.read(self._pager, offset, length, reading.on_slice))

    def _advance(self, slices: Iterator[None]) -> None:
        """Do the next slice of a request; it stays under way if there is another."""
        is_over = next(slices, _OVER) is _OVER
        self._slices = None if is_over else slices
        self.has_unserved = not is_over

    def _parts(self, flags: int, cookie: bytes, owed: int, offset: int, length: int) -> Parts:
        if flags & CommandFlag.FUA and self._export.is_replicated:
            return Parts(partial(self._replicate, cookie, owed, offset, length))
        return Parts(partial(self._on_done, cookie, owed))

    def _replicate(
        self, cookie: bytes, owed: int, offset: int, length: int, failure: Failure | None
    ) -> None:
        """A request with FUA is done here: now at the peers too."""
        if failure is not None or self.is_closed:
            self._on_done(cookie, owed, failure)
            return
        parts = Parts(partial(self._on_done, cookie, owed))
        self._export.replicate(self._pager, offset, length, parts)
        parts.all_begun()

    def _owe(self, length: int) -> None:
        self.in_flight_count += 1
        self.in_flight_bytes += length
        self._counters.in_flight_count += 1

    def _settle_debt(self, length: int) -> bool:
        """Take note that a request waits no more; return whether its reply is still wanted."""
        if self.is_closed:
            return False
        self.in_flight_count -= 1
        self.in_flight_bytes -= length
        self._counters.in_flight_count -= 1
        return True

    def _answer_or_owe(
        self, cookie: bytes, length: int, outcome: PutOutcome | GetOutcome | None
    ) -> None:
        if outcome is None:
            self._owe(length)
        else:
            self._answer(cookie, failure_of(outcome))

    def _answer(self, cookie: bytes, failure: Failure | None) -> None:
        if failure is None:
            self._answers.success(cookie)
        else:
            self._counters.on_error(failure.errno)
            self._answers.failure(cookie, failure)

    def _on_get(self, cookie: bytes, offset: int, length: int, result: GetResult) -> None:
        if self._settle_debt(length):
            if isinstance(result, GetOutcome):
                self._answer(cookie, failure_of(result))
            else:
                self._answers.pages(cookie, offset, result)
            self._on_late()

    def _on_put(self, cookie: bytes, length: int, outcome: PutOutcome) -> None:
        self._on_done(cookie, length, failure_of(outcome))

    def _on_done(self, cookie: bytes, owed: int, failure: Failure | None) -> None:
        if self._settle_debt(owed):
            self._answer(cookie, failure)
            self._on_late()

    def _on_read_end(self, owed: int, failure: Failure | None) -> bool:
        if failure is not None:
            self._counters.on_error(failure.errno)
        return self._settle_debt(owed)

    def _on_late(self) -> None:
        if not self._in_pass and not self.is_closed:
            self._on_late_reply()


_OVER: Final = object()


def _then(slices: Iterator[None], end: Callable[[], None]) -> Iterator[None]:
    yield from slices
    end()
