"""A pager that is a dict of pages, and does what a test tells it: delay, refuse, lose, replicate."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from config.limits import PAGE_BYTES
from ramsterd.core.extents import PageStatus, StatusRun
from ramsterd.core.page import ZERO_PAGE, PoolId
from ramsterd.core.passes import ServedPass
from ramsterd.frontends.nbd.protocol import PASS_PAGES_MAX
from ramsterd.frontends.pager import Dropped, GetOutcome, GetResult, PutOutcome

T = TypeVar("T")
PageKey = tuple[PoolId, bytes, int]


class FakeClient:
    """Implements `DiskClient` over a fake pager.

    A delayed call takes effect when it is released, not when it is made: the least a front end may rely on.
    """

    # No compiled loop knows a dict.
    serves_passes = False

    def serve_pass(self, *_: object, **__: object) -> ServedPass:
        raise AssertionError("it was told that nobody does this")

    def __init__(self, pager: "FakePager") -> None:
        self._fake = pager
        self._delayed: list[Callable[[], None]] = []
        self._replicating: list[Callable[[bool], None]] = []
        self.is_closed = False

    def close(self) -> None:
        """Nothing of what waits has an effect any more."""
        self.is_closed = True
        fake = self._fake
        fake.delayed = [each for each in fake.delayed if each not in self._delayed]
        fake.replicating = [
            (run, done) for run, done in fake.replicating if done not in self._replicating
        ]
        # They lead to the connection, and that to us.
        self._delayed.clear()
        self._replicating.clear()

    def get(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[GetResult], None],
    ) -> GetResult | None:
        self._fake.calls["get"] += 1
        return self._now_or_later(lambda: self._get(pool, object_id, index, count), done)

    def _get(self, pool: PoolId, object_id: bytes, index: int, count: int) -> GetResult:
        run = range(index, index + count)
        if not self._fake.lost.isdisjoint(run):
            return GetOutcome.LOST
        if not self._fake.unreachable.isdisjoint(run):
            return GetOutcome.UNREACHABLE
        return [self._fake.pages.get((pool, object_id, each)) for each in run]

    def get_here(
        self, pool: PoolId, object_id: bytes, indexes: Sequence[int]
    ) -> list[bytes | None]:
        missing = self._fake.lost | self._fake.unreachable
        found: list[bytes | None] = []
        for index in () if self._fake.is_delaying else indexes:
            if index in missing:
                break
            found.append(self._fake.pages.get((pool, object_id, index)))
        self._fake.calls["get_here"] += 1
        self._fake.calls["get"] += len(found)
        return found

    def put(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        pages: memoryview,
        done: Callable[[PutOutcome], None],
    ) -> PutOutcome | None:
        self._fake.calls["put"] += 1
        content = bytes(pages)
        assert content
        assert len(content) % PAGE_BYTES == 0
        return self._now_or_later(lambda: self._put(pool, object_id, index, content), done)

    def _put(self, pool: PoolId, object_id: bytes, index: int, content: bytes) -> PutOutcome:
        if self._fake.is_refusing:
            return PutOutcome.REFUSED
        for start in range(0, len(content), PAGE_BYTES):
            key = (pool, object_id, index + start // PAGE_BYTES)
            self._fake.pages[key] = content[start : start + PAGE_BYTES]
        return PutOutcome.STORED

    def put_each(
        self,
        pool: PoolId,
        object_id: bytes,
        indexes: Sequence[int],
        pages: Sequence[memoryview],
    ) -> int:
        self._fake.calls["put_each"] += 1
        if self._fake.is_delaying or self._fake.is_refusing:
            return 0
        self._fake.calls["put"] += len(indexes)
        for index, page in zip(indexes, pages, strict=True):
            assert len(page) == PAGE_BYTES
            self._put(pool, object_id, index, bytes(page))
        return len(indexes)

    def patch(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        offset: int,
        data: bytes,
        done: Callable[[PutOutcome | GetOutcome], None],
    ) -> PutOutcome | GetOutcome | None:
        self._fake.calls["patch"] += 1
        assert 0 <= offset < offset + len(data) <= PAGE_BYTES
        return self._now_or_later(lambda: self._patch(pool, object_id, index, offset, data), done)

    def _patch(
        self, pool: PoolId, object_id: bytes, index: int, offset: int, data: bytes
    ) -> PutOutcome | GetOutcome:
        if index in self._fake.lost:
            return GetOutcome.LOST
        if self._fake.is_refusing:
            return PutOutcome.REFUSED
        page = self._fake.pages.get((pool, object_id, index), ZERO_PAGE)
        page = page[:offset] + data + page[offset + len(data) :]
        self._fake.pages[pool, object_id, index] = page
        return PutOutcome.STORED

    def put_zeros(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
        self._fake.calls["put_zeros"] += 1
        count = 0 if self._fake.is_refusing else min(count, PASS_PAGES_MAX)
        for each in range(index, index + count):
            self._fake.pages[pool, object_id, each] = ZERO_PAGE
        return count

    def status(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, runs_max: int
    ) -> list[StatusRun]:
        self._fake.calls["status"] += 1
        runs: list[StatusRun] = []
        for each in range(index, index + count):
            page = self._fake.pages.get((pool, object_id, each))
            kind = PageStatus.DATA
            if each not in self._fake.lost and page in {None, ZERO_PAGE}:
                kind = PageStatus.HOLE if page is None else PageStatus.ZERO
            if runs and runs[-1][0] is kind:
                runs[-1] = kind, runs[-1][1] + 1
            elif len(runs) == runs_max:
                break
            else:
                runs.append((kind, 1))
        return runs

    def drop(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
    ) -> Dropped:
        """Drops exactly as many, so that slices are seen."""
        self._fake.calls["drop"] += 1
        indexes = sorted(key[2] for key in self._fake.pages if key[:2] == (pool, object_id))
        found = [each for each in indexes if index <= each < index + count][:pages_max]
        for each in found:
            del self._fake.pages[pool, object_id, each]
        reach = found[-1] + 1 - index if len(found) == pages_max else count
        return Dropped(reach, len(found))

    def localify(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[GetResult], None],
    ) -> GetResult | None:
        self._fake.calls["localify"] += 1
        self._fake.cached.update(range(index, index + count))
        return self._now_or_later(lambda: self._get(pool, object_id, index, count), done)

    def replicate(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: Callable[[bool], None]
    ) -> bool | None:
        self._fake.calls["replicate"] += 1
        if not self._fake.is_replicating:
            return True
        self._fake.replicating.append((range(index, index + count), done))
        self._replicating.append(done)
        return None

    def _now_or_later(self, act: Callable[[], T], done: Callable[[T], None]) -> T | None:
        if not self._fake.is_delaying:
            return act()

        def complete() -> None:
            done(act())

        self._fake.delayed.append(complete)
        self._delayed.append(complete)
        return None


class FakePager(FakeClient):
    """Implements `DiskPager`, and is a client of itself where a test has only one."""

    def __init__(self) -> None:
        super().__init__(self)
        self.delayed: list[Callable[[], None]] = []
        self.pages: dict[PageKey, bytes] = {}
        self.is_delaying = False
        self.is_refusing = False
        self.lost: set[int] = set()
        self.unreachable: set[int] = set()
        self.settles_count = 0
        self.calls: Counter[str] = Counter()
        # Whether `replicate` waits for `on_replicated`, and who does.
        self.is_replicating = False
        self.replicating: list[tuple[range, Callable[[bool], None]]] = []
        self.cached: set[int] = set()
        self._on_settled: list[Callable[[], None]] = []

    def open_client(self) -> FakeClient:
        return FakeClient(self)

    def release(self, rng: random.Random | None = None) -> None:
        """Complete every delayed call, in order, or in an order drawn from `rng`."""
        delayed, self.delayed = self.delayed, []
        if rng is not None:
            rng.shuffle(delayed)
        for complete in delayed:
            complete()
        self._end_pass()

    def on_replicated(self, *, is_success: bool) -> None:
        """Answer everyone who waits for pages to be at peers."""
        replicating, self.replicating = self.replicating, []
        for _, done in replicating:
            done(is_success)
        self._end_pass()

    def _end_pass(self) -> None:
        for callback in self._on_settled:
            callback()

    def settle(self) -> None:
        self.settles_count += 1
        self._end_pass()

    def call_settled(self, callback: Callable[[], None]) -> None:
        self._on_settled.append(callback)
