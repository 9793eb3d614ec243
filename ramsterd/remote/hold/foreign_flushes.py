"""The flushes that one incarnation of an owner has asked for and that are not done yet.

A FLUSH_PAGES may name a million pages, so it is done in slices (core.slices), after the frame that
brought it.  What it means does not depend on how fast that is: it drops the versions that were put
before it arrived.  A serial may be put again after that, to a holder that may have lost it; so
while flushes wait, each PUT is noted with how many of them had arrived, and only later ones can
drop it.

An owner learns from a later answer that a flush has arrived, and says it never again: so what waits
here outlives the link.  What it may be is bounded: an owner that asks for more, faster than it can
be done, breaks the protocol.
"""

from array import array
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from net.errors import RemoteProtocolError
from ramsterd.core import extents
from ramsterd.core.foreign_pages import FOREIGN_OBJECT, drop_ranges
from ramsterd.core.page import INDEX_MAX, PoolId
from ramsterd.core.slices import Steps
from ramsterd.core.store import Store
from ramsterd.core.table import LEAF_PAGES
from ramsterd.core.twin_hold import Column

# Ranges that may wait, 16 bytes each, and more if the owner has more pages here: each range that an
# owner has a reason to name was put once.
RANGES_WAITING_MAX: Final = 1 << 20
# Pages that were put while flushes wait, some 100 bytes each; beyond that no more are taken.
PUTS_NOTED_MAX: Final = 1 << 16
# Units of work after which others may have their turn.
_STEP_UNITS: Final = 256
_ONE_STEP: Final = (None,)


class ForeignFlushes:
    """See the module's text."""

    def __init__(
        self, store: Store, pools: Iterable[PoolId], *, run: Callable[[Steps], None]
    ) -> None:
        """Begin with none; `run` has steps done, a slice now and then."""
        self._store = store
        self._pools = tuple(pools)
        self._run = run
        # (how many had arrived with it, first serials, last serials)
        self._waiting: deque[tuple[int, Column, Column]] = deque()
        self._ranges_waiting = 0
        self._arrived = 0
        # What was put since the first of those that wait arrived: in order, and how many had
        # arrived.
        self._put: list[int] = []
        self._arrived_before: dict[int, int] = {}

    @property
    def has_room(self) -> bool:
        """Whether pages may be put."""
        return len(self._put) < PUTS_NOTED_MAX

    def add(self, firsts: Column, lasts: Column) -> None:
        """Drop the pages in these ranges of serials, which ascend and share nothing.

        Raises:
            RemoteProtocolError: More wait than any honest owner would send.
        """
        self._ranges_waiting += len(firsts)
        pages = sum(self._store.pages_of(pool) for pool in self._pools)
        ranges_max = max(RANGES_WAITING_MAX, 2 * pages)
        if self._ranges_waiting > ranges_max:
            self._ranges_waiting -= len(firsts)
            raise RemoteProtocolError(
                f"FLUSH_PAGES: {ranges_max} ranges wait to be dropped already"
            )
        self._arrived += 1
        # What they are views of is used again.
        self._waiting.append((self._arrived, _copied(firsts), _copied(lasts)))
        if len(self._waiting) == 1:
            self._run(self._steps())

    def on_put(self, serials: Iterable[int]) -> None:
        """These were put just now: what has arrived so far does not mean them."""
        if not self._waiting:
            return
        for serial in serials:
            if serial not in self._arrived_before:
                insort(self._put, serial)
            self._arrived_before[serial] = self._arrived

    def end(self) -> None:
        """The owner's pages go as a whole."""
        self._forget()

    def _forget(self) -> None:
        self._waiting.clear()
        self._put.clear()
        self._arrived_before.clear()
        self._ranges_waiting = 0

    def _steps(self) -> Steps:
        work = self._store.work
        before = work["flush"]
        while self._waiting:
            number, firsts, lasts = self._waiting[0]
            for _ in self._drop_ranges(number, firsts, lasts):
                if (units := work["flush"] - before) >= _STEP_UNITS:
                    yield units
                    before = work["flush"]
                    if not self._waiting:
                        return
            self._waiting.popleft()
            self._ranges_waiting -= len(firsts)
        self._forget()

    def _drop_ranges(self, number: int, firsts: Column, lasts: Column) -> Iterator[None]:
        """Drop what flush `number` means, some pages at a time."""
        # Python goes on with more ranges each time that the twin comes no further.
        done, each = 0, len(firsts) if self._store.hold_twin is None else 1
        while done < len(firsts):
            if some := self._drop_everyday(firsts, lasts, done):
                done, each = done + some, 1
                yield
                continue
            end = done + each
            for first, last in zip(firsts[done:end], lasts[done:end], strict=True):
                yield from self._drop_range(number, first, last)
            done, each = end, 2 * each

    def _drop_everyday(self, firsts: Column, lasts: Column, done: int) -> int:
        """Drop ranges from the one at `done` on, below all that was put since; return how many ranges."""
        below = self._put[0] if self._put else INDEX_MAX + 1
        pools = [pool for pool in self._pools if self._store.pools[pool].objects]
        # What one pool is ahead of the other is found gone when it is dropped once more.
        return min(
            (
                drop_ranges(
                    self._store, pool, firsts, lasts, done, below=below, units_max=_STEP_UNITS
                )
                for pool in pools
            ),
            default=0,
        )

    def _drop_range(self, number: int, first: int, last: int) -> Iterable[None]:
        """Drop what flush `number` means of a range, some pages at a time, and return at least one step: to look counts, too."""
        self._store.work["flush"] += 1
        # As most: without a generator.
        if last - first < LEAF_PAGES and self._next_kept(number, first, last) is None:
            for pool in self._pools:
                if self._store.pools[pool].objects:  # mostly one of the two has none
                    self._flush(pool, first, last + 1)
            return _ONE_STEP
        return self._drop_long_range(number, first, last)

    def _drop_long_range(self, number: int, first: int, last: int) -> Iterator[None]:
        yield
        pools = self._store.pools
        for pool in self._pools:
            start = first
            while start <= last and pools[pool].objects:
                start += self._drop(pool, number, start, last)
                yield

    def _drop(self, pool: PoolId, number: int, start: int, last: int) -> int:
        """Drop the first pages of a range that flush `number` means; return how far that is."""
        kept = self._next_kept(number, start, last)
        if kept == start:
            return 1
        return self._flush(pool, start, last + 1 if kept is None else kept)

    def _flush(self, pool: PoolId, start: int, stop: int) -> int:
        reached, _ = extents.flush_slice(
            self._store, pool, FOREIGN_OBJECT, start, stop - start, pages_max=LEAF_PAGES
        )
        return reached

    def _next_kept(self, number: int, start: int, last: int) -> int | None:
        """Return the first serial of a range that was put after flush `number` arrived."""
        at = bisect_left(self._put, start)
        while at < len(self._put) and self._put[at] <= last:
            if self._arrived_before[self._put[at]] >= number:
                return self._put[at]
            at += 1
        return None


def _copied(column: Column) -> Column:
    copied = array("Q")
    copied.frombytes(column.tobytes())
    return copied
