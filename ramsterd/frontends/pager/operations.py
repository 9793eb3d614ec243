"""Operations on pages that are not over: what is left to do of each.  Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE, PoolId
from ramsterd.frontends.pager.interface import WriteOutcome
from ramsterd.remote.fetch.pending import PendingGet

# The open operations of one client, in the order in which they came.
Operations: TypeAlias = dict["Operation", None]
# Newer than every operation.
NEWEST: Final = 1 << 63


@dataclass(slots=True, eq=False, kw_only=True)
class Operation:
    """Something that a client has asked for, on pages of one object.

    `number` rises with arrival.
    """

    client: Operations
    number: int
    pool: PoolId
    object_id: bytes
    # Runs of pages on which it still has something to do, in order.
    rest: list[range]

    def strike(self, index: int, end: int) -> None:
        """It has nothing more to do on the pages from `index` to `end`."""
        if len(self.rest) == 1 and index <= self.rest[0].start and self.rest[0].stop <= end:
            self.rest = []  # as mostly
            return
        left = []
        for run in self.rest:
            left += [range(run.start, min(run.stop, index)), range(max(run.start, end), run.stop)]
        self.rest = [run for run in left if run]


@dataclass(slots=True, eq=False, kw_only=True)
class Write(Operation):
    """An operation that changes pages, and may wait for room until its deadline, which may be put off."""

    began_at: float
    deadline: float
    is_outwaiting: bool = False
    done: Callable[[WriteOutcome], None]


@dataclass(slots=True, eq=False, kw_only=True)
class Put(Write):
    """Whole pages; `pages` begins with that of `index`."""

    index: int
    pages: memoryview

    def view(self, run: range) -> memoryview:
        """Return the bytes of a run of its pages."""
        start = (run.start - self.index) * PAGE_BYTES
        return self.pages[start : start + len(run) * PAGE_BYTES]


@dataclass(slots=True, eq=False, kw_only=True)
class Patch(Write):
    """A change of a part of one page."""

    index: int
    offset: int
    data: bytes
    # Another write of the page came first and is not over.
    is_behind: bool = False
    # The page is asked for at a peer, in this version; one that arrives in another is asked for
    # again.
    fetch: PendingGet | None = None
    serial: int = 0
    # The page as it came home, which is kept while the patch waits for room: nobody else may keep
    # it.
    fetched: bytes | None = None

    def apply(self, page: bytes | None) -> memoryview:
        """Return the page with the change."""
        old = ZERO_PAGE if page is None else page
        end = self.offset + len(self.data)
        return memoryview(old[: self.offset] + self.data + old[end:])


@dataclass(slots=True, eq=False, kw_only=True)
class Take(Operation):
    """A get that takes its pages with it; `rest` are those that nobody has replaced since."""
