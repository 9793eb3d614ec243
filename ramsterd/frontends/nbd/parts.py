"""The parts of one request: runs, patches and slices that the pager may finish at any time, in any order.

Pure.
"""

from collections.abc import Callable
from typing import TypeAlias

from config.limits import PAGE_BYTES
from ramsterd.core.page import ZERO_PAGE
from ramsterd.frontends.nbd.failures import NOT_REPLICATED, Failure, failure_of
from ramsterd.frontends.pager import GetOutcome, GetResult, Pages, PutOutcome

# The data of a READ, in order.
Pieces: TypeAlias = list[bytes]
Done: TypeAlias = Callable[[Failure | None], None]


class Parts:
    """The parts of one request: answers once, when all are done, with the first failure.

    A part may finish while a later one is being begun, so the count starts with one for
    `all_begun`.
    """

    __slots__ = ("_done", "_waiting_count", "failure")

    def __init__(self, done: Done, *, failure: Failure | None = None) -> None:
        """Wire it; `failure` is that of a part which an earlier process did."""
        self._done = done
        # The first.
        self.failure = failure
        self._waiting_count = 1

    @property
    def is_settled(self) -> bool:
        """Whether all parts that were begun are done, and others may follow."""
        return self._waiting_count == 1

    def begin(self) -> None:
        """Count one more part; before the pager is called."""
        self._waiting_count += 1

    def on_begun(self, outcome: PutOutcome | GetOutcome | None) -> None:
        """Take what the pager returned.

        None means that `on_done` follows (or was called already).
        """
        if outcome is not None:
            self.on_done(outcome)

    def on_done(self, outcome: PutOutcome | GetOutcome) -> None:
        """Take the outcome of a put or patch."""
        self._end(failure_of(outcome))

    def on_cached(self, result: GetResult) -> None:
        """Take the outcome of a get whose pages nobody reads."""
        self._end(failure_of(result) if isinstance(result, GetOutcome) else None)

    def on_replicated(self, is_replicated: bool) -> None:
        """Take whether pages are at their peers."""
        self._end(None if is_replicated else NOT_REPLICATED)

    def all_begun(self) -> None:
        """No part will follow: answer, now or when the last is done."""
        self._end(None)

    def _end(self, failure: Failure | None) -> None:
        if self.failure is None:
            self.failure = failure
        self._waiting_count -= 1
        assert self._waiting_count >= 0, "a part was done twice"
        if self._waiting_count == 0:
            self._done(self.failure)


class Cut:
    """The callback for the pages of one slice of a READ: it cuts them and hands them on."""

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
        """Take the pages of the slice, or why there are none."""
        failure = failure_of(result) if isinstance(result, GetOutcome) else None
        if failure is not None:
            self._on_slice(self._offset, failure)
        else:
            assert isinstance(result, list)
            self._on_slice(self._offset, cut(result, self._skip, self.length))


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
