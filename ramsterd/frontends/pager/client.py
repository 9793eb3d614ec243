"""One connection as a client of the pager: `DiskClient` and `PoolClient` in one, for there is little to either."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from ramsterd.core import extents
from ramsterd.core.extents import StatusRun
from ramsterd.core.page import PAGE_BYTES, PoolId
from ramsterd.core.passes import ServedPass, serve_pass
from ramsterd.core.store import RunOfPages
from ramsterd.frontends.pager.book import Book
from ramsterd.frontends.pager.interface import (
    Dropped,
    EachCame,
    EachGot,
    GetDoneCallback,
    GetResult,
    PutOutcome,
    Taken,
    WriteOutcome,
)
from ramsterd.frontends.pager.operations import Operations, Take
from ramsterd.frontends.pager.waiting import Waiting
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet

if TYPE_CHECKING:
    from ramsterd.frontends.pager.pager import Pager

# Leaves of 64 pages that one `status` looks at: 256 MiB of a full disk, 3 ms.
STATUS_LEAVES_MAX: Final = 1024


class PagerClient:
    """The pager as one connection sees it."""

    __slots__ = (
        "_book",
        "_engine",
        "_get_each",
        "_look",
        "_pager",
        "_put",
        "_waiting",
        "gets",
        "is_closed",
        "operations",
    )

    def __init__(self, pager: "Pager", engine: Engine, waiting: Waiting, book: Book) -> None:
        self.is_closed = False
        # What it waits for; empty unless something does.
        self.operations: Operations = {}
        self.gets: dict[PendingGet, Callable[[PendingGet], None]] = {}
        self._pager = pager
        self._engine = engine
        self._waiting = waiting
        self._book = book
        # What nearly all calls are, looked up once.
        self._look = engine.look
        self._get_each = engine.store.get_each
        self._put = engine.store.put

    def close(self) -> None:
        """See `PageClient`.  May be called twice."""
        if not self.is_closed:
            self.is_closed = True
            self._pager.on_closed(self)

    # What any connection asks.

    def get(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: GetDoneCallback
    ) -> GetResult | None:
        """See `PageClient`."""
        found = self._look(pool, object_id, index, count)
        if isinstance(found, RunOfPages):
            self._pager.fetch(self, pool, object_id, index, found, done)
            return None
        return found

    def put(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        pages: memoryview,
        done: Callable[[PutOutcome], None],
    ) -> PutOutcome | None:
        """See `PageClient`."""
        put = self._waiting.put if self._book.open else self._put
        stored = put(pool, object_id, index, pages)
        start = stored * PAGE_BYTES
        if start == len(pages):
            return PutOutcome.STORED
        return self._waiting.wait_to_put(
            self.operations, pool, object_id, index + stored, pages[start:], done,
            now=self._pager.now(),
        )  # fmt: skip

    def drop(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
    ) -> Dropped:
        """See `PageClient`."""
        return self._waiting.drop(pool, object_id, index, count, pages_max=pages_max)

    # What a disk asks.

    def get_each(
        self,
        pool: PoolId,
        object_id: bytes,
        indexes: Sequence[int],
        done: Callable[[EachCame], None],
    ) -> EachGot:
        """See `DiskClient`."""
        found, lost = self._get_each(pool, object_id, indexes)
        if not found.elsewhere:
            return EachGot(found.pages, [], lost)
        self._pager.fetch_each(self, pool, object_id, indexes, found, done)
        return EachGot(found.pages, [position for position, _ in found.elsewhere], lost)

    def put_each(
        self,
        pool: PoolId,
        object_id: bytes,
        indexes: Sequence[int],
        pages: Sequence[memoryview],
    ) -> int:
        """See `DiskClient`."""
        if self._book.open:
            return 0
        put, count = self._put, 0
        for index, page in zip(indexes, pages, strict=True):
            if not put(pool, object_id, index, page):
                break
            count += 1
        return count

    @property
    def serves_passes(self) -> bool:
        """See `DiskClient`."""
        return self._engine.store.twin is not None

    def serve_pass(
        self,
        pool: PoolId,
        object_id: bytes,
        size: int,
        requests: memoryview,
        *,
        is_structured: bool,
        is_writable: bool,
        pages_max: int,
    ) -> ServedPass:
        """See `DiskClient`."""
        return serve_pass(
            self._engine.store, pool, object_id, size, requests,
            is_structured=is_structured,
            is_writable=is_writable and not self._book.open,
            pages_max=pages_max,
        )  # fmt: skip

    def patch(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        offset: int,
        data: bytes,
        done: Callable[[WriteOutcome], None],
    ) -> WriteOutcome | None:
        """See `DiskClient`."""
        assert offset + len(data) <= PAGE_BYTES
        return self._waiting.patch(
            self.operations, pool, object_id, index, offset, data, done, now=self._pager.now()
        )

    def put_zeros(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
        """See `DiskClient`."""
        return self._waiting.put_zeros(pool, object_id, index, count)

    def status(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, runs_max: int
    ) -> list[StatusRun]:
        """See `DiskClient`."""
        return extents.status(
            self._engine.store, pool, object_id, index, count,
            runs_max=runs_max, leaves_max=STATUS_LEAVES_MAX,
        )  # fmt: skip

    def localify(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: GetDoneCallback
    ) -> GetResult | None:
        """See `DiskClient`.  Above the high watermark what came would not be kept."""
        store = self._engine.store
        if store.room.is_short():
            return []
        return self.get(pool, object_id, index, count, done)

    def replicate(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: Callable[[bool], None]
    ) -> bool | None:
        """See `DiskClient`."""
        return self._pager.replicate(self, pool, object_id, index, count, done)

    # What pools of programs ask.

    def put_now(self, pool: PoolId, object_id: bytes, index: int, pages: memoryview) -> int:
        """See `PoolClient`."""
        stored = self._waiting.put(pool, object_id, index, pages)
        if missing := len(pages) // PAGE_BYTES - stored:
            self._waiting.refuse(pool, object_id, index + stored, missing)
        return stored

    def take(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[Taken], None],
    ) -> Taken | None:
        """See `PoolClient`."""
        found = self._look(pool, object_id, index, count)
        if isinstance(found, GetOutcome):
            return Taken(found, 0)
        if not isinstance(found, RunOfPages):
            return Taken(found, self._waiting.drop_taken(pool, object_id, index, count))
        take = self._waiting.begin_take(self.operations, pool, object_id, index, count)
        self._pager.fetch(self, pool, object_id, index, found, partial(self._on_taken, take, done))
        return None

    def _on_taken(self, take: Take, done: Callable[[Taken], None], result: GetResult) -> None:
        if isinstance(result, GetOutcome):
            self._book.forget(take)
            done(Taken(result, 0))
        else:
            done(Taken(result, self._waiting.end_take(take)))
