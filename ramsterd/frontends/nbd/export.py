"""One exported disk: which pages a byte range covers, and what each command does to them.

Whole pages go to the pager as runs.  The unaligned head and tail of a write are patches, which the
pager makes atomic, so that two writers of different bytes of a page can't undo each other; a read
of them is a read of the pages, cut.

A command on a long range is an iterator that does one bounded slice of the work at each step, so
that a connection can let others have their turn in between.  What waits for a peer is collected by
`Parts`, which answers once, when all is done.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from config.limits import PAGE_BYTES
from ramsterd.core.extents import PageStatus
from ramsterd.core.page import ZERO_PAGE, PoolId
from ramsterd.frontends.nbd.failures import NOT_FAST, Failure, judge_range, judge_request
from ramsterd.frontends.nbd.parts import Cut, Parts, Pieces
from ramsterd.frontends.nbd.protocol import (
    NAME_BYTES_MAX,
    PASS_PAGES_MAX,
    SLICE_PAGES,
    CommandFlag,
    State,
    TransmissionFlag,
)
from ramsterd.frontends.pager import DiskClient, PutOutcome
from ramsterd.statefile.marks import Mark, unmarked

# (bytes, state) of consecutive parts of a disk.
Extents: TypeAlias = list[tuple[int, State]]

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
    # Whether it may be written, or is lost.  Zeros and TRIM need no mark: what reads as zeros
    # everywhere still does.
    mark: Mark = field(default_factory=unmarked)

    def __post_init__(self) -> None:
        assert self.size % PAGE_BYTES == 0, "config.load checked it"
        assert len(self.name.encode()) <= NAME_BYTES_MAX

    @property
    def lost_reason(self) -> str:
        """Why no client may open it, in words; empty: every client may."""
        if not self.mark.is_lost:
            return ""
        return (
            f"the pages of export {self.name} ended with the last run of ramsterd;"
            f" `ramsterctl export reset {self.name}` makes it blank"
        )

    def transmission_flags(self, *, is_structured: bool) -> TransmissionFlag:
        """Return what a client is told that this export can do."""
        flags = _READING_FLAGS
        flags |= TransmissionFlag.READ_ONLY if self.is_read_only else _WRITING_FLAGS
        return flags | TransmissionFlag.SEND_DF if is_structured else flags

    def judge(self, command: int, flags: int, offset: int, length: int) -> Failure | None:
        """Return why a request fails before any page is touched, or None: it is to be served."""
        failure = judge_request(command, flags, is_read_only=self.is_read_only)
        failure = failure or judge_range(command, offset, length, size=self.size)
        if failure is None and flags & CommandFlag.FAST_ZERO:
            _, _, whole_pages = _split(offset, length)
            return None if whole_pages else NOT_FAST
        return failure

    # All ranges below were judged.

    def read(
        self,
        pager: DiskClient,
        offset: int,
        length: int,
        on_slice: Callable[[int, Pieces | Failure], None],
    ) -> Iterator[None]:
        """Read in slices.

        `on_slice` gets the offset and the data, or the failure, of each, now or later.
        """
        end = offset + length
        while offset < end:
            index, skip = divmod(offset, PAGE_BYTES)
            stop = min(end, (index + SLICE_PAGES) * PAGE_BYTES)
            take = Cut(on_slice, offset, skip, stop - offset)
            count = -(-(skip + take.length) // PAGE_BYTES)
            result = pager.get(self.pool, self.object_id, index, count, take)
            if result is not None:
                take(result)
            offset = stop
            if offset < end:
                yield

    def write(self, pager: DiskClient, offset: int, data: memoryview, parts: Parts) -> None:
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
        self, pager: DiskClient, offset: int, length: int, parts: Parts, *, no_hole: bool
    ) -> Iterator[None]:
        """Make a range read as zeros; unless `no_hole`, whole pages of it become holes."""
        head, index, count = _split(offset, length)
        if head:
            self._patch(pager, parts, offset, ZERO_PAGE[:head])
        middle_end = head + count * PAGE_BYTES
        if middle_end < length:
            self._patch(pager, parts, offset + middle_end, ZERO_PAGE[: length - middle_end])
        if not no_hole:
            yield from self._drop(pager, index, count)
            return
        parts.begin()
        while count:
            done = pager.put_zeros(self.pool, self.object_id, index, count)
            if not done:
                break
            index, count = index + done, count - done
            if count:
                yield
        parts.on_done(PutOutcome.REFUSED if count else PutOutcome.STORED)

    def trim(self, pager: DiskClient, offset: int, length: int) -> Iterator[None]:
        """Drop the pages that lie wholly inside the range; the others keep their bytes."""
        _, index, count = _split(offset, length)
        return self._drop(pager, index, count)

    def cache(self, pager: DiskClient, offset: int, length: int, parts: Parts) -> Iterator[None]:
        """Fetch back the pages of a range."""
        index = offset // PAGE_BYTES
        end = -(-(offset + length) // PAGE_BYTES)
        while index < end:
            some = min(end - index, SLICE_PAGES)
            parts.begin()
            outcome = pager.localify(self.pool, self.object_id, index, some, parts.on_cached)
            if outcome is not None:
                parts.on_cached(outcome)
            index += some
            if index < end:
                yield

    def replicate(self, pager: DiskClient, offset: int, length: int, parts: Parts) -> None:
        """Wait until the pages of a range are at peers."""
        index = offset // PAGE_BYTES
        count = -(-(offset + length) // PAGE_BYTES) - index
        parts.begin()
        is_replicated = pager.replicate(
            self.pool, self.object_id, index, count, parts.on_replicated
        )
        if is_replicated is not None:
            parts.on_replicated(is_replicated)

    def extents(self, pager: DiskClient, offset: int, length: int, *, extents_max: int) -> Extents:
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

    def _drop(self, pager: DiskClient, index: int, count: int) -> Iterator[None]:
        while count:
            reach, _ = pager.drop(self.pool, self.object_id, index, count, pages_max=PASS_PAGES_MAX)
            index, count = index + reach, count - reach
            if count:
                yield

    def _patch(self, pager: DiskClient, parts: Parts, offset: int, data: bytes) -> None:
        index, within = divmod(offset, PAGE_BYTES)
        parts.begin()
        parts.on_begun(pager.patch(self.pool, self.object_id, index, within, data, parts.on_done))


def _split(offset: int, length: int) -> tuple[int, int, int]:
    """Return the bytes before the first whole page of a range, that page's index, and how many follow.

    A range inside one page has no whole page, and its head is at most all of it.
    """
    head = min(-offset % PAGE_BYTES, length)
    return head, (offset + head) // PAGE_BYTES, (length - head) // PAGE_BYTES
