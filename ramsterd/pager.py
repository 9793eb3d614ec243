"""What front ends call: get, put, patch and flush of runs of pages, which may wait for a peer.

Each call that may wait either answers at once or returns None and later calls `done`, synchronously, on the
event loop, exactly once.  A front end handles all it received in one pass and then calls `settle()`.

A put that finds no room waits, first come first served, for memory that remotify frees; after
`put_wait_seconds_max`, or at once when no peer could help, it is refused and what it would have replaced is hidden.
A refused patch leaves its page as it was.
"""

import enum
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import trio

from config.limits import PAGE_BYTES
from config.model import PoolCodec
from ramsterd.core import extents
from ramsterd.core.extents import StatusRun
from ramsterd.core.page import ZERO_PAGE, PoolId, PoolKind
from ramsterd.core.store import RunOfPages
from ramsterd.engine import Engine
from ramsterd.peers import Peers, Woken
from ramsterd.remote.effects import GetDone, Replicated
from ramsterd.remote.pending import GetOutcome, Pages, PendingGet
from ramsterd.remote.replicate import Replication

__all__ = [
    "DiskPagerInterface",
    "GetOutcome",
    "GetResult",
    "Pager",
    "PagerInterface",
    "Pages",
    "PutOutcome",
    "StatusRun",
]


logger = logging.getLogger("ramster.pager")

# A full cluster refuses thousands of writes a second.
LOG_REFUSALS_SECONDS: Final = 10.0
# Leaves of 64 pages that one `status` looks at: 256 MiB of a full disk, 3 ms.
STATUS_LEAVES_MAX: Final = 1024


class PutOutcome(enum.Enum):
    """How a put ended."""

    STORED = "stored"
    REFUSED = "no room here or at any peer"


GetResult: TypeAlias = Pages | GetOutcome
GetDoneCallback: TypeAlias = Callable[[GetResult], None]


class PagerInterface(Protocol):
    """The calls of `Pager`; front ends are tested against a small fake of this."""

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

    def patch(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        offset: int,
        data: bytes,
        done: Callable[[PutOutcome | GetOutcome], None],
    ) -> PutOutcome | GetOutcome | None:
        """Change `data` at byte `offset` of one page, atomically; a hole counts as zeros."""
        ...

    def put_zeros(self, pool: PoolId, object_id: bytes, index: int, count: int) -> PutOutcome:
        """Make a run read as zeros, keeping it allocated."""
        ...

    def flush(self, pool: PoolId, object_id: bytes, index: int, count: int) -> None:
        """Drop a run: it reads as a hole from now on."""
        ...

    def settle(self) -> None:
        """End a pass: send what it produced to peers and wake whom it served."""
        ...


class DiskPagerInterface(PagerInterface, Protocol):
    """What a disk asks beyond that."""

    def status(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, runs_max: int
    ) -> list[StatusRun]:
        """Return what stands in a run: at least its first piece, at most `runs_max` pieces; looks into no page."""
        ...

    def flush_slice(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
    ) -> int:
        """Drop about `pages_max` pages from the start of a run; return how far that is."""
        ...

    def bring_home(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: GetDoneCallback
    ) -> GetResult | None:
        """Keep a run here, if there is room; what `get` would return stands for success only."""
        ...

    def replicate(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: Callable[[bool], None]
    ) -> bool | None:
        """Return whether what stands in a run now is at as many peers as it should be, or None: `done` follows."""
        ...

    def call_settled(self, callback: Callable[[], None]) -> None:
        """Have `callback` called at the end of each pass, whoever began it: after the last `done` of it."""
        ...


@dataclass(slots=True, eq=False)
class WaitingPut:
    """What is left of a put that waits for room; `pages` is empty for a patch, which is tried anew."""

    pool: PoolId
    object_id: bytes
    index: int
    pages: memoryview
    deadline: float
    done: Callable[[PutOutcome], None]


