"""Replicate: what an export has written is at peers too, before a flush is answered.

For `durability = "replicated"`.  Persistent pages that no peer has stand in persistent blocks, and nowhere else.  So a
request to replicate is a list of such blocks, as they are now, and the newest serial that counts: what is put
later is none of its business.  The blocks are sent as in remotify, and stay here as clean ones.  A block is done when
no page that counts is in it any more: it became clean, left, or its pages were put again or flushed.

That holds only while no zpage moves from one block to another, so compaction stops as long as somebody waits here; and
while no clean block is adopted: when one was, the lists are made anew.  Clean blocks that lack copies are adopted
first, so that a copy at a peer that can't be reached is not taken for one.

Clients may flush as often as they like: requests that are about the same pages are one, and while nothing was written
the last answer stands.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ramsterd.core.page import PoolId
from ramsterd.core.store import Store
from ramsterd.core.zbud import SLOT_SHIFT, Family

# Blocks that are offered to peers in one pass; windows and room bound it further.
BLOCKS_OFFERED_MAX: Final = 64
# A longer run is replicated by walking all persistent blocks, not its pages.
RUN_PAGES_MAX: Final = 8192


@dataclass(slots=True, eq=False)
class Replication:
    """One request that waits; `is_stored` says how it ended."""

    pool: PoolId
    serial_max: int
    blocks: list[int]
    deadline: float
    is_stored: bool | None = None
    # For a whole pool: what was written and adopted when the list was made.
    is_whole: bool = False
    state: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateStatistics:
    """Who waits, and how requests ended."""

    waiting: int
    stored_total: int
    failed_total: int


class Replicator:
    """Requests that wait for peers, first come first served."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[Replication] = deque()
        self._stored = 0
        self._failed = 0
        self._adopted_seen = 0
        # Pools that were ever asked to be at peers, and how many blocks had been adopted when we last saw to that.
        self._pools: set[PoolId] = set()
        self._adopted_again = 0
        # Pools whose pages were all at peers, and what was written and adopted by then.
        self._safe: dict[PoolId, tuple[int, int]] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether somebody waits: zpages must not move between blocks."""
        return bool(self._waiting)

    @property
    def is_any_replicated(self) -> bool:
        """Whether some pool was ever asked to be at peers: what is there is there to stay."""
        return any(pool in self._store.pools for pool in self._pools)

    def replicate_again(self, leaving: Iterable[int], deadline: float) -> None:
        """Pages of replicated pools that lost their copies, by a death or a link, get them back unasked."""
        if self._pools and self._store.adopted_blocks != self._adopted_again:
            self._adopted_again = self._store.adopted_blocks
            self._pools = {pool for pool in self._pools if pool in self._store.pools}
            for pool in self._pools:
                self.begin_pool(pool, leaving, deadline)

    def begin(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        *,
        leaving: Iterable[int],
        deadline: float,
    ) -> Replication | None:
        """Return what waits for a run; None if it is at peers already; `leaving` are blocks on their way to peers."""
        self._pools.add(pool)
        if count <= RUN_PAGES_MAX:
            return self.begin_run(pool, object_id, index, count, deadline)
        return self.begin_pool(pool, leaving, deadline)

    def begin_run(
        self, pool: PoolId, object_id: bytes, index: int, count: int, deadline: float
    ) -> Replication | None:
        """Return what waits for a run of pages; None if they are at peers already."""
        for location in self._store.locations(pool, object_id, index, count):
            self._adopt_if_lacking(location >> SLOT_SHIFT)
        locations = self._store.locations(pool, object_id, index, count)
        blocks = {location >> SLOT_SHIFT for location in locations}
        return self._begin(pool, blocks, deadline)

    def begin_pool(
        self, pool: PoolId, leaving: Iterable[int], deadline: float
    ) -> Replication | None:
        """Return what waits for all pages of a pool; `leaving` are blocks on their way to peers."""
        state = (self._store.serial_last, self._store.adopted_blocks)
        for request in self._waiting:
            if request.pool == pool and request.is_whole and request.state == state:
                return request
        if self._safe.get(pool) == state and not self._store.unreachable_holders:
            return None
        if self._store.unreachable_holders:
            for block in list(self._store.zbud.blocks(Family.OWN_CLEAN)):
                self._adopt_if_lacking(block)
        blocks = [*self._store.zbud.blocks(Family.OWN_PERSISTENT), *leaving]
        request_or_none = self._begin(pool, blocks, deadline)
        state = (self._store.serial_last, self._store.adopted_blocks)
        if request_or_none is None:
            self._safe[pool] = state
        else:
            request_or_none.is_whole = True
            request_or_none.state = state
        return request_or_none

    def _adopt_if_lacking(self, block: int) -> None:
        store = self._store
        is_clean = store.zbud.family_of_block[block] == Family.OWN_CLEAN
        if is_clean and store.zbud.is_listed(block) and store.lacks_copies(block):
            store.adopt_block(block)

    def _begin(self, pool: PoolId, blocks: Iterable[int], deadline: float) -> Replication | None:
        request = Replication(pool, self._store.serial_last, [], deadline)
        self._adopted_seen = self._store.adopted_blocks
        request.blocks = [block for block in blocks if self._counts(request, block)]
        if not request.blocks:
            return None
        self._waiting.append(request)
        return request

    def _counts(self, request: Replication, block: int) -> bool:
        """Whether a block still has a page of a request that no peer has."""
        store = self._store
        if store.zbud.is_free(block) or store.zbud.family_of_block[block] != Family.OWN_PERSISTENT:
            return False
        return any(
            store.rows.serial(row) <= request.serial_max and store.pool_of(row).pool == request.pool
            for row in store.zbud.rows(block)
        )

    def take_done(self) -> list[Replication]:
        """Return the requests that are fulfilled now."""
        if self._waiting and self._store.adopted_blocks != self._adopted_seen:
            self._look_anew()
        done = []
        for request in list(self._waiting):
            while request.blocks and not self._counts(request, request.blocks[-1]):
                request.blocks.pop()
            if not request.blocks:
                self._waiting.remove(request)
                request.is_stored = True
                self._stored += 1
                done.append(request)
        return done

    def _look_anew(self) -> None:
        """Clean blocks were adopted: pages that were safe need not be so any more."""
        self._adopted_seen = self._store.adopted_blocks
        persistent = list(self._store.zbud.blocks(Family.OWN_PERSISTENT))
        for request in self._waiting:
            known = set(request.blocks)
            request.blocks += [
                block for block in persistent if block not in known and self._counts(request, block)
            ]

    def blocks_to_send(self) -> list[int]:
        """Return the next blocks of the first request that are not on their way yet."""
        if not self._waiting:
            return []
        zbud = self._store.zbud
        request = self._waiting[0]
        return [
            block
            for block in request.blocks[-BLOCKS_OFFERED_MAX:]
            if zbud.is_listed(block) and self._counts(request, block)
        ]

    def next_deadline(self) -> float | None:
        """Return when the first request gives up."""
        return min((request.deadline for request in self._waiting), default=None)

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
            waiting=len(self._waiting), stored_total=self._stored, failed_total=self._failed
        )
