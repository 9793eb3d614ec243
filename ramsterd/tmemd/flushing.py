"""A flush of however many pages, in slices.  Pure.

A range may span 2^48 indexes, of which only the leaves that exist are visited.  They are noted at the start, when all
between them is dropped: what is put into a new leaf by another connection meanwhile came after the flush and stays.
"""

from typing import Final

from net.frame import Frame
from ramsterd.core.table import LEAF_PAGES
from ramsterd.pager.interface import PoolClient
from ramsterd.tmemd.messages import TmemType
from ramsterd.tmemd.pools import PoolBook, TmemPool

# Leaves flushed in one slice: 1024 pages, about a millisecond.
FLUSH_LEAVES_MAX: Final = 16


class Flush:
    """One FLUSH_PAGES or FLUSH_OBJECT under way."""

    __slots__ = (
        "_book",
        "_end",
        "_leaf_starts",
        "_object_id",
        "_pager",
        "_start",
        "dropped",
        "frame_type",
        "pool",
        "request_id",
    )

    def __init__(
        self,
        pager: PoolClient,
        book: PoolBook,
        frame: Frame,
        pool: TmemPool,
        object_id: bytes,
        indexes: range,
    ) -> None:
        self.frame_type = TmemType(frame.type)
        self.request_id = frame.request_id
        self.pool = pool
        self.dropped = 0
        self._pager = pager
        self._book = book
        self._object_id = object_id
        self._start = indexes.start
        self._end = indexes.stop
        # The last is the next one.
        self._leaf_starts = pager.begin_drop(
            pool.pool, object_id, indexes.start, indexes.stop - indexes.start
        )

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to drop."""
        return not self._leaf_starts

    def go_on(self) -> int:
        """Drop a slice; return how many pages that was.  The pool must not be gone."""
        assert not self.pool.is_gone
        some = self._leaf_starts[-FLUSH_LEAVES_MAX:]
        del self._leaf_starts[-FLUSH_LEAVES_MAX:]
        count = 0
        for leaf_start in some:
            start = max(self._start, leaf_start)
            end = min(self._end, leaf_start + LEAF_PAGES)
            dropped = self._pager.drop(
                self.pool.pool, self._object_id, start, end - start, pages_max=LEAF_PAGES
            )
            count += dropped.pages
        self._book.on_dropped(self.pool, count)
        self.dropped += count
        return count
