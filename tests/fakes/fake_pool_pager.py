"""The fake pager with pools: what the tmem socket calls."""

from collections.abc import Callable
from typing import cast

from config.limits import PAGE_BYTES
from config.model import PoolCodec
from ramsterd.core.codec import CodecMissing
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import PoolIdentity
from ramsterd.core.pools import PoolsExhausted
from ramsterd.frontends.pager import GetOutcome, Taken
from tests.fakes.fake_pager import FakeClient, FakePager


class FakePoolClient(FakeClient):
    """Implements `PoolClient`."""

    @property
    def _pools(self) -> "FakePoolPager":
        return cast("FakePoolPager", self._fake)

    def put_now(self, pool: PoolId, object_id: bytes, index: int, pages: memoryview) -> int:
        count = len(pages) // PAGE_BYTES
        stored = min(self._pools.room_pages, count)
        for number in range(count):
            key = (pool, object_id, index + number)
            if number < stored:
                self._fake.pages[key] = bytes(
                    pages[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
                )
            else:
                self._fake.pages.pop(key, None)
        return stored

    def take(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[Taken], None],
    ) -> Taken | None:
        self._fake.calls["take"] += 1
        return self._now_or_later(lambda: self._take(pool, object_id, index, count), done)

    def _take(self, pool: PoolId, object_id: bytes, index: int, count: int) -> Taken:
        """Takes all of it, also what was put while it waited: `Pager` does not."""
        result = self._get(pool, object_id, index, count)
        if isinstance(result, GetOutcome):
            return Taken(result, 0)
        return Taken(result, self.drop(pool, object_id, index, count, pages_max=count).pages)


class FakePoolPager(FakePager, FakePoolClient):
    """Implements `ramsterd.frontends.tmem.pools.PoolPager`, and is a client of itself where a test has only one."""

    def __init__(self, *, pools_max: int = 100) -> None:
        super().__init__()
        self.pools: dict[PoolId, PoolKind] = {}
        self.pools_max = pools_max
        self.missing_codec: PoolCodec | None = None
        self._last_pool = 0
        # How many pages of a put_now find room.
        self.room_pages = 1 << 40

    def open_client(self) -> FakePoolClient:
        return FakePoolClient(self)

    def new_pool(
        self,
        kind: PoolKind,
        identity: PoolIdentity,
        *,
        codec: PoolCodec = PoolCodec.LZ4,
    ) -> PoolId:
        if codec is self.missing_codec:
            raise CodecMissing("not installed")
        if len(self.pools) >= self.pools_max:
            raise PoolsExhausted("no more")
        self._last_pool += 1
        self.pools[PoolId(self._last_pool)] = kind
        return PoolId(self._last_pool)

    def count_pages(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int | None:
        indexes = self._indexes(pool, object_id)
        return sum(index <= each < index + count for each in indexes) if indexes else None

    def pages_of(self, pool: PoolId) -> int:
        return sum(key[0] == pool for key in self.pages)

    def objects_of(self, pool: PoolId) -> int:
        return len({key[1] for key in self.pages if key[0] == pool})

    def end_pool(self, pool: PoolId) -> None:
        self.calls["end_pool"] += 1

    def destroy_some(self, pool: PoolId, pages_max: int) -> tuple[int, bool]:
        some = [key for key in self.pages if key[0] == pool][:pages_max]
        for key in some:
            del self.pages[key]
        is_gone = not self.pages_of(pool)
        if is_gone:
            del self.pools[pool]
        return len(some), is_gone

    def _indexes(self, pool: PoolId, object_id: bytes) -> list[int]:
        return [key[2] for key in self.pages if key[:2] == (pool, object_id)]
