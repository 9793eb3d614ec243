"""The page path of this node for its front ends: who waits for what, and is told when.

A thin shell around `Waiting`, which has the order of operations, and the engine, which has all
else.  What a call means is said in `interface.py`.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from config.event_kinds import EventKind, about
from ramsterd.core import extents
from ramsterd.core.page import PoolId
from ramsterd.core.pool_identity import PoolUse
from ramsterd.core.pools import Pool
from ramsterd.core.store import RunOfPages
from ramsterd.frontends.pager.book import Book
from ramsterd.frontends.pager.client import PagerClient
from ramsterd.frontends.pager.interface import EachCame, GetDoneCallback
from ramsterd.frontends.pager.unreachable import unreachable_waits
from ramsterd.frontends.pager.waiting import Waiting
from ramsterd.pagepath.effects import GetDone
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.front_ends import Woken
from ramsterd.pagepath.peers import Peers
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.fetch.unreachable_wait import UnreachableWait
from ramsterd.remote.send.replicate import Replication

logger = logging.getLogger("ramster.pager")

# A full cluster refuses thousands of writes a second.
LOG_REFUSALS_SECONDS: Final = 10.0
# The alarm of work that is due already.
AT_ONCE: Final = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class PagerStatistics:
    """Waiting clients, and the outcomes of writes for which there was no room at once."""

    clients: int
    waiting_gets: int
    waiting_puts: int
    waiting_pools: int
    refused_puts_total: int
    # Those of them that were of ephemeral pages.
    refused_ephemeral_puts_total: int
    superseded_puts_total: int
    cancelled_puts_total: int
    # Reads that waited longer than `fetch_seconds_max` are counted by `engine.fetch`.
    outwaited_puts_total: int
    # What waits for nodes that can't be reached, by export or pool.
    unreachable_waits: tuple[UnreachableWait, ...]


class Pager:
    """The pager that all clients of this node share."""

    def __init__(self, engine: Engine, peers: Peers, *, put_wait_seconds_max: float) -> None:
        self._engine = engine
        # Front ends see no engine.
        self.new_pool = engine.new_pool
        self.drop_pool = engine.drop_pool
        self._peers = peers
        self._book = Book(engine)
        self._waiting = Waiting(engine, self._book, put_wait_seconds_max=put_wait_seconds_max)
        self._clients = 0
        # Whose they are; each client has what is to be called.
        self._gets: dict[PendingGet, PagerClient] = {}
        self._replications: dict[Replication, list[tuple[PagerClient, Callable[[bool], None]]]] = {}
        self._refused_logged = 0
        self._log_refusals_at = -math.inf
        peers.front_ends = self

    @staticmethod
    def now() -> float:
        """Return the time that all deadlines here are in."""
        return trio.current_time()

    def give_back(self, pool: PoolId) -> None:
        """Nobody has put a page into a pool since `new_pool` returned it: all is as it was before."""
        store = self._engine.store
        if store.objects_of(pool):
            store.pools.leave(store.pools[pool])
        else:
            self._engine.destroy_pool(pool)

    def left_exports(self) -> list[Pool]:
        """Return the pools of exports that an earlier process has left, and that nobody has made again."""
        left = self._engine.store.pools.left
        return [pool for pool in left if pool.identity.use is PoolUse.EXPORT]

    # Clients.

    def open_client(self) -> PagerClient:
        """Return what one connection calls, until it closes it."""
        self._clients += 1
        return PagerClient(self, self._engine, self._waiting, self._book)

    def on_closed(self, client: PagerClient) -> None:
        """A client is gone: forget what it waits for."""
        self._clients -= 1
        self._book.close(client.operations)
        for pending in client.gets:
            del self._gets[pending]
        if client.gets:
            self._engine.cancel(client.gets)
            client.gets.clear()
        for waiters in self._replications.values():
            waiters[:] = [waiter for waiter in waiters if waiter[0] is not client]

    def fetch(
        self,
        client: PagerClient,
        pool: PoolId,
        object_id: bytes,
        index: int,
        found: RunOfPages,
        done: GetDoneCallback,
    ) -> None:
        """Ask peers for what is not here; `done` is called unless the client is gone by then."""
        indexes = range(index, index + len(found.pages))
        pending = self._engine.fetch(pool, object_id, indexes, found, now=self.now())
        self._gets[pending] = client
        client.gets[pending] = partial(_end_run, done)

    def fetch_each(
        self,
        client: PagerClient,
        pool: PoolId,
        object_id: bytes,
        indexes: Sequence[int],
        found: RunOfPages,
        done: Callable[[EachCame], None],
    ) -> None:
        """Likewise, of pages that are each for itself."""
        # Those that are here were handed over: what waits holds nothing that nobody counts.
        rest = RunOfPages([None] * len(found.pages), found.elsewhere, found.lost_count)
        pending = self._engine.fetch(pool, object_id, indexes, rest, now=self.now(), is_each=True)
        self._gets[pending] = client
        client.gets[pending] = partial(_end_some, done)

    def replicate(
        self,
        client: PagerClient,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[bool], None],
    ) -> bool | None:
        """See `DiskClient`.  It is tried for `put_wait_seconds_max`."""
        request = self._engine.replicate(pool, object_id, index, count, now=self.now())
        if request is None:
            return True
        self._replications.setdefault(request, []).append((client, done))
        return None

    def settle(self) -> None:
        """See `DiskPager`."""
        self._peers.settle()

    def call_settled(self, callback: Callable[[], None]) -> None:
        """See `DiskPager`."""
        self._peers.on_settled.append(callback)

    # Pools.

    def set_outwaits(self, pool: PoolId, *, outwaits: bool) -> None:
        """Have a pool outwait unreachable peers or not: reads from the next one on, and writes that wait too."""
        self._engine.store.pools[pool].outwaits = outwaits

    def count_pages(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int | None:
        """Return how many pages of a run there are; None if the object has none at all."""
        return extents.count_pages(self._engine.store, pool, object_id, index, count)

    def pages_of(self, pool: PoolId) -> int:
        """Return how many pages a pool has."""
        return self._engine.store.pages_of(pool)

    def objects_of(self, pool: PoolId) -> int:
        """Return how many objects a pool has."""
        return self._engine.store.objects_of(pool)

    def end_pool(self, pool: PoolId) -> None:
        """Nobody uses a pool any more: refuse what waits in it.

        `destroy_some` follows until it is gone.
        """
        self._engine.end_pool(pool)
        self._book.refuse_pool(pool)

    def destroy_some(self, pool: PoolId, pages_max: int) -> tuple[int, bool]:
        """Drop a slice of a pool that was ended; return how many pages, and whether it is gone."""
        dropped = extents.flush_some(self._engine.store, pool, pages_max)
        if self._engine.store.objects_of(pool):
            return dropped, False
        self._engine.destroy_pool(pool)
        return dropped, True

    # Waiting: see `pagepath.front_ends`.

    def on_woken(self, woken: Woken) -> None:
        """A get or a replication has ended."""
        if not isinstance(woken, GetDone):
            for _, on_replicated in self._replications.pop(woken.request, ()):
                on_replicated(bool(woken.request.is_stored))
            return
        pending = woken.pending
        if (client := self._gets.get(pending)) is not None:
            done = client.gets[pending]
            if pending.is_over:
                del self._gets[pending], client.gets[pending]
            done(pending)
        else:
            # Of a patch, or of a client that is gone.
            self._waiting.on_fetched(pending, self.now())

    def serve_waiting(self) -> bool:
        """Serve the writes that wait for room, and tell those whose writes are over.

        Return whether there were any.
        """
        waiting = self._waiting
        if not waiting.wants_turn:
            return False
        waiting.serve(self.now())
        for write, outcome in self._book.take_ended():
            write.done(outcome)
        self._log_refusals()
        return True

    def next_deadline(self) -> float | None:
        """Return when the first write that waits gives up, or has its turn."""
        return AT_ONCE if self._waiting.wants_turn else self._waiting.next_deadline()

    def on_deadline(self, now: float) -> None:
        """Refuse writes that have waited long enough."""
        self._waiting.on_deadline(now)
        self._log_refusals()

    def _log_refusals(self) -> None:
        """Tell the log of refused puts, once for all of a while.

        Ephemeral pages may be dropped without a word.
        """
        waiting = self._waiting
        refused = waiting.refused_puts_total - waiting.refused_ephemeral_puts_total
        if refused != self._refused_logged and (now := self.now()) >= self._log_refusals_at:
            self._refused_logged = refused
            self._log_refusals_at = now + LOG_REFUSALS_SECONDS
            logger.warning(
                "writes get no room: %d refused since the start; %s",
                refused,
                self._engine.shortage(now),
                extra=about(EventKind.WRITES_REFUSED, refused_puts_total=refused),
            )

    # What is true.

    def statistics(self) -> PagerStatistics:
        """Return a snapshot."""
        waiting = self._waiting.statistics()
        return PagerStatistics(
            clients=self._clients,
            waiting_gets=sum(each.reads for each in self._gets),
            waiting_puts=waiting.waiting,
            waiting_pools=waiting.waiting_pools,
            refused_puts_total=waiting.refused_puts_total,
            refused_ephemeral_puts_total=waiting.refused_ephemeral_puts_total,
            superseded_puts_total=waiting.superseded_puts_total,
            cancelled_puts_total=waiting.cancelled_puts_total,
            outwaited_puts_total=waiting.outwaited_puts_total,
            unreachable_waits=unreachable_waits(self._engine, self._waiting, self.now()),
        )

    def check_invariants(self) -> None:
        """Assert what must be true between passes."""
        self._book.check_invariants()
        assert all(pending in client.gets for pending, client in self._gets.items())
        assert not any(client.is_closed for client in self._gets.values())


def _end_run(done: GetDoneCallback, pending: PendingGet) -> None:
    done(pending.pages if pending.outcome is None else pending.outcome)


def _end_some(done: Callable[[EachCame], None], pending: PendingGet) -> None:
    came = pending.take_came()
    done(EachCame(came, pending.pages, pending.failed))
    for position in came:
        pending.pages[position] = None
