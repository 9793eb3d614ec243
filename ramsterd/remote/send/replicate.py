"""Replicate: what an export has written is at peers too, before a flush is answered.

For `durability = "replicated"`.  Persistent pages that no peer has stand in persistent blocks, and
nowhere else, and a replicated pool knows which of these may have pages of its own (`Pool.unsaved`).
So a request to replicate is a list of such blocks, as they are now, and the newest serial that
counts: what is put later is none of its business.  The blocks are sent as in remotify, and stay
here as clean ones.  A block is done when no page that counts is in it any more: it became clean,
left, or its pages were put again or flushed.  Blocks are judged some at a time.

That holds only while no zpage moves from one block to another, so compaction stops as long as
somebody waits here; and while no clean block is adopted: one that was is added to who waits for its
pool.  Clean blocks that lack copies are adopted first, in slices, so that a copy at a peer that
can't be reached is not taken for one.

Clients may flush as often as they like: requests that are about the same pages are one, and while
nothing was written there is nothing to do.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ramsterd.core.family import Family
from ramsterd.core.page import PoolId
from ramsterd.core.pools import Unsaved
from ramsterd.core.room import BLOCK_UNITS
from ramsterd.core.slices import Steps
from ramsterd.core.store import Store

# Blocks that are offered to peers in one pass; windows and room bound it further.
BLOCKS_OFFERED_MAX: Final = 64
# Blocks judged in one pass, some 15 us each.
BLOCKS_JUDGED_MAX: Final = 256
# A longer run is replicated as the whole pool.
RUN_PAGES_MAX: Final = 2048


@dataclass(slots=True, eq=False)
class Replication:
    """One request that waits; `is_stored` says how it ended."""

    pool: PoolId
    serial_max: int
    blocks: list[int]
    deadline: float
    is_stored: bool | None = None
    # For a whole pool: the newest serial of the pool, and how many blocks had been adopted.
    state: tuple[int, int] | None = None
    # Holders that could not be reached: clean blocks that count on them must have been adopted.
    unreachable: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateStatistics:
    """Who waits, and how requests ended."""

    waiting_replications: int
    stored_replications_total: int
    failed_replications_total: int


class Replicator:
    """Requests that wait for peers, first come first served."""

    def __init__(self, store: Store, *, run: Callable[[Steps], None]) -> None:
        """Begin with none; `run` has long work done, a slice now and then."""
        self._store = store
        self._run = run
        self._waiting: deque[Replication] = deque()
        self._stored = 0
        self._failed = 0
        # Pools that were ever asked to be at peers, and how many blocks had been adopted when we
        # last saw to that.
        self._pools: set[PoolId] = set()
        self._adopted_again = 0
        # Holders for whose absence all clean blocks were looked through, and those for whom that is
        # under way.
        self._seen_to: frozenset[int] = frozenset()
        self._seeing_to: frozenset[int] | None = None
        # Of those that wait, whose turn it is to be judged; and whether the last pass did not come
        # to all.
        self._turn = 0
        self._has_more = False

    @property
    def is_waiting(self) -> bool:
        """Whether somebody waits: zpages must not move between blocks."""
        return bool(self._waiting)

    @property
    def is_any_replicated(self) -> bool:
        """Whether some pool was ever asked to be at peers: what is there is there to stay."""
        return any(pool in self._store.pools for pool in self._pools)

    def replicate_again(self, deadline: float) -> None:
        """Pages of replicated pools that lost their copies, by a death or a link, get them back unasked."""
        if self._pools and self._store.room.adopted_blocks != self._adopted_again:
            self._adopted_again = self._store.room.adopted_blocks
            self._pools = {pool for pool in self._pools if pool in self._store.pools}
            for pool in self._pools:
                self.begin_pool(pool, deadline)

    def on_reachable(self, holder: int) -> None:
        """A holder can be asked again: should it go once more, clean blocks are to be looked through once more."""
        self._seen_to -= {holder}
        if self._seeing_to is not None:
            self._seeing_to -= {holder}

    def begin(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, deadline: float
    ) -> Replication | None:
        """Return what waits for a run; None if it is at peers already."""
        if count <= RUN_PAGES_MAX:
            self._track(pool)
            return self.begin_run(pool, object_id, index, count, deadline)
        return self.begin_pool(pool, deadline)

    def begin_run(
        self, pool: PoolId, object_id: bytes, index: int, count: int, deadline: float
    ) -> Replication | None:
        """Return what waits for a run of pages; None if they are at peers already."""
        for block in self._store.blocks_of(pool, object_id, index, count):
            self._adopt_if_lacking(block)
        self._store.work["replicate"] += 2 * count
        blocks = self._store.blocks_of(pool, object_id, index, count)
        request = Replication(pool, self._store.versions.serial_last, blocks, deadline)
        return self._wait(request)

    def begin_pool(self, pool: PoolId, deadline: float) -> Replication | None:
        """Return what waits for all pages of a pool; None if they are at peers already."""
        unsaved = self._track(pool)
        state = (unsaved.serial_last, self._store.room.adopted_blocks)
        for request in self._waiting:
            if request.pool == pool and request.state == state:
                return request
        request = Replication(
            pool,
            self._store.versions.serial_last,
            list(unsaved.blocks),
            deadline,
            state=state,
            unreachable=self._store.copies.unreachable_holders,
        )
        return self._wait(request)

    def _track(self, pool: PoolId) -> Unsaved:
        self._pools.add(pool)
        self._store.track_unsaved(pool)
        unsaved = self._store.pools[pool].unsaved
        assert unsaved is not None
        return unsaved

    def _wait(self, request: Replication) -> Replication | None:
        self._judge(request, BLOCKS_JUDGED_MAX)
        self._look_through_clean(request)
        if self._is_done(request):
            return None
        self._waiting.append(request)
        return request

    def _is_done(self, request: Replication) -> bool:
        return not request.blocks and self._is_seen_to(request)

    # Clean blocks.

    def _adopt_if_lacking(self, block: int) -> None:
        store = self._store
        is_clean = store.zbud.is_of(block, Family.OWN_CLEAN)
        if is_clean and store.zbud.is_listed(block) and store.copies.are_lacking(block):
            store.room.adopt_block(block)

    def _look_through_clean(self, request: Replication) -> None:
        """Begin to adopt the clean blocks that count on holders which can't be reached, if that was not done."""
        if self._seeing_to is None and not self._is_seen_to(request):
            self._seeing_to = self._store.copies.unreachable_holders
            self._run(self._adopt_lacking())

    def _is_seen_to(self, request: Replication) -> bool:
        return request.unreachable & self._store.copies.unreachable_holders <= self._seen_to

    def _adopt_lacking(self) -> Steps:
        block = 1
        while block < self._store.zbud.blocks_count:
            self._adopt_if_lacking(block)
            self._store.work["replicate"] += BLOCK_UNITS
            block += 1
            yield BLOCK_UNITS
        assert self._seeing_to is not None
        self._seen_to |= self._seeing_to
        self._seeing_to = None

    # Judging.

    def _judge(self, request: Replication, blocks_max: int) -> int:
        """Forget blocks that are done from the end of a request's list.

        Return how many were looked at.
        """
        judged = 0
        while request.blocks and judged < blocks_max:
            judged += 1
            if self._counts(request, request.blocks[-1]):
                break
            request.blocks.pop()
        self._store.work["replicate"] += BLOCK_UNITS * judged
        return judged

    def _counts(self, request: Replication, block: int) -> bool:
        """Whether a block still has a page of a request that no peer has."""
        store = self._store
        serials: list[int] = []
        if store.zbud.is_of(block, Family.OWN_PERSISTENT):
            serials = [
                store.rows.serial(row)
                for row in store.zbud.rows(block)
                if store.versions.pool_of(row).pool == request.pool
            ]
        if not serials:
            self._forget_unsaved(request.pool, block)
        return any(serial <= request.serial_max for serial in serials)

    def _forget_unsaved(self, pool: PoolId, block: int) -> None:
        if pool in self._store.pools:
            unsaved = self._store.pools[pool].unsaved
            assert unsaved is not None
            unsaved.blocks.discard(block)

    def has_work(self) -> bool:
        """Whether `take_done` and `blocks_to_send` have anything to look at."""
        return bool(self._waiting) or self._has_more

    def take_done(self) -> list[Replication]:
        """Return the requests that are fulfilled now."""
        self._has_more = False
        if not self._waiting:
            return []
        self._add_moved()
        done, left, waiting = [], BLOCKS_JUDGED_MAX, list(self._waiting)
        for place in range(self._turn, self._turn + len(waiting)):
            self._turn = place % len(waiting)
            if left <= 0:
                break
            request = waiting[self._turn]
            blocks = len(request.blocks)
            left -= self._judge(request, left)
            # Only if that was of use: else all of them wait for peers.
            self._has_more = self._has_more or (left <= 0 and len(request.blocks) < blocks)
            self._look_through_clean(request)
            if self._is_done(request):
                self._waiting.remove(request)
                request.is_stored = True
                self._stored += 1
                done.append(request)
        self._has_more = self._has_more and bool(self._waiting)
        return done

    def _add_moved(self) -> None:
        """Blocks were adopted: pages that were safe need not be so any more."""
        for pool in {request.pool for request in self._waiting}:
            unsaved = self._store.pools[pool].unsaved if pool in self._store.pools else None
            if unsaved is not None and unsaved.moved:
                for request in self._waiting:
                    if request.pool == pool:
                        request.blocks += unsaved.moved
                unsaved.moved.clear()

    def blocks_to_send(self) -> list[int]:
        """Return the next blocks of the first request that are not on their way yet."""
        request = next((each for each in self._waiting if each.blocks), None)
        if request is None:
            return []
        # A block that was adopted meanwhile may stand there twice.
        zbud, offered = self._store.zbud, dict.fromkeys(request.blocks[-BLOCKS_OFFERED_MAX:])
        self._store.work["replicate"] += BLOCK_UNITS * len(offered)
        return [
            block for block in offered if zbud.is_listed(block) and self._counts(request, block)
        ]

    def next_deadline(self) -> float | None:
        """Return when the first request gives up, or long ago: there is more to be judged."""
        if self._has_more:
            return 0.0
        return min(request.deadline for request in self._waiting) if self._waiting else None

    def on_deadline(self, now: float) -> list[Replication]:
        """Return the requests that have waited long enough."""
        expired = [request for request in self._waiting if request.deadline <= now]
        for request in expired:
            self._waiting.remove(request)
            request.is_stored = False
            self._failed += 1
        return expired

    def statistics(self) -> ReplicateStatistics:
        """Return a snapshot."""
        return ReplicateStatistics(
            waiting_replications=len(self._waiting),
            stored_replications_total=self._stored,
            failed_replications_total=self._failed,
        )
