"""Writes in their order: which take effect at once, which wait, and what becomes of those.  Pure.

The order on one page is the order in which operations came (`order.py`).  What needs no slot takes
effect at once: same-filled pages, pages that fit where their old version stands, zeros, drops.
What needs one takes it if nobody waits for room, and else waits with those of its pool
(`queues.py`), for `put_wait_seconds_max` at most.  In a pool that outwaits unreachable peers it
goes on to wait as long as one of them might take pages, for `unreachable_seconds_max` at most.

A write that was refused leaves what was acknowledged before, except in pools that hide it
(`Store.refuse`).  A write whose client is gone is forgotten.  Answers are collected, and handed out
at the end of the pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from ramsterd.core import extents
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.table import LEAF_PAGES
from ramsterd.frontends.pager.book import Book
from ramsterd.frontends.pager.interface import Dropped, PutOutcome, WriteOutcome
from ramsterd.frontends.pager.operations import NEWEST, Operations, Patch, Put, Take, Write
from ramsterd.frontends.pager.queues import Queue
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet

# Pages that a pool may put before the next one has its turn.
TURN_PAGES: Final = 64
# Pages put in one pass for those that waited: about 5 ms.  A head that finds no room costs as much
# as some of them.
PASS_PAGES: Final = 1024
TRY_PAGES: Final = 4
# Leaves that one `put_zeros` fills, or larger parts of a disk without any: 1024 pages and 1 ms at
# least.
ZERO_STEPS_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingStatistics:
    """Writes that wait for room, and the outcomes of those that had to wait."""

    waiting: int
    waiting_pools: int
    refused_puts_total: int
    # Of these, puts of ephemeral pages: they are dropped, which no client need be told of.
    refused_ephemeral_puts_total: int
    # Writes that a later one replaced before there was room for them.
    superseded_puts_total: int
    # Writes whose client went away.
    cancelled_puts_total: int
    # Writes that waited longer than `put_wait_seconds_max`.
    outwaited_puts_total: int


class Waiting:
    """The decisions on writes that wait for room, over the book of all writes that are not over."""

    def __init__(self, engine: Engine, book: Book, *, put_wait_seconds_max: float) -> None:
        self._engine = engine
        self._store, self._room = engine.store, engine.store.room
        self._put_wait_seconds_max = put_wait_seconds_max
        self._book = book
        self._queues = book.queues
        # What `Room.room_made` was when the queues were last served.
        self._room_seen = 0
        self.refused_puts_total = self.refused_ephemeral_puts_total = 0
        self._outwaited_puts_total = 0
        # Since when the peers are back that writes outwaited; inf: they are away.
        self._back_at = -math.inf

    # What takes effect at once.

    def put(self, pool: PoolId, object_id: bytes, index: int, pages: memoryview) -> int:
        """Store what may be stored at once, from the start of a run; return how many pages."""
        stored = self._store.put(pool, object_id, index, pages, takes_slots=not self._queues)
        self._book.on_effect(pool, object_id, index, stored)
        return stored

    def put_zeros(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
        """Make the start of a run read as zeros; return how many pages, 0 if that is refused."""
        stored = extents.put_zeros(
            self._store, pool, object_id, index, count, steps_max=ZERO_STEPS_MAX
        )
        self._book.on_effect(pool, object_id, index, stored)
        if not stored:
            self.refuse(pool, object_id, index, min(count, LEAF_PAGES))
        return stored

    def drop(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
    ) -> Dropped:
        """Drop about `pages_max` pages from the start of a run."""
        reach, pages = extents.flush_slice(
            self._store, pool, object_id, index, count, pages_max=pages_max
        )
        self._book.on_effect(pool, object_id, index, reach)
        return Dropped(reach, pages)

    def drop_taken(self, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
        """Drop pages that a client takes with it; return how many there were.

        Unlike `drop` it leaves alone what waits to be stored there: that came later than what was
        taken.
        """
        _, pages = extents.flush_slice(self._store, pool, object_id, index, count, pages_max=count)
        return pages

    def refuse(self, pool: PoolId, object_id: bytes, index: int, count: int) -> None:
        """There is no room for the pages of a run, now or later."""
        self._count_refused(pool)
        self._hide(pool, object_id, index, count)

    def _count_refused(self, pool: PoolId) -> None:
        self.refused_puts_total += 1
        if self._store.pools[pool].kind is PoolKind.EPHEMERAL:
            self.refused_ephemeral_puts_total += 1

    def _hide(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, newest: int = NEWEST
    ) -> None:
        """Operation `newest` is refused on a run: the pool says what that leaves behind."""
        if self._store.refuse(pool, object_id, index, count):
            self._book.on_effect(pool, object_id, index, count, newest=newest)

    # What waits.

    def wait_to_put(
        self,
        client: Operations,
        pool: PoolId,
        object_id: bytes,
        index: int,
        pages: memoryview,
        done: Callable[[PutOutcome], None],
        *,
        now: float,
    ) -> PutOutcome | None:
        """Let a run for which `put` found no room wait for it, if that may help.

        `pages` are copied.
        """
        count = len(pages) // PAGE_BYTES
        if not self._queues and not self._engine.may_make_room(pool):
            self.refuse(pool, object_id, index, count)
            return PutOutcome.REFUSED
        put = Put(
            client=client,
            number=self._book.next_number(),
            pool=pool,
            object_id=object_id,
            rest=[range(index, index + count)],
            began_at=now,
            deadline=now + self._put_wait_seconds_max,
            done=cast("Callable[[WriteOutcome], None]", done),
            index=index,
            pages=memoryview(bytes(pages)),
        )
        self._book.begin(put)
        self._queues.add(put)
        return None

    def patch(
        self,
        client: Operations,
        pool: PoolId,
        object_id: bytes,
        index: int,
        offset: int,
        data: bytes,
        done: Callable[[WriteOutcome], None],
        *,
        now: float,
    ) -> WriteOutcome | None:
        """Change a part of one page, or wait: behind others that write it, for the page, or for room."""
        patch = Patch(
            client=client,
            number=self._book.next_number(),
            pool=pool,
            object_id=object_id,
            rest=[range(index, index + 1)],
            began_at=now,
            deadline=now + self._put_wait_seconds_max,
            done=done,
            index=index,
            offset=offset,
            data=data,
            is_behind=self._book.order.has_write(pool, object_id, index),
        )
        self._book.begin(patch)
        if not patch.is_behind:
            self._try_patch(patch, now)
        return self._book.take_answer(patch)

    def begin_take(
        self, client: Operations, pool: PoolId, object_id: bytes, index: int, count: int
    ) -> Take:
        """Watch which pages of a run are replaced until `end_take`."""
        take = Take(
            client=client,
            number=self._book.next_number(),
            pool=pool,
            object_id=object_id,
            rest=[range(index, index + count)],
        )
        self._book.begin(take)
        return take

    def end_take(self, take: Take) -> int:
        """Drop the pages of a run that nobody has replaced meanwhile.

        Return how many there were.
        """
        self._book.forget(take)
        if take.pool not in self._store.pools:
            return 0
        return sum(
            self.drop_taken(take.pool, take.object_id, run.start, len(run)) for run in take.rest
        )

    # Patches.

    def _try_patch(self, patch: Patch, now: float) -> None:
        """Read, change and write in one go, or wait for the page, or for room."""
        if not self._read_and_write(patch, now, takes_slots=not self._queues):
            self._wait_to_patch(patch)

    def _wait_to_patch(self, patch: Patch) -> None:
        if self._queues or self._engine.may_make_room(patch.pool):
            # The page may change while we wait for room, so the whole change is tried again then.
            self._queues.add(patch)
        else:
            self._refuse(patch)

    def _read_and_write(self, patch: Patch, now: float, *, takes_slots: bool) -> bool:
        """Change a page, or have it fetched; return whether there was room for it."""
        if patch.fetched is not None:
            serial_now = self._engine.serial_of(patch.pool, patch.object_id, patch.index)
            if serial_now == patch.serial:
                return self._write_patched(patch, patch.fetched, takes_slots=takes_slots)
            patch.fetched = None
        found = self._engine.get(patch.pool, patch.object_id, patch.index, 1, now=now)
        if isinstance(found, PendingGet):
            serial = self._engine.serial_of(patch.pool, patch.object_id, patch.index)
            self._book.begin_fetch(patch, found, serial)
            return True
        if isinstance(found, GetOutcome):
            self._book.end(patch, found)
            return True
        return self._write_patched(patch, found[0], takes_slots=takes_slots)

    def _write_patched(self, patch: Patch, page: bytes | None, *, takes_slots: bool) -> bool:
        patched = patch.apply(page)
        stored = self._store.put(
            patch.pool, patch.object_id, patch.index, patched, takes_slots=takes_slots
        )
        self._book.on_effect(patch.pool, patch.object_id, patch.index, stored, newest=patch.number)
        return bool(stored)

    def on_fetched(self, pending: PendingGet, now: float) -> None:
        """A get has ended that was for a patch, or for nobody any more."""
        patch = self._book.end_fetch(pending)
        if patch is None:
            return
        if pending.outcome is not None:
            self._book.end(patch, pending.outcome)
        else:
            patch.fetched = pending.pages[0]
            self._try_patch(patch, now)

    # Room.

    @property
    def wants_turn(self) -> bool:
        """Whether `serve` would do something now.  Asked at the end of each pass."""
        if not self._book.open:
            return bool(self._book.ended)
        if self._book.ended or self._book.order.next_patches:
            return True
        return bool(self._queues) and (
            self._room.room_made != self._room_seen or self._queues.is_any_ready
        )

    def serve(self, now: float) -> None:
        """Serve those whose turn has come, in turns, as long as there is room, or enough for one pass."""
        while self._book.order.next_patches:
            patch = self._book.order.next_patches.pop(0)
            # The other write may have ended together with its client, or the patch too.
            if patch in self._book.open and not patch.is_behind and patch.fetch is None:
                self._try_patch(patch, now)
        work = PASS_PAGES
        if self._queues and self._room.room_made != self._room_seen:
            self._queues.on_room_made()
        while work > 0 and (queue := self._queues.next_turn()) is not None:
            work -= self._serve_turn(queue, now) + TRY_PAGES
        self._room_seen = self._room.room_made

    def _serve_turn(self, queue: Queue, now: float) -> int:
        """Serve one pool; return how many pages were put."""
        store, room = self._store, self._room
        used, made = store.zbud.used_bytes, room.room_made
        adopted, evicted = room.adopted_blocks, room.evicted_blocks
        pages = 0
        while pages < TURN_PAGES and queue.writes:
            stored = self._serve_head(queue.head, TURN_PAGES - pages, now)
            if not stored:
                break
            pages += stored
        # To look for room may have adopted clean blocks: then to look again is worth it
        # (`Room.find_slot`).
        is_stuck = not pages and room.adopted_blocks == adopted
        taken_bytes = max(0, store.zbud.used_bytes - used)
        self._queues.end_turn(queue, taken_bytes=taken_bytes, is_stuck=is_stuck)
        # What was evicted in vain may be enough for another.  What a put gave back again is no
        # room.
        if room.room_made != made and (pages or room.evicted_blocks != evicted):
            self._queues.on_room_made()
        return pages

    def _serve_head(self, write: Write, pages_max: int, now: float) -> int:
        """Do what there is room for of a write; return how many pages that was."""
        if isinstance(write, Patch):
            return int(self._read_and_write(write, now, takes_slots=True))
        assert isinstance(write, Put)
        run = write.rest[0][:pages_max]
        stored = self._store.put(write.pool, write.object_id, run.start, write.view(run))
        self._book.on_effect(write.pool, write.object_id, run.start, stored, newest=write.number)
        return stored

    # Time.

    def next_deadline(self) -> float | None:
        """Return when the first write that waits for room gives up, or some time before."""
        return self._queues.next_deadline() if self._book.open else None

    def on_deadline(self, now: float) -> None:
        """Refuse writes that have waited long enough, or let them outwait the peers that are away."""
        for write in self._queues.expired(now):
            deadline = self._outwait(write, now)
            if deadline <= now:
                self._refuse(write)
            else:
                write.deadline = deadline
                self._outwaited_puts_total += not write.is_outwaiting
                write.is_outwaiting = True

    def _outwait(self, write: Write, now: float) -> float:
        """Return until when a write waits on that has waited long enough; now: no longer.

        When the peers are back, all that waited for them get the time that any write has: there is
        room, and it takes a while to use it.  Or they are full.
        """
        if not self._store.pools[write.pool].outwaits:
            return now
        if self._engine.is_outwaiting(write.pool):
            self._back_at = math.inf
        elif self._back_at == math.inf:
            self._back_at = now
        again_at = min(self._back_at, now) + self._put_wait_seconds_max
        return min(again_at, write.began_at + self._engine.unreachable_seconds_max)

    def _refuse(self, write: Write) -> None:
        self._count_refused(write.pool)
        # A patch has no pages of its own: the rest of its page was acknowledged before and stays.
        if isinstance(write, Put):
            for run in write.rest:
                self._hide(
                    write.pool, write.object_id, run.start, len(run), newest=write.number - 1
                )
        self._book.end(write, PutOutcome.REFUSED)

    # What is true.

    def statistics(self) -> WaitingStatistics:
        """Return a snapshot."""
        return WaitingStatistics(
            waiting=len(self._queues),
            waiting_pools=self._queues.pools,
            refused_puts_total=self.refused_puts_total,
            refused_ephemeral_puts_total=self.refused_ephemeral_puts_total,
            superseded_puts_total=self._book.superseded_puts_total,
            cancelled_puts_total=self._book.cancelled_puts_total,
            outwaited_puts_total=self._outwaited_puts_total,
        )

    def unreachable_writes(self) -> dict[PoolId, tuple[int, float]]:
        """Return how many writes of a pool outwait peers, and since when the first of them waits."""
        return {
            queue.pool: (len(queue.writes), queue.head.began_at)
            for queue in self._queues
            if self._engine.is_outwaiting(queue.pool)
        }
