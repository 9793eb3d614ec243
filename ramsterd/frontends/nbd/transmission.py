"""The requests of one connection after its handshake: one pass over all that was received.

Pure.  A pass serves each complete request by one call of the pager and collects the replies in one
list; the shell then settles the pager and sends the list.  A request that has to wait for a peer
leaves a callback with the pager, which appends its reply later (see `debts.py`): replies leave out
of order.

What a pass begins with is served by few calls, as far as it can be (`together.py`).  Other everyday
requests (aligned, in range, no rare flag) are told by comparing one word and stay inside `_serve`,
which makes no object for them but the callback that the pager wants; everything else goes to
`rare.py`.

A pass is bounded, so that one client does not hold up the others: after PASS_PAGES_MAX pages it
ends, and a request longer than that is under way over several passes, during which its connection
serves nothing else.  What a connection may owe is bounded too: `is_full` says when to stop
receiving from it.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from config.limits import PAGE_BYTES
from net.buffers import BufferPool
from ramsterd.frontends.clients.replies import ReplyQueue
from ramsterd.frontends.nbd.answers import SUCCESS, SimpleAnswers, StructuredAnswers
from ramsterd.frontends.nbd.buffers import WHOLE_WRITE_BYTES_MAX, ReceiveBuffer
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.debts import Debts
from ramsterd.frontends.nbd.payloads import PartOfRefused, PartOfWrite
from ramsterd.frontends.nbd.protocol import (
    PASS_PAGES_MAX,
    REPLY_BYTES,
    REPLY_BYTES_MAX,
    REQUEST,
    REQUEST_BYTES,
    SLICE_PAGES,
    Command,
)
from ramsterd.frontends.nbd.rare import INCOMPLETE, RareRequests
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.together import READ_WORD, WRITE_WORD, Together
from ramsterd.frontends.pager import DiskClient, PutOutcome

# Plain numbers: an enum as an index costs a call.
_READ: Final = int(Command.READ)
_WRITE: Final = int(Command.WRITE)
_unpack_request: Final = REQUEST.unpack_from
_PAGE_MASK: Final = PAGE_BYTES - 1
_PAGE_SHIFT: Final = PAGE_BYTES.bit_length() - 1
_SLICE_BYTES: Final = SLICE_PAGES * PAGE_BYTES

assert 1 << _PAGE_SHIFT == PAGE_BYTES
assert REQUEST.size == REQUEST_BYTES


class Transmission:
    """One connection's requests and replies.

    `received` is filled and `replies` is sent by the shell.  After an exception the connection is
    of no further use: `close` it.
    """

    __slots__ = (
        "_debts",
        "_everyday",
        "_in_flight",
        "_latency",
        "_mark",
        "_pager",
        "_rare",
        "_requests_counted",
        "_together",
        "_write_word",
        "has_only_read",
        "has_unserved",
        "received",
        "replies",
    )

    def __init__(
        self,
        session: Session,
        pager: DiskClient,
        counters: Counters,
        on_late_reply: Callable[[], None],
        *,
        pool: BufferPool | None = None,
    ) -> None:
        self.received = ReceiveBuffer(pool)
        self.replies = ReplyQueue()
        # A limit ended the last pass: serve again before receiving.
        self.has_unserved = False
        self.has_only_read = False
        structured = StructuredAnswers(self.replies) if session.is_structured else None
        answers = structured or SimpleAnswers(self.replies)
        self._pager = pager
        self._debts = Debts(answers, counters, on_late_reply)
        self._in_flight = self._debts.in_flight
        self._rare = RareRequests(session, pager, counters, self._debts, answers, structured)
        self._requests_counted = counters.requests
        self._latency = counters.latency
        # What `_serve` needs of others, looked up once.
        export = session.export
        # To a read-only export no WRITE is an everyday request.
        self._write_word = -1 if export.is_read_only else WRITE_WORD
        self._mark = export.mark
        self._everyday = (
            export.pool,
            export.object_id,
            export.size,
            pager.get,
            pager.put,
            self._debts.on_get,
            self._debts.on_put,
            answers.pages,
        )
        self._together = Together(
            session, pager, counters, self.received, self.replies, self._debts, self._rare, answers
        )

    @property
    def in_flight_count(self) -> int:
        """How many requests wait, for the pager or for the state file."""
        return self._in_flight.count + self._rare.is_waiting

    @property
    def is_waiting(self) -> bool:
        """Whether any request waits."""
        return bool(self.in_flight_count)

    @property
    def in_flight_bytes(self) -> int:
        """How many bytes of data they have."""
        return self._in_flight.bytes

    @property
    def is_disconnecting(self) -> bool:
        """Whether the client said goodbye: nothing more is received."""
        return self._rare.is_disconnecting

    @property
    def is_full(self) -> bool:
        """Whether the client must wait: serve and receive nothing until it is false.

        A request that has begun is always finished: it is what fills the rest of the limit.
        """
        if self.replies.queued_bytes >= REPLY_BYTES_MAX or self._rare.is_waiting:
            return True
        return self._in_flight.is_full and not self._rare.is_begun

    @property
    def lacks_bytes(self) -> bool:
        """Whether all that is received is the beginning of one request: there is nothing to serve yet."""
        received, rare = self.received, self._rare
        return not rare.is_under_way and received.end - received.start < rare.wanted_bytes

    @property
    def pages_of_pass(self) -> int:
        """How much work the last pass was, in pages read or looked at.

        What was written came over the socket.
        """
        return self._rare.pages_of_pass

    @property
    def is_finished(self) -> bool:
        """Whether the client disconnected and has been sent everything."""
        return self.is_disconnecting and not self.in_flight_count and not self.replies.queued_bytes

    # From one process to the next.

    @property
    def has_begun(self) -> bool:
        """Whether a request is begun that `go_on` goes on with."""
        return self._rare.has_slices

    @property
    def is_at_edge(self) -> bool:
        """Whether all that was begun is answered, but for a WRITE whose payload is still to come."""
        return self._rare.is_at_edge and not self.is_disconnecting

    def go_on(self) -> None:
        """Do the next slice of a request that is begun, and begin no other."""
        self.has_only_read = False
        self._in_flight.is_in_pass = True
        try:
            self._rare.resume(self.received)
        finally:
            self._in_flight.is_in_pass = False

    def what_is_left(self) -> PartOfWrite | PartOfRefused | None:
        """Return what is to come of the WRITE that is under way, at an edge."""
        return self._rare.what_is_left()

    def take_up(
        self, part: PartOfWrite | PartOfRefused | None, unread: bytes, unsent: bytes
    ) -> None:
        """Go on where an earlier process stood at an edge; before anything is received."""
        if part is not None:
            self._rare.take_up(part)
        self.received.feed(unread)
        if unsent:
            self.replies.append(unsent)

    def close(self) -> None:
        """The client is gone: what it waits for has no effect any more, replies are forgotten, and buffers are free.

        May be called twice.
        """
        self._pager.close()
        self._in_flight.close()
        self._rare.close()
        self.received.close()
        self.replies.clear()

    def serve(self) -> None:
        """Serve every complete request received, until a limit is reached.

        Raises:
            RemoteProtocolError: The client sent what is no request, or a WRITE far over the limit.
                Requests before it were served.
        """
        # A client that waits for each answer pays for all of this once a request.
        rare, in_flight = self._rare, self._in_flight
        in_flight.is_in_pass = True
        rare.pages_of_pass = 0
        self.has_only_read = False
        try:
            goes_on = rare.is_under_way
            if goes_on:
                rare.resume(self.received)
            if rare.is_under_way:
                self.has_unserved = rare.has_slices
            else:
                owes = in_flight.count or self.replies.queued_bytes
                self.has_unserved = bool(owes) and self.is_full
                # The first WRITE to a blank export waits for the state file, in `rare`.
                write_word = self._write_word if self._mark.is_set else -1
                if not self.has_unserved:
                    rare.wanted_bytes = REQUEST_BYTES
                    self.has_unserved = self._together.serve(write_word)
                    self.has_only_read = self._together.has_only_read and not goes_on
                if not self.has_unserved and self.received.start != self.received.end:
                    self.has_only_read = False
                    self._serve(write_word)
        finally:
            in_flight.is_in_pass = False
        if not self.has_unserved and not rare.is_disconnecting:
            self.received.make_room(rare.wanted_bytes)

    def _serve(self, write_word: int) -> None:
        received, replies, rare, latency = self.received, self.replies, self._rare, self._latency
        pages_max = PASS_PAGES_MAX - rare.pages_of_pass
        start, end, view = received.start, received.end, received.view
        pool, object_id, size, get, put, on_get, on_put, answer_pages = self._everyday
        reads = writes = pages_read = 0
        try:
            while (body := start + REQUEST_BYTES) <= end:
                word, cookie, offset, length = _unpack_request(view, start)
                is_plain = not (offset | length) & _PAGE_MASK and 0 < length <= size - offset
                if word == READ_WORD and is_plain and length <= _SLICE_BYTES:
                    reads += 1
                    start = body
                    index, count = offset >> _PAGE_SHIFT, length >> _PAGE_SHIFT
                    pages_read += count
                    pages = get(
                        pool,
                        object_id,
                        index,
                        count,
                        partial(on_get, latency.began_at, cookie, offset, length),
                    )
                    if isinstance(pages, list):
                        assert len(pages) == count, "as many pages as were asked for"
                        answer_pages(cookie, offset, pages)
                        if pages_read < pages_max:
                            continue
                    else:
                        self._debts.answer_or_owe_read(cookie, length, pages)
                elif word == write_word and is_plain and length <= WHOLE_WRITE_BYTES_MAX:
                    if length > end - body:
                        # The everyday end of a receive: the rest of this one is still on its way.
                        rare.wanted_bytes = REQUEST_BYTES + length
                        break
                    writes += 1
                    start = body + length
                    pages_put = view[body:start]
                    stored = put(
                        pool,
                        object_id,
                        offset >> _PAGE_SHIFT,
                        pages_put,
                        partial(on_put, latency.began_at, cookie, length),
                    )
                    if stored is PutOutcome.STORED:
                        replies.pieces.append(SUCCESS + cookie)
                        replies.queued_bytes += REPLY_BYTES
                        continue
                    self._debts.answer_or_owe_write(cookie, length, stored)
                else:
                    taken = rare.serve(word, cookie, offset, length, view[body:end])
                    if taken == INCOMPLETE:
                        self.has_unserved = rare.is_waiting
                        break
                    start = body + taken
                if self._must_stop(pages_read):
                    break
        finally:
            # Also what came before garbage was served.
            self._requests_counted[_READ] += reads
            self._requests_counted[_WRITE] += writes
            latency.reads, latency.writes = latency.reads + reads, latency.writes + writes
            rare.pages_of_pass += pages_read
            received.start = start

    def _must_stop(self, pages_read: int) -> bool:
        """Whether a pass is over, asked after each request that is not answered at once."""
        self.has_unserved = self._rare.has_slices
        if self._rare.is_under_way or self._rare.is_disconnecting:
            return True
        self.has_unserved = pages_read + self._rare.pages_of_pass >= PASS_PAGES_MAX or self.is_full
        return self.has_unserved
