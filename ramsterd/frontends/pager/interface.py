"""The interface between front ends and the pager: calls and outcomes.

A connection is a client of the pager, from `open_client` to `close`.  Each of its calls that may
wait either answers at once, or returns None and later calls `done`, synchronously, on the event
loop, exactly once, at the end of a pass.  After `close` nothing that waited has any effect, and
nothing is called back.

A front end handles all it received in one pass and then calls `settle()`.
"""

import enum
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from config.model import PoolCodec
from ramsterd.core.extents import StatusRun
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.passes import ServedPass
from ramsterd.core.pool_identity import PoolIdentity
from ramsterd.remote.fetch.pending import GetOutcome, Pages


class PutOutcome(enum.Enum):
    """The outcome of a put."""

    STORED = "stored"
    REFUSED = "no room here or at any peer"


GetResult: TypeAlias = Pages | GetOutcome
GetDoneCallback: TypeAlias = Callable[[GetResult], None]
WriteOutcome: TypeAlias = PutOutcome | GetOutcome


class Dropped(NamedTuple):
    """The outcome of a drop: the length of the run from its start that is done, and the number of pages dropped."""

    reach: int
    pages: int


class Taken(NamedTuple):
    """The outcome of a get that takes its pages out of the pool: the pages, and their number."""

    result: GetResult
    pages: int


class EachGot(NamedTuple):
    """The outcome of a get of pages that are each for itself, for as many as it is about from the start."""

    # What is here; None is a hole, or a page of which the positions below say more.
    pages: Pages
    # Positions of those that `done` follows for, and of those that are lost.
    follow: list[int]
    lost: list[int]


class EachCame(NamedTuple):
    """Some of the pages that were to follow: their positions, the pages at these, and why some failed.

    The pages are there for the call that tells of them, and no longer.
    """

    positions: list[int]
    pages: Pages
    failed: dict[int, GetOutcome]


class PageClient(Protocol):
    """The calls that every connection has."""

    def get(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: GetDoneCallback
    ) -> GetResult | None:
        """Return the pages of a run, or None: `done` is called when they are here."""
        ...

    def put(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        pages: memoryview,
        done: Callable[[PutOutcome], None],
    ) -> PutOutcome | None:
        """Store a run (`pages` is count * 4096 bytes, free again when this returns), or None: `done` follows."""
        ...

    def drop(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
    ) -> Dropped:
        """Drop about `pages_max` pages from the start of a run, which are holes from now on."""
        ...

    def close(self) -> None:
        """The connection is gone: nothing of what it waits for takes effect any more."""
        ...


class DiskClient(PageClient, Protocol):
    """The calls that a connection to a disk has besides."""

    def get_each(
        self,
        pool: PoolId,
        object_id: bytes,
        indexes: Sequence[int],
        done: Callable[[EachCame], None],
    ) -> EachGot:
        """Get pages anywhere in an object, each for itself, up to the first that is named twice.

        `done` is called at the end of each pass in which some of those that follow came, until none
        is left.
        """
        ...

    def put_each(
        self,
        pool: PoolId,
        object_id: bytes,
        indexes: Sequence[int],
        pages: Sequence[memoryview],
    ) -> int:
        """Store pages anywhere in an object, in their order, up to the first that `put` has to be asked for.

        Return how many.  Each of `pages` is 4096 bytes, free again when this returns.
        """
        ...

    @property
    def serves_passes(self) -> bool:
        """Whether `serve_pass` may be called: there are compiled loops."""
        ...

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
        """Serve NBD requests up to the first that has to wait, or is not everyday (core.passes)."""
        ...

    def patch(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        offset: int,
        data: bytes,
        done: Callable[[WriteOutcome], None],
    ) -> WriteOutcome | None:
        """Change `data` at byte `offset` of one page, atomically; a hole counts as zeros."""
        ...

    def put_zeros(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
        """Make the start of a run read as zeros, keeping it allocated.

        Return how many pages, 0 if it is refused.
        """
        ...

    def status(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, runs_max: int
    ) -> list[StatusRun]:
        """Return what stands in a run: at least its first piece, at most `runs_max` pieces.

        Looks into no page.
        """
        ...

    def localify(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: GetDoneCallback
    ) -> GetResult | None:
        """Keep a run here, if there is room; what `get` would return stands for success only."""
        ...

    def replicate(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: Callable[[bool], None]
    ) -> bool | None:
        """Return whether what stands in a run now is at as many peers as it should be, or None: `done` follows."""
        ...


class PoolClient(PageClient, Protocol):
    """The calls that a connection to pools of programs has besides."""

    def put_now(self, pool: PoolId, object_id: bytes, index: int, pages: memoryview) -> int:
        """Store what there is room for, without a wait.

        The rest is a miss.  Return how many, from the start.
        """
        ...

    def take(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[Taken], None],
    ) -> Taken | None:
        """As `get`, but the pages leave the pool as they are answered, except those put meanwhile."""
        ...


class DiskPager(Protocol):
    """The calls of the NBD server."""

    def open_client(self) -> DiskClient:
        """Return what one connection calls; it is closed when the connection is gone."""
        ...

    def settle(self) -> None:
        """End a pass: send what it produced to peers and wake whom it served."""
        ...

    def call_settled(self, callback: Callable[[], None]) -> None:
        """Have `callback` called at the end of each pass: after the last `done` of it."""
        ...


class PoolPager(Protocol):
    """The calls of the tmem server; `Pager` has them all."""

    def open_client(self) -> PoolClient:
        """Return what one connection calls; it is closed when the connection is gone."""
        ...

    def settle(self) -> None:
        """End a pass: send what it produced to peers and wake whom it served."""
        ...

    def new_pool(self, kind: PoolKind, identity: PoolIdentity, *, codec: PoolCodec) -> PoolId:
        """Make a pool, or raise PoolsExhausted or CodecMissing."""
        ...

    def count_pages(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int | None:
        """Return how many pages of a run there are; None if the object has none at all."""
        ...

    def pages_of(self, pool: PoolId) -> int:
        """Return how many pages a pool has."""
        ...

    def objects_of(self, pool: PoolId) -> int:
        """Return how many objects a pool has."""
        ...

    def end_pool(self, pool: PoolId) -> None:
        """Nobody uses a pool any more: refuse what waits in it."""
        ...

    def destroy_some(self, pool: PoolId, pages_max: int) -> tuple[int, bool]:
        """Drop a slice of a pool that was ended.

        Return how many pages, and whether the pool is gone.
        """
        ...
