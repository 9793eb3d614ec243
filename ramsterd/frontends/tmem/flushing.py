"""A flush of however many pages, in slices.  Pure.

A range may span 2^48 indexes, of which only what is there is visited, in order.  Each page is
dropped at one moment between request and answer: what another connection puts meanwhile is dropped
if the flush has yet to come there, and stays if it has passed.
"""

from typing import Final

from net.frame import Frame
from ramsterd.frontends.pager.interface import PoolClient
from ramsterd.frontends.tmem.messages import TmemType
from ramsterd.frontends.tmem.pool_records import TmemPool
from ramsterd.frontends.tmem.pools import PoolBook

# Pages flushed in one slice: about a millisecond.
FLUSH_PAGES_MAX: Final = 1024


class Flush:
    """One FLUSH_PAGES or FLUSH_OBJECT under way."""

    __slots__ = (
        "_book",
        "_end",
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
        # What is left to be looked at.
        self._start = indexes.start
        self._end = indexes.stop

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to drop."""
        return self._start == self._end

    def go_on(self) -> int:
        """Drop a slice; return how many pages that was.  The pool must not be gone."""
        assert not self.pool.is_gone
        reach, count = self._pager.drop(
            self.pool.pool,
            self._object_id,
            self._start,
            self._end - self._start,
            pages_max=FLUSH_PAGES_MAX,
        )
        self._start += reach
        self._book.on_dropped(self.pool, count)
        self.dropped += count
        return count
