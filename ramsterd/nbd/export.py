"""One exported disk: which pages a byte range covers, and what each command does to them.

Whole pages go to the pager as runs.  The unaligned head and tail of a write are patches, which the pager makes
atomic, so that two writers of different bytes of a page cannot undo each other; a read of them is a read of the
pages, cut.

A command on a long range is an iterator that does one bounded slice of the work at each step, so that a
connection can let others have their turn in between.  What waits for a peer is collected by `Parts`, which
answers once, when all is done.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from config.limits import PAGE_BYTES
from ramsterd.core.extents import PageStatus
from ramsterd.core.page import ZERO_PAGE, PoolId
from ramsterd.nbd.protocol import (
    NAME_BYTES_MAX,
    PASS_PAGES_MAX,
    PAYLOAD_BYTES_MAX,
    SLICE_PAGES,
    SPAN_PAGES,
    Command,
    CommandFlag,
    Errno,
    State,
    TransmissionFlag,
)
from ramsterd.pager import DiskPagerInterface, GetOutcome, GetResult, Pages, PutOutcome

# The data of a READ, in order.
Pieces: TypeAlias = list[bytes]
# (bytes, state) of consecutive parts of a disk.
Extents: TypeAlias = list[tuple[int, State]]


class Failure(NamedTuple):
    """Why a request fails; the reason is for people, where the client can take it."""

    errno: Errno
    reason: str


Done: TypeAlias = Callable[[Failure | None], None]

_FAILURES: Final[dict[PutOutcome | GetOutcome, Failure | None]] = {
    PutOutcome.STORED: None,
    PutOutcome.REFUSED: Failure(Errno.ENOSPC, "no room here or at any peer"),
    GetOutcome.LOST: Failure(Errno.EIO, "the last copy of a page is gone"),
    GetOutcome.UNREACHABLE: Failure(Errno.EIO, "the holder of a page did not answer in time"),
}
assert set(_FAILURES) == {*PutOutcome, *GetOutcome}

NOT_REPLICATED: Final = Failure(Errno.EIO, "pages are not at the peers that they should be at")
READ_ONLY: Final = Failure(Errno.EPERM, "the export is read-only")
UNKNOWN_COMMAND: Final = Failure(Errno.EINVAL, "unknown command")
UNKNOWN_FLAG: Final = Failure(Errno.EINVAL, "a flag that the command does not have")
NO_LENGTH: Final = Failure(Errno.EINVAL, "a length of 0")
NOT_ZERO: Final = Failure(Errno.EINVAL, "FLUSH has no offset or length")
TOO_LONG: Final = Failure(Errno.EINVAL, "longer than the maximum block size")
BEYOND_END: Final = Failure(Errno.EINVAL, "beyond the end of the export")
NO_SPACE: Final = Failure(Errno.ENOSPC, "beyond the end of the export")
NOT_FAST: Final = Failure(Errno.ENOTSUP, "no whole page in it: not faster than a write")

# FUA is valid everywhere once it was offered, also where it means nothing.  Plain numbers: the complement
# of an IntFlag has only the bits that have names.
_FLAGS_ALLOWED: Final[dict[int, int]] = {
    Command.READ: int(CommandFlag.FUA | CommandFlag.DF),
    Command.WRITE: int(CommandFlag.FUA),
    Command.FLUSH: int(CommandFlag.FUA),
    Command.TRIM: int(CommandFlag.FUA),
    Command.CACHE: int(CommandFlag.FUA),
    Command.WRITE_ZEROES: int(CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO),
    Command.BLOCK_STATUS: int(CommandFlag.FUA | CommandFlag.REQ_ONE),
}
_CHANGING: Final = {Command.WRITE, Command.TRIM, Command.WRITE_ZEROES}
_LIMITED: Final = {Command.READ, Command.WRITE, Command.CACHE}
_NO_SPACE_BEYOND_END: Final = {Command.WRITE, Command.WRITE_ZEROES}

_READING_FLAGS: Final = (
    TransmissionFlag.HAS_FLAGS
    | TransmissionFlag.SEND_FLUSH
    | TransmissionFlag.SEND_FUA
    | TransmissionFlag.SEND_CACHE
    | TransmissionFlag.CAN_MULTI_CONN
)
_WRITING_FLAGS: Final = (
    TransmissionFlag.SEND_TRIM
    | TransmissionFlag.SEND_WRITE_ZEROES
    | TransmissionFlag.SEND_FAST_ZERO
)
_STATES: Final = {
    PageStatus.HOLE: State.HOLE | State.ZERO,
    PageStatus.ZERO: State.ZERO,
    PageStatus.DATA: State(0),
}
assert set(_STATES) == set(PageStatus)


def failure_of(outcome: PutOutcome | GetOutcome) -> Failure | None:
    """Return what a client is told about an outcome of the pager; None is success."""
    return _FAILURES[outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A disk of `size` bytes whose sector at byte n is in page n // 4096 of one object.

    Of a replicated one FLUSH and FUA are answered when the pages are at peers.
    """

    name: str
    size: int
    pool: PoolId
    object_id: bytes
    description: str = ""
    is_read_only: bool = False
    is_replicated: bool = False

    def __post_init__(self) -> None:
        assert self.size % PAGE_BYTES == 0, "config.load checked it"
        assert len(self.name.encode()) <= NAME_BYTES_MAX

    def transmission_flags(self, *, is_structured: bool) -> TransmissionFlag:
        """Return what a client is told that this export can do."""
        flags = _READING_FLAGS
        flags |= TransmissionFlag.READ_ONLY if self.is_read_only else _WRITING_FLAGS
        return flags | TransmissionFlag.SEND_DF if is_structured else flags

    def judge(self, command: int, flags: int, offset: int, length: int) -> Failure | None:
        """Return why a request fails before any page is touched, or None: it is to be served."""
        allowed = _FLAGS_ALLOWED.get(command)
        if allowed is None:
            return UNKNOWN_COMMAND
        if flags & ~allowed:
            return UNKNOWN_FLAG
        if command == Command.FLUSH:
            return NOT_ZERO if offset or length else None
        if self.is_read_only and command in _CHANGING:
            return READ_ONLY
        if flags & CommandFlag.FAST_ZERO and not _split(offset, length)[2]:
            return NOT_FAST
        return self._judge_range(command, offset, length)

    def _judge_range(self, command: int, offset: int, length: int) -> Failure | None:
        if length == 0:
            return NO_LENGTH
        if length > PAYLOAD_BYTES_MAX and command in _LIMITED:
            return TOO_LONG
        if offset + length > self.size:
            return NO_SPACE if command in _NO_SPACE_BEYOND_END else BEYOND_END
        return None

    # All ranges below were judged.

    def read(
        self,
        pager: DiskPagerInterface,
        offset: int,
        length: int,
        on_slice: Callable[[int, Pieces | Failure], None],
    ) -> Iterator[None]:
        """Read in slices; `on_slice` gets the offset and the data, or the failure, of each, now or later."""
        end = offset + length
        while offset < end:
            index, skip = divmod(offset, PAGE_BYTES)
            stop = min(end, (index + SLICE_PAGES) * PAGE_BYTES)
            take = _Cut(on_slice, offset, skip, stop - offset)
            count = -(-(skip + take.length) // PAGE_BYTES)
            result = pager.get(self.pool, self.object_id, index, count, take)
            if result is not None:
                take(result)
            offset = stop
            if offset < end:
                yield

    def write(
        self, pager: DiskPagerInterface, offset: int, data: memoryview, parts: "Parts"
    ) -> None:
        """Write a range; `data` is free again when this returns."""
        head, index, count = _split(offset, len(data))
        if head:
            self._patch(pager, parts, offset, bytes(data[:head]))
        middle_end = head + count * PAGE_BYTES
        if count:
            pages = data[head:middle_end]
            parts.begin()
            parts.on_begun(pager.put(self.pool, self.object_id, index, pages, parts.on_done))
        if middle_end < len(data):
            self._patch(pager, parts, offset + middle_end, bytes(data[middle_end:]))

    def write_zeroes(
        self, pager: DiskPagerInterface, offset: int, length: int, parts: "Parts", *, no_hole: bool
    ) -> Iterator[None]:
        """Make a range read as zeros; unless `no_hole`, whole pages of it become holes."""
        head, index, count = _split(offset, length)
        if head:
            self._patch(pager, parts, offset, ZERO_PAGE[:head])
        middle_end = head + count * PAGE_BYTES
        if middle_end < length:
            self._patch(pager, parts, offset + middle_end, ZERO_PAGE[: length - middle_end])
        if not no_hole:
            yield from self._flush(pager, index, count)
            return
        while count:
            some = min(count, PASS_PAGES_MAX)
            parts.begin()
            parts.on_begun(pager.put_zeros(self.pool, self.object_id, index, some))
            index, count = index + some, count - some
            if count:
                yield

    def trim(self, pager: DiskPagerInterface, offset: int, length: int) -> Iterator[None]:
        """Drop the pages that lie wholly inside the range; the others keep their bytes."""
        _, index, count = _split(offset, length)
        return self._flush(pager, index, count)

    def cache(
        self, pager: DiskPagerInterface, offset: int, length: int, parts: "Parts"
    ) -> Iterator[None]:
        """Bring home the pages of a range."""
        index = offset // PAGE_BYTES
        end = -(-(offset + length) // PAGE_BYTES)
        while index < end:
            some = min(end - index, SLICE_PAGES)
            parts.begin()
            outcome = pager.bring_home(self.pool, self.object_id, index, some, parts.on_cached)
            if outcome is not None:
                parts.on_cached(outcome)
            index += some
            if index < end:
                yield

    def replicate(
        self, pager: DiskPagerInterface, offset: int, length: int, parts: "Parts"
    ) -> None:
        """Wait until the pages of a range are at peers."""
        index = offset // PAGE_BYTES
        count = -(-(offset + length) // PAGE_BYTES) - index
        parts.begin()
        is_replicated = pager.replicate(
            self.pool, self.object_id, index, count, parts.on_replicated
        )
        if is_replicated is not None:
            parts.on_replicated(is_replicated)

    def extents(
        self, pager: DiskPagerInterface, offset: int, length: int, *, extents_max: int
    ) -> Extents:
        """Return the state of a range from its start on, at least of one byte, at most of all of it."""
        index = offset // PAGE_BYTES
        count = -(-(offset + length) // PAGE_BYTES) - index
        position, end = offset, offset + length
        extents: Extents = []
        runs = pager.status(self.pool, self.object_id, index, count, runs_max=extents_max)
        for status, pages_count in runs:
            index += pages_count
            stop = min(end, index * PAGE_BYTES)
            extents.append((stop - position, _STATES[status]))
            position = stop
        return extents

    def _flush(self, pager: DiskPagerInterface, index: int, count: int) -> Iterator[None]:
        while count:
            span = min(count, SPAN_PAGES)
            done = pager.flush_slice(
                self.pool, self.object_id, index, span, pages_max=PASS_PAGES_MAX
            )
            index, count = index + done, count - done
            if count:
                yield

    def _patch(self, pager: DiskPagerInterface, parts: "Parts", offset: int, data: bytes) -> None:
        index, within = divmod(offset, PAGE_BYTES)
        parts.begin()
        parts.on_begun(pager.patch(self.pool, self.object_id, index, within, data, parts.on_done))


class Parts:
    """The parts of one request: answers once, when all are done, with the first failure.

    A part may finish while a later one is being begun, so the count starts with one for `all_begun`.
    """

    __slots__ = ("_done", "_failure", "_waiting_count")

    def __init__(self, done: Done) -> None:
        self._done = done
        self._failure: Failure | None = None
        self._waiting_count = 1

    def begin(self) -> None:
        """Count one more part; before the pager is called."""
        self._waiting_count += 1

    def on_begun(self, outcome: PutOutcome | GetOutcome | None) -> None:
        """Take what the pager returned; None means that `on_done` follows (or was called already)."""
        if outcome is not None:
            self.on_done(outcome)

    def on_done(self, outcome: PutOutcome | GetOutcome) -> None:
        """Take the outcome of a put or patch."""
        self._end(_FAILURES[outcome])

    def on_cached(self, result: GetResult) -> None:
        """Take the outcome of a get whose pages nobody reads."""
        self._end(_FAILURES[result] if isinstance(result, GetOutcome) else None)

    def on_replicated(self, is_replicated: bool) -> None:
        """Take whether pages are at their peers."""
        self._end(None if is_replicated else NOT_REPLICATED)

    def all_begun(self) -> None:
        """No part will follow: answer, now or when the last is done."""
        self._end(None)

    def _end(self, failure: Failure | None) -> None:
        if self._failure is None:
            self._failure = failure
        self._waiting_count -= 1
        assert self._waiting_count >= 0, "a part was done twice"
        if self._waiting_count == 0:
            self._done(self._failure)


class _Cut:
    """What is called with the pages of one slice of a READ: cuts them and hands them on."""

    __slots__ = ("_offset", "_on_slice", "_skip", "length")

    def __init__(
        self,
        on_slice: Callable[[int, Pieces | Failure], None],
        offset: int,
        skip: int,
        length: int,
    ) -> None:
        self._on_slice = on_slice
        self._offset = offset
        self._skip = skip
        self.length = length

    def __call__(self, result: GetResult) -> None:
        failure = _FAILURES[result] if isinstance(result, GetOutcome) else None
        if failure is not None:
            self._on_slice(self._offset, failure)
        else:
            assert isinstance(result, list)
            self._on_slice(self._offset, cut(result, self._skip, self.length))


def _split(offset: int, length: int) -> tuple[int, int, int]:
    """Return the bytes before the first whole page of a range, that page's index, and how many follow.

    A range inside one page has no whole page, and its head is at most all of it.
    """
    head = min(-offset % PAGE_BYTES, length)
    return head, (offset + head) // PAGE_BYTES, (length - head) // PAGE_BYTES


def cut(pages: Pages, skip: int, length: int) -> Pieces:
    """Return `length` bytes of a run of pages from byte `skip` on, holes as zeros."""
    pieces = [ZERO_PAGE if page is None else page for page in pages]
    surplus = len(pieces) * PAGE_BYTES - skip - length
    assert 0 <= surplus < PAGE_BYTES, "the pager returned as many pages as it was asked for"
    if surplus:
        pieces[-1] = pieces[-1][:-surplus]
    if skip:
        pieces[0] = pieces[0][skip:]
    return pieces
