"""Requests that are no everyday ones: any command and flag, any range, however long.

Pure.  Everything is judged first; what is refused is answered, and the connection goes on.  A
request that needs several passes (slices of a long range, the payload of a long WRITE) stays under
way here, and nothing else of its connection is served until it is begun as a whole.  Nor is the
first WRITE to a blank export begun before the state file names that export (`statefile.marks`): it
stays where it was received, and what came behind it, too.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from ramsterd.frontends.nbd.answers import Answers, StructuredAnswers
from ramsterd.frontends.nbd.buffers import RECEIVE_BYTES, WHOLE_WRITE_BYTES_MAX, ReceiveBuffer
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.debts import Debts
from ramsterd.frontends.nbd.failures import NOT_MARKED, Failure
from ramsterd.frontends.nbd.parts import Done, Parts
from ramsterd.frontends.nbd.payloads import PartOfRefused, PartOfWrite, Refused, Writing
from ramsterd.frontends.nbd.protocol import (
    EXTENTS_MAX,
    PASS_PAGES_MAX,
    REFUSED_PAYLOAD_BYTES_MAX,
    REQUEST_BYTES,
    REQUEST_MAGIC,
    SLICE_PAGES,
    Command,
    CommandFlag,
)
from ramsterd.frontends.nbd.reading import Reading
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.pager import DiskClient

# What `serve` returns for a request that is not all here yet.
INCOMPLETE: Final = -1
_SLICE_BYTES: Final = SLICE_PAGES * PAGE_BYTES
_OVER: Final = object()

assert WHOLE_WRITE_BYTES_MAX >= PAGE_BYTES, "a part of a long WRITE is a page at least"


class RareRequests:
    """Serves one request at a time.

    `Transmission` asks it for all that its own loop does not know.
    """

    __slots__ = (
        "_answers",
        "_counters",
        "_debts",
        "_export",
        "_in_flight",
        "_is_refused",
        "_latency",
        "_pager",
        "_payload",
        "_session",
        "_slices",
        "_structured",
        "_waited",
        "is_disconnecting",
        "is_under_way",
        "is_waiting",
        "pages_of_pass",
        "wanted_bytes",
    )

    def __init__(
        self,
        session: Session,
        pager: DiskClient,
        counters: Counters,
        debts: Debts,
        answers: Answers,
        structured: StructuredAnswers | None,
    ) -> None:
        self.is_disconnecting = False
        # A request must end before the next begins.
        self.is_under_way = False
        # The next WRITE waits for the state file: serve nothing meanwhile.
        self.is_waiting = False
        # The cookie of the WRITE that waited last, and whether it is to be refused: the file
        # couldn't be written.
        self._waited = b""
        self._is_refused = False
        # What the requests of this pass cost, about; the caller starts it anew and compares.
        self.pages_of_pass = 0
        # What the first unserved request needs before it can be served.
        self.wanted_bytes = REQUEST_BYTES
        self._session = session
        self._export = session.export
        self._pager = pager
        self._counters = counters
        self._latency = counters.latency
        self._debts = debts
        self._in_flight = debts.in_flight
        self._answers = answers
        # The same, where the client takes structured replies.
        self._structured = structured
        # The request that is under way over several passes: its slices, or its payload.
        self._slices: Iterator[None] | None = None
        self._payload: Writing | Refused | None = None

    @property
    def has_slices(self) -> bool:
        """Whether the next pass goes on with a request that has begun, whatever is received."""
        return self._slices is not None

    @property
    def is_begun(self) -> bool:
        """Whether a request that is under way must be finished, whatever the limits say."""
        return self._slices is not None or isinstance(self._payload, Writing)

    # From one process to the next.

    @property
    def is_at_edge(self) -> bool:
        """Whether nothing is begun but a WRITE whose next part is still to come, and no other request is in flight."""
        if self._slices is not None:
            return False
        if self._payload is None:
            return not self._in_flight.count
        is_writing = isinstance(self._payload, Writing)
        return self._payload.is_settled and self._in_flight.count == is_writing

    def what_is_left(self) -> PartOfWrite | PartOfRefused | None:
        """Return what is to come of the WRITE that is under way, at an edge."""
        assert self.is_at_edge
        return None if self._payload is None else self._payload.what_is_left()

    def take_up(self, part: PartOfWrite | PartOfRefused) -> None:
        """Go on with a WRITE that an earlier process began."""
        if isinstance(part, PartOfRefused):
            self._await_payload(Refused(part))
        else:
            self._await_payload(self._begin_write(part, began_at=None))

    def close(self) -> None:
        """Forget what is under way."""
        self._slices = self._payload = None
        self.is_waiting = False

    def resume(self, received: ReceiveBuffer) -> None:
        """Go on with the request that is under way."""
        if self._slices is not None:
            self._advance(self._slices)
        else:
            received.start += self._take(received.view[received.start : received.end])

    def serve(self, word: int, cookie: bytes, offset: int, length: int, payload: memoryview) -> int:
        """Serve a request; return how much of `payload` it took, or INCOMPLETE.

        Raises:
            RemoteProtocolError: It is none, or a WRITE so long that nobody skips it.
        """
        if word >> 32 != REQUEST_MAGIC:
            raise RemoteProtocolError(f"request magic {word >> 32:#x}")
        flags, command = word >> 16 & 0xFFFF, word & 0xFFFF
        failure = None
        if command == Command.DISC:
            self.is_disconnecting = True
        else:
            failure = self._session.judge(command, flags, offset, length)
        if command == Command.WRITE and failure is None and not self._export.mark.is_set:
            is_set = self._ask_mark(cookie)
            if is_set is None:
                return INCOMPLETE
            failure = None if is_set else NOT_MARKED
        if command == Command.WRITE and failure is None:
            return self._serve_write(flags, cookie, offset, length, payload)
        self._counters.on_request(command)
        self.pages_of_pass += 1
        if command == Command.WRITE and failure is not None and length:
            if length > REFUSED_PAYLOAD_BYTES_MAX:
                self._debts.answer(cookie, failure)
                raise RemoteProtocolError(
                    f"WRITE of {length} bytes, more than {REFUSED_PAYLOAD_BYTES_MAX} are not even skipped"
                )
            self._payload = Refused(
                PartOfRefused(cookie=cookie, rest_bytes=length, failure=failure)
            )
            return self._take(payload)
        if failure is not None:
            self._debts.answer(cookie, failure)
        elif command != Command.DISC:
            self._serve_without_payload(command, flags, cookie, offset, length)
        return 0

    # WRITE.

    def _ask_mark(self, cookie: bytes) -> bool | None:
        """Return whether the pages of a WRITE may be put now, or None: not before `_on_marked`."""
        if self.is_waiting:
            return None
        if self._is_refused and self._waited == cookie:
            self._is_refused = False
            return False
        self._waited = cookie
        is_set = self._export.mark.wait_set(self._on_marked)
        self.is_waiting = is_set is None
        return is_set

    def _on_marked(self, is_set: bool) -> None:
        if self.is_waiting:
            self.is_waiting = False
            self._is_refused = not is_set
            self._in_flight.on_answered()

    def _serve_write(
        self, flags: int, cookie: bytes, offset: int, length: int, payload: memoryview
    ) -> int:
        is_whole = len(payload) >= length
        if not is_whole and length <= WHOLE_WRITE_BYTES_MAX:
            self.wanted_bytes = REQUEST_BYTES + length
            return INCOMPLETE
        self._counters.on_request(Command.WRITE)
        write = PartOfWrite(
            flags=flags, cookie=cookie, offset=offset, length=length, rest_bytes=length
        )
        self._payload = self._begin_write(write, began_at=self._latency.began_at)
        return self._take(payload)

    def _begin_write(self, write: PartOfWrite, *, began_at: float | None) -> Writing:
        self._in_flight.begin(write.length)
        done = partial(self._debts.on_write_done, began_at, write.cookie, write.length)
        parts = self._parts(done, write.flags, write.offset, write.length, write.failure)
        return Writing(self._export, self._pager, write, parts)

    def _take(self, payload: memoryview) -> int:
        """Use what is here for the WRITE that is under way; return how many bytes that is."""
        under_way = self._payload
        assert under_way is not None
        taken = under_way.take(payload)
        if under_way.rest_bytes:
            self._await_payload(under_way)
            return taken
        self.is_under_way = False
        self._payload = None
        if isinstance(under_way, Refused):
            self._debts.answer(under_way.cookie, under_way.failure)
        return taken

    def _await_payload(self, payload: Writing | Refused) -> None:
        self._payload = payload
        self.is_under_way = True
        self.wanted_bytes = min(payload.rest_bytes, RECEIVE_BYTES)

    # All others.

    def _serve_without_payload(
        self, command: int, flags: int, cookie: bytes, offset: int, length: int
    ) -> None:
        self.pages_of_pass += min(length // PAGE_BYTES, PASS_PAGES_MAX)
        if command == Command.READ:
            self._begin_read(flags, cookie, offset, length)
        elif command == Command.BLOCK_STATUS:
            self._tell_status(flags, cookie, offset, length)
        elif command == Command.FLUSH:
            self._begin_flush(cookie)
        else:
            self._begin_range(command, flags, cookie, offset, length)

    def _begin_read(self, flags: int, cookie: bytes, offset: int, length: int) -> None:
        self._in_flight.begin(length)
        slices_count = -(-(offset % PAGE_BYTES + length) // _SLICE_BYTES)
        is_streamed = slices_count > 1 and not flags & CommandFlag.DF
        reading = Reading(
            self._answers,
            cookie,
            offset,
            length,
            slices_count=slices_count,
            streamed=self._structured if is_streamed else None,
            on_progress=self._in_flight.on_answered,
            on_end=partial(self._debts.on_read_end, self._latency.began_at, length),
        )
        self._advance(self._export.read(self._pager, offset, length, reading.on_slice))

    def _tell_status(self, flags: int, cookie: bytes, offset: int, length: int) -> None:
        assert self._structured is not None, "Session.judge saw to it"
        self.pages_of_pass += PASS_PAGES_MAX
        extents_max = 1 if flags & CommandFlag.REQ_ONE else EXTENTS_MAX
        extents = self._export.extents(self._pager, offset, length, extents_max=extents_max)
        self._structured.extents(cookie, extents)

    def _begin_flush(self, cookie: bytes) -> None:
        self._in_flight.begin(0)
        parts = Parts(partial(self._debts.on_done, cookie, 0))
        if self._export.is_replicated:
            self._export.replicate(self._pager, 0, self._export.size, parts)
        parts.all_begun()

    def _begin_range(
        self, command: int, flags: int, cookie: bytes, offset: int, length: int
    ) -> None:
        # No payload and no data: whatever the length, what waits is small.
        self._in_flight.begin(0)
        parts = self._parts(partial(self._debts.on_done, cookie, 0), flags, offset, length)
        export, pager = self._export, self._pager
        if command == Command.TRIM:
            slices = export.trim(pager, offset, length)
        elif command == Command.CACHE:
            slices = export.cache(pager, offset, length, parts)
        else:
            assert command == Command.WRITE_ZEROES
            no_hole = bool(flags & CommandFlag.NO_HOLE)
            slices = export.write_zeroes(pager, offset, length, parts, no_hole=no_hole)
        self._advance(_then(slices, parts.all_begun))

    def _advance(self, slices: Iterator[None]) -> None:
        """Do the next slice of a request; it stays under way if there is another."""
        self.is_under_way = next(slices, _OVER) is not _OVER
        self._slices = slices if self.is_under_way else None

    # FUA.

    def _parts(
        self,
        done: Done,
        flags: int,
        offset: int,
        length: int,
        failure: Failure | None = None,
    ) -> Parts:
        if flags & CommandFlag.FUA and self._export.is_replicated:
            done = partial(self._replicate, done, offset, length)
        return Parts(done, failure=failure)

    def _replicate(self, done: Done, offset: int, length: int, failure: Failure | None) -> None:
        """A request with FUA is done here: now at the peers too."""
        if failure is not None:
            done(failure)
            return
        parts = Parts(done)
        self._export.replicate(self._pager, offset, length, parts)
        parts.all_begun()


def _then(slices: Iterator[None], end: Callable[[], None]) -> Iterator[None]:
    yield from slices
    end()