@dataclass(slots=True, eq=False)
class Patch:
    """A change of a part of one page, which may wait for the page and then for room."""

    pool: PoolId
    object_id: bytes
    index: int
    offset: int
    data: bytes
    deadline: float
    done: Callable[[PutOutcome | GetOutcome], None]
    # The version that was asked for; a page that comes home in another one is asked for again.
    serial: int = 0

    def apply(self, page: bytes | None) -> bytes:
        """Return the page with the change."""
        old = ZERO_PAGE if page is None else page
        return old[: self.offset] + self.data + old[self.offset + len(self.data) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class PagerStatistics:
    """Who waits, and how many puts were refused."""

    gets_waiting: int
    puts_waiting: int
    refused_total: int


class Pager:
    """The page path of this node, for its front ends."""

    def __init__(self, engine: Engine, peers: Peers, *, put_wait_seconds_max: float) -> None:
        self._engine = engine
        self._peers = peers
        self._put_wait_seconds_max = put_wait_seconds_max
        self._gets: dict[PendingGet, GetDoneCallback] = {}
        self._puts: deque[WaitingPut] = deque()
        self._replications: dict[Replication, list[Callable[[bool], None]]] = {}
        # When `_on_deadline` wants to be called: never after the first deadline of those that wait.
        self._puts_deadline = math.inf
        self._refused = 0
        self._log_refusals_at = -math.inf
        peers.on_woken = self._on_woken
        peers.on_deadline = self._on_deadline
        peers.next_deadline = self._next_deadline

    def new_pool(
        self,
        kind: PoolKind,
        name: str,
        *,
        copies: int = 0,
        is_replicated: bool = False,
        codec: PoolCodec = PoolCodec.LZ4,
    ) -> PoolId:
        """Make a pool, whose pages are on `copies` peers when not here (0: as the config says).

        They are never on fewer if it `is_replicated`: else `replicate` could not promise what it does.

        Raises:
            PoolsExhausted: There are too many.
            CodecMissing: The library of the codec is not installed.
        """
        return self._engine.new_pool(
            kind, name, copies=copies, is_replicated=is_replicated, codec=codec
        )

    def destroy_pool(self, pool: PoolId) -> int:
        """Flush all pages of a pool, here and at peers; return how many there were."""
        destroyed = self._engine.destroy_pool(pool)
        if self._puts:
            self._engine.make_room_known()
        for waiting in [each for each in self._puts if each.pool == pool]:
            self._puts.remove(waiting)
            self._refused += 1
            waiting.done(PutOutcome.REFUSED)
        return destroyed

    def get(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: GetDoneCallback
    ) -> GetResult | None:
        """See `PagerInterface`."""
        found = self._engine.look(pool, object_id, index, count)
        if isinstance(found, RunOfPages):
            now = trio.current_time()
            self._gets[self._engine.fetch(pool, object_id, index, found, now=now)] = done
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
        """See `PagerInterface`."""
        stored = 0 if self._puts else self._engine.put(pool, object_id, index, pages)
        if stored * PAGE_BYTES == len(pages):
            return PutOutcome.STORED
        rest = memoryview(bytes(pages[stored * PAGE_BYTES :]))
        deadline = trio.current_time() + self._put_wait_seconds_max
        waiting = WaitingPut(pool, object_id, index + stored, rest, deadline, done)
        # Behind others it must wait its turn to be refused, too: it would hide what an older one has stored.
        if not self._puts and not self._engine.may_make_room():
            return self._refuse(waiting)
        self._wait(waiting)
        return None

    def patch(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        offset: int,
        data: bytes,
        done: Callable[[PutOutcome | GetOutcome], None],
    ) -> PutOutcome | GetOutcome | None:
        """See `PagerInterface`."""
        assert offset + len(data) <= PAGE_BYTES
        deadline = trio.current_time() + self._put_wait_seconds_max
        return self._try_patch(Patch(pool, object_id, index, offset, data, deadline, done))

    def _try_patch(self, patch: Patch) -> PutOutcome | GetOutcome | None:
        """Read, change and write in one go, or wait for the page."""
        found = self._engine.get(
            patch.pool, patch.object_id, patch.index, 1, now=trio.current_time()
        )
        if isinstance(found, PendingGet):
            patch.serial = self._engine.serial_of(patch.pool, patch.object_id, patch.index)
            self._gets[found] = lambda result: self._on_patch_page(patch, result)
            return None
        if isinstance(found, GetOutcome):
            return found
        return self._put_patched(patch, found[0])

    def _put_patched(self, patch: Patch, page: bytes | None) -> PutOutcome | None:
        patched = memoryview(patch.apply(page))
        if self._engine.put(patch.pool, patch.object_id, patch.index, patched):
            return PutOutcome.STORED
        # The page may change while we wait for room, so the whole change is tried again then.
        waiting = WaitingPut(
            patch.pool,
            patch.object_id,
            patch.index,
            memoryview(b""),
            patch.deadline,
            lambda outcome: self._on_patch_room(patch, outcome),
        )
        if not self._engine.may_make_room():
            return self._refuse(waiting)
        self._wait(waiting)
        return None

    def _on_patch_page(self, patch: Patch, result: GetResult) -> None:
        if isinstance(result, GetOutcome):
            patch.done(result)
            return
        serial_now = self._engine.serial_of(patch.pool, patch.object_id, patch.index)
        is_current = serial_now == patch.serial
        outcome = self._put_patched(patch, result[0]) if is_current else self._try_patch(patch)
        if outcome is not None:
            patch.done(outcome)

    def _on_patch_room(self, patch: Patch, outcome: PutOutcome) -> None:
        again = self._try_patch(patch) if outcome is PutOutcome.STORED else outcome
        if again is not None:
            patch.done(again)

    def put_zeros(self, pool: PoolId, object_id: bytes, index: int, count: int) -> PutOutcome:
        """See `PagerInterface`."""
        done = self._engine.store.put_zeros(pool, object_id, index, count)
        if self._puts:
            self._engine.make_room_known()
        if done == count:
            return PutOutcome.STORED
        self._engine.store.refuse(pool, object_id, index + done, count - done)
        self._refused += 1
        return PutOutcome.REFUSED

    def flush(self, pool: PoolId, object_id: bytes, index: int, count: int) -> None:
        """See `PagerInterface`."""
        if self._engine.store.flush(pool, object_id, index, count) and self._puts:
            self._engine.make_room_known()

    def settle(self) -> None:
        """See `PagerInterface`."""
        self._peers.settle()

    def statistics(self) -> PagerStatistics:
        """Return a snapshot."""
        return PagerStatistics(
            gets_waiting=len(self._gets),
            puts_waiting=len(self._puts),
            refused_total=self._refused,
        )

    # Waiting.

    def _on_woken(self, woken: Woken) -> None:
        if isinstance(woken, GetDone):
            pending = woken.pending
            done = self._gets.pop(pending)
            done(pending.pages if pending.outcome is None else pending.outcome)
        elif isinstance(woken, Replicated):
            for on_replicated in self._replications.pop(woken.request, ()):
                on_replicated(bool(woken.request.is_stored))
        else:
            self._resume_puts()

    def _resume_puts(self) -> None:
        """Serve waiting puts in their order until room runs out again."""
        for _ in range(len(self._puts)):
            waiting = self._puts[0]
            if waiting.pages:
                stored = self._engine.put(
                    waiting.pool, waiting.object_id, waiting.index, waiting.pages
                )
                waiting.index += stored
                waiting.pages = waiting.pages[stored * PAGE_BYTES :]
                if waiting.pages:
                    return
            self._puts.popleft()
            waiting.done(PutOutcome.STORED)

    def _wait(self, waiting: WaitingPut) -> None:
        self._puts.append(waiting)
        self._puts_deadline = min(self._puts_deadline, waiting.deadline)

    def _next_deadline(self) -> float | None:
        return self._puts_deadline if self._puts else None

    def _on_deadline(self, now: float) -> None:
        expired = [waiting for waiting in self._puts if waiting.deadline <= now]
        for waiting in expired:
            self._puts.remove(waiting)
            waiting.done(self._refuse(waiting))
        # Not that of the first: a patch that found no room once more is the last, with its old deadline.
        self._puts_deadline = min((each.deadline for each in self._puts), default=math.inf)

    def _refuse(self, waiting: WaitingPut) -> PutOutcome:
        # A patch has no pages of its own: the rest of its page was acknowledged before and stays.
        if count := len(waiting.pages) // PAGE_BYTES:
            self._engine.store.refuse(waiting.pool, waiting.object_id, waiting.index, count)
        self._refused += 1
        self._log_refusals()
        return PutOutcome.REFUSED

    def _log_refusals(self) -> None:
        """Tell the log of refused puts, once for all of a while."""
        now = trio.current_time()
        if now >= self._log_refusals_at:
            self._log_refusals_at = now + LOG_REFUSALS_SECONDS
            logger.warning(
                "no room here: writes refused so far: %d; %s",
                self._refused,
                self._engine.shortage(now),
            )

    # What the tmem socket needs beyond `PagerInterface`.

    def put_now(self, pool: PoolId, object_id: bytes, index: int, pages: memoryview) -> int:
        """Store what there is room for without waiting; return how many pages, from the start.

        For ephemeral pools: what is not stored is a miss, also where an older version stood.
        """
        stored = self._engine.put(pool, object_id, index, pages)
        missing = len(pages) // PAGE_BYTES - stored
        if missing:
            self._engine.store.refuse(pool, object_id, index + stored, missing)
            self._refused += 1
        return stored

    def drop(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
        """As `flush`, but return how many pages there were."""
        return self._engine.store.flush(pool, object_id, index, count)

    def count_pages(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int | None:
        """Return how many pages of a run there are; None if the object has none at all."""
        return extents.count_pages(self._engine.store, pool, object_id, index, count)

    def leaf_starts(self, pool: PoolId, object_id: bytes, index: int, count: int) -> list[int]:
        """Return where a run may be dropped in slices of `LEAF_PAGES`."""
        return extents.leaf_starts(self._engine.store, pool, object_id, index, count)

    def pages_of(self, pool: PoolId) -> int:
        """Return how many pages a pool has.  Walks its leaves."""
        return self._engine.store.pages_of(pool)

    def objects_of(self, pool: PoolId) -> int:
        """Return how many objects a pool has."""
        return self._engine.store.objects_of(pool)

    def destroy_some(self, pool: PoolId, leaves_max: int) -> tuple[int, bool]:
        """Flush a slice of a pool that nobody uses any more; return how many pages, and whether it is gone."""
        for waiting in [each for each in self._puts if each.pool == pool]:
            self._puts.remove(waiting)
            waiting.done(PutOutcome.REFUSED)
        flushed = extents.flush_some(self._engine.store, pool, leaves_max)
        if self._engine.store.objects_of(pool):
            return flushed, False
        self._engine.destroy_pool(pool)
        return flushed, True

    # What a disk asks (`DiskPagerInterface`).

    def status(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, runs_max: int
    ) -> list[StatusRun]:
        """See `DiskPagerInterface`."""
        return extents.status(
            self._engine.store, pool, object_id, index, count,
            runs_max=runs_max, leaves_max=STATUS_LEAVES_MAX,
        )  # fmt: skip

    def flush_slice(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
    ) -> int:
        """See `DiskPagerInterface`."""
        return extents.flush_slice(
            self._engine.store, pool, object_id, index, count, pages_max=pages_max
        )

    def bring_home(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: GetDoneCallback
    ) -> GetResult | None:
        """See `DiskPagerInterface`.  Above the high watermark what came would not be kept."""
        store = self._engine.store
        if store.is_above(store.limits.high_watermark):
            return []
        return self.get(pool, object_id, index, count, done)

    def replicate(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: Callable[[bool], None]
    ) -> bool | None:
        """See `DiskPagerInterface`.  It is tried for `put_wait_seconds_max`."""
        now = trio.current_time()
        request = self._engine.replicate(pool, object_id, index, count, now=now)
        if request is None:
            return True
        self._replications.setdefault(request, []).append(done)
        return None

    def call_settled(self, callback: Callable[[], None]) -> None:
        """See `DiskPagerInterface`."""
        self._peers.on_settled.append(callback)
