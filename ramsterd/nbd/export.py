"""One exported disk: which pages a byte range covers, and what each command does to them.

Whole pages go to the pager as one run.  The unaligned head and tail of a write are patches, which the pager
makes atomic, so that two writers of different bytes of a page cannot undo each other; a read of them is a
read of the pages, cut.  Each method answers at once or returns None and calls `done` later, once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from config.limits import PAGE_BYTES
from ramsterd.core.page import ZERO_PAGE, PoolId
from ramsterd.nbd.protocol import (
    NAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    Command,
    CommandFlag,
    Errno,
)
from ramsterd.pager import GetOutcome, GetResult, PagerInterface, Pages, PutOutcome

# The data of a READ, in order.
Pieces: TypeAlias = list[bytes]
ReadDone: TypeAlias = Callable[[Pieces | Errno], None]
WriteDone: TypeAlias = Callable[[Errno], None]

_ERRNO: Final[dict[PutOutcome | GetOutcome, Errno]] = {
    PutOutcome.STORED: Errno.NONE,
    PutOutcome.REFUSED: Errno.ENOSPC,
    GetOutcome.LOST: Errno.EIO,
    GetOutcome.UNREACHABLE: Errno.EIO,
}
assert set(_ERRNO) == {*PutOutcome, *GetOutcome}

# FUA is valid everywhere once it was offered, also where it means nothing.  Plain numbers: the complement
# of an IntFlag has only the bits that have names.
_FLAGS_ALLOWED: Final[dict[int, int]] = {
    Command.READ: int(CommandFlag.FUA),
    Command.WRITE: int(CommandFlag.FUA),
    Command.FLUSH: int(CommandFlag.FUA),
    Command.TRIM: int(CommandFlag.FUA),
    Command.WRITE_ZEROES: int(CommandFlag.FUA | CommandFlag.NO_HOLE),
}


def errno_of(outcome: PutOutcome | GetOutcome) -> Errno:
    """Return what a client is told about an outcome of the pager."""
    return _ERRNO[outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A disk of `size` bytes whose sector at byte n is in page n // 4096 of one object."""

    name: str
    size: int
    pool: PoolId
    object_id: bytes
    description: str = ""

    def __post_init__(self) -> None:
        assert self.size % PAGE_BYTES == 0, "config.load checked it"
        assert len(self.name.encode()) <= NAME_BYTES_MAX

    def judge(self, command: int, flags: int, offset: int, length: int) -> Errno:
        """Return the error a request deserves before any page is touched, or NONE."""
        allowed = _FLAGS_ALLOWED.get(command)
        if allowed is None or flags & ~allowed:
            return Errno.EINVAL
        if command == Command.FLUSH:
            return Errno.EINVAL if offset or length else Errno.NONE
        if length == 0 or (command == Command.READ and length > PAYLOAD_BYTES_MAX):
            return Errno.EINVAL
        if offset + length > self.size:
            writes = command in {Command.WRITE, Command.WRITE_ZEROES}
            return Errno.ENOSPC if writes else Errno.EINVAL
        return Errno.NONE

    def read(
        self, pager: PagerInterface, offset: int, length: int, done: ReadDone
    ) -> Pieces | Errno | None:
        """Read a range that was judged: the pieces, an error, or None and `done` follows."""
        index, skip = divmod(offset, PAGE_BYTES)
        count = -(-(skip + length) // PAGE_BYTES)

        def on_pages(result: GetResult) -> None:
            done(_cut_or_errno(result, skip, length))

        result = pager.get(self.pool, self.object_id, index, count, on_pages)
        return None if result is None else _cut_or_errno(result, skip, length)

    def write(
        self, pager: PagerInterface, offset: int, data: memoryview, done: WriteDone
    ) -> Errno | None:
        """Write a range that was judged; `data` is free again when this returns."""
        parts = Parts(done)
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
        return parts.all_begun()

    def write_zeroes(
        self, pager: PagerInterface, offset: int, length: int, done: WriteDone, *, no_hole: bool
    ) -> Errno | None:
        """Make a judged range read as zeros; unless `no_hole`, whole pages of it become holes."""
        parts = Parts(done)
        head, index, count = _split(offset, length)
        if head:
            self._patch(pager, parts, offset, ZERO_PAGE[:head])
        if count and no_hole:
            parts.begin()
            parts.on_begun(pager.put_zeros(self.pool, self.object_id, index, count))
        elif count:
            pager.flush(self.pool, self.object_id, index, count)
        middle_end = head + count * PAGE_BYTES
        if middle_end < length:
            self._patch(pager, parts, offset + middle_end, ZERO_PAGE[: length - middle_end])
        return parts.all_begun()

    def trim(self, pager: PagerInterface, offset: int, length: int) -> None:
        """Drop the pages that lie wholly inside the range; the others keep their bytes."""
        _, index, count = _split(offset, length)
        if count:
            pager.flush(self.pool, self.object_id, index, count)

    def _patch(self, pager: PagerInterface, parts: "Parts", offset: int, data: bytes) -> None:
        index, within = divmod(offset, PAGE_BYTES)
        parts.begin()
        parts.on_begun(pager.patch(self.pool, self.object_id, index, within, data, parts.on_done))


class Parts:
    """The parts of one write: answers once, when all are done, with the first error.

    A part may finish while a later one is being begun, so the count starts with one for `all_begun`.
    """

    __slots__ = ("_done", "_error", "_is_late", "_waiting_count")

    def __init__(self, done: WriteDone) -> None:
        self._done = done
        self._error = Errno.NONE
        self._waiting_count = 1
        self._is_late = False

    def begin(self) -> None:
        """Count one more part; before the pager is called."""
        self._waiting_count += 1

    def on_begun(self, outcome: PutOutcome | GetOutcome | None) -> None:
        """Take what the pager returned; None means that `on_done` follows (or was called already)."""
        if outcome is not None:
            self.on_done(outcome)

    def on_done(self, outcome: PutOutcome | GetOutcome) -> None:
        """Take the outcome of one part."""
        if self._error is Errno.NONE:
            self._error = _ERRNO[outcome]
        self._waiting_count -= 1
        assert self._waiting_count >= 0, "a part was done twice"
        if self._waiting_count == 0:
            assert self._is_late
            self._done(self._error)

    def all_begun(self) -> Errno | None:
        """Return the answer if every part is done, else None: `done` follows."""
        self._waiting_count -= 1
        if self._waiting_count == 0:
            return self._error
        self._is_late = True
        return None


def _split(offset: int, length: int) -> tuple[int, int, int]:
    """Return the bytes before the first whole page of a range, that page's index, and how many follow.

    A range inside one page has no whole page, and its head is at most all of it.
    """
    head = min(-offset % PAGE_BYTES, length)
    return head, (offset + head) // PAGE_BYTES, (length - head) // PAGE_BYTES


def _cut_or_errno(result: GetResult, skip: int, length: int) -> Pieces | Errno:
    return _ERRNO[result] if isinstance(result, GetOutcome) else cut(result, skip, length)


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
