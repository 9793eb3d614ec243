"""What a pass begins with: everyday requests that come together, served by as few calls as there may be.

Where the compiled loops are, by one call of them up to the first request that is not everyday; else
READs and then WRITEs of one page each, by one call of the pager for each kind.  A READ of a page
that is at a peer is owed, with all others of its call.
"""

from functools import partial
from typing import Final

from config.limits import PAGE_BYTES
from ramsterd.frontends.clients.replies import ReplyQueue
from ramsterd.frontends.nbd.answers import SUCCESS, Answers
from ramsterd.frontends.nbd.buffers import ReceiveBuffer
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.debts import Debts
from ramsterd.frontends.nbd.protocol import (
    PASS_PAGES_MAX,
    REPLY_BYTES,
    REQUEST,
    REQUEST_BYTES,
    Command,
    request_word,
)
from ramsterd.frontends.nbd.rare import RareRequests
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.pager import DiskClient

READ_WORD: Final = request_word(Command.READ)
WRITE_WORD: Final = request_word(Command.WRITE)
# Plain numbers: an enum as an index costs a call.
_READ: Final = int(Command.READ)
_WRITE: Final = int(Command.WRITE)
_unpack_request: Final = REQUEST.unpack_from
_PAGE_MASK: Final = PAGE_BYTES - 1
_PAGE_SHIFT: Final = PAGE_BYTES.bit_length() - 1

# Requests that one call of the pager is worth while for.
_REQUESTS_MIN: Final = 2
_ROUND_REQUESTS_MIN: Final = 8
_READ_BYTES_MIN: Final = _REQUESTS_MIN * REQUEST_BYTES
# A WRITE of a page.
_WRITE_BYTES: Final = REQUEST_BYTES + PAGE_BYTES


class Together:
    """Serves what a pass begins with, for a connection whose parts these are."""

    __slots__ = (
        "_answers",
        "_debts",
        "_in_flight",
        "_is_structured",
        "_latency",
        "_object",
        "_pager",
        "_rare",
        "_received",
        "_replies",
        "_requests_counted",
        "has_only_read",
    )

    def __init__(
        self,
        session: Session,
        pager: DiskClient,
        counters: Counters,
        received: ReceiveBuffer,
        replies: ReplyQueue,
        debts: Debts,
        rare: RareRequests,
        answers: Answers,
    ) -> None:
        export = session.export
        self._object = export.pool, export.object_id, export.size
        self._is_structured = session.is_structured
        self._pager = pager
        self._requests_counted, self._latency = counters.requests, counters.latency
        self._received, self._replies, self._answers = received, replies, answers
        self._debts, self._in_flight, self._rare = debts, debts.in_flight, rare
        # Whether the last `serve` read what is here, and did nothing else.
        self.has_only_read = False

    def serve(self, write_word: int) -> bool:
        """Serve requests; return whether the pass is over.  `write_word` is -1 if no WRITE is everyday."""
        self.has_only_read = False
        if self._pager.serves_passes:
            self._serve_by_compiled_loops(write_word)
        else:
            self._read_together()
            self._write_together(write_word)
        return self._is_pass_over

    @property
    def _is_pass_over(self) -> bool:
        return self._rare.pages_of_pass >= PASS_PAGES_MAX or self._in_flight.is_full

    def _serve_by_compiled_loops(self, write_word: int) -> None:
        """Serve what is everyday, and READs of pages at peers in between together.

        Each round looks at all that was received, so one that serves little is the last.
        """
        received, counted = self._received, self._requests_counted
        first, writes = received.start, counted[_WRITE]
        while received.start != received.end and not self._is_pass_over:
            before, start = counted[_READ] + counted[_WRITE], received.start
            self._serve_everyday(write_word)
            if received.start == received.end:
                # A client that waits for each answer sent no more than this.
                self.has_only_read = start == first and counted[_WRITE] == writes
                return
            if not self._is_pass_over:
                self._read_together()
            if counted[_READ] + counted[_WRITE] < before + _ROUND_REQUESTS_MIN:
                return

    def _serve_everyday(self, write_word: int) -> None:
        """Serve requests by compiled loops, up to the first that is not everyday."""
        received, replies = self._received, self._replies
        served = self._pager.serve_pass(
            *self._object, received.view[received.start : received.end],
            is_structured=self._is_structured,
            is_writable=write_word == WRITE_WORD,
            pages_max=PASS_PAGES_MAX - self._rare.pages_of_pass,
        )  # fmt: skip
        for piece in served.replies:
            replies.pieces.append(piece)
            replies.queued_bytes += len(piece)
        self._requests_counted[_READ] += served.reads
        self._requests_counted[_WRITE] += served.writes
        self._latency.reads += served.reads
        self._latency.writes += served.writes
        self._rare.pages_of_pass += served.pages_read
        received.start += served.length

    def _read_together(self) -> None:
        """Serve the READs of one page each that a pass begins with, and owe those whose pages are not here.

        A client that asks for much at a time pays once for what a call costs.
        """
        received = self._received
        start, end = received.start, received.end
        if end - start < _READ_BYTES_MIN:
            return
        pool, object_id, size = self._object
        pages_max = PASS_PAGES_MAX - self._rare.pages_of_pass
        whole_bytes = min((end - start) // REQUEST_BYTES, pages_max) * REQUEST_BYTES
        view = received.view[start : start + whole_bytes]
        cookies, offsets = [], []
        for word, cookie, offset, length in REQUEST.iter_unpack(view):
            if word != READ_WORD or length != PAGE_BYTES or offset & _PAGE_MASK or offset >= size:
                break
            cookies.append(cookie)
            offsets.append(offset)
        room = self._in_flight.room(PAGE_BYTES)
        if min(room, len(offsets)) < _REQUESTS_MIN:
            return
        pages, follow, lost = self._pager.get_each(
            pool,
            object_id,
            [offset >> _PAGE_SHIFT for offset in offsets[:room]],
            partial(self._debts.on_each, self._latency.began_at, cookies, offsets),
        )
        count = len(pages)
        if follow or lost:
            self._debts.answer_or_owe_each(cookies, offsets, pages, follow, lost)
        else:
            self._answers.each_page(cookies, offsets, pages)
        self._requests_counted[_READ] += count
        self._latency.reads += count - len(follow)
        self._rare.pages_of_pass += count
        received.start += count * REQUEST_BYTES

    def _write_together(self, write_word: int) -> None:
        """Serve the WRITEs of one page each that come next, likewise, up to the first for which there is no room."""
        received = self._received
        start, end, view = received.start, received.end, received.view
        if end - start < _REQUESTS_MIN * _WRITE_BYTES:
            return
        pool, object_id, size = self._object
        indexes, pages, replies = [], [], []
        while (stop := start + _WRITE_BYTES) <= end:
            word, cookie, offset, length = _unpack_request(view, start)
            if word != write_word or length != PAGE_BYTES or offset & _PAGE_MASK or offset >= size:
                break
            indexes.append(offset >> _PAGE_SHIFT)
            pages.append(view[start + REQUEST_BYTES : stop])
            replies.append(SUCCESS + cookie)
            start = stop
        if len(indexes) < _REQUESTS_MIN:
            return
        count = self._pager.put_each(pool, object_id, indexes, pages)
        self._replies.pieces.extend(replies[:count])
        self._replies.queued_bytes += count * REPLY_BYTES
        self._requests_counted[_WRITE] += count
        self._latency.writes += count
        received.start += count * _WRITE_BYTES
