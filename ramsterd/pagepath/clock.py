"""Clock: what is done because time has passed, and when that is next.

Twice a second this node keeps house, and tells its STATUS to peers that may not know it.  Work that takes long is done in
slices, of which one has its turn in a pass.
"""

from collections.abc import Callable
from typing import Final

from ramsterd.core.family import Family
from ramsterd.host.slack import slack_of
from ramsterd.pagepath.effects import Replicated, Resized
from ramsterd.pagepath.machines import Machines

# How often peers are told how much room we have, while that changes; in between a refusal tells
# them.
STATUS_SECONDS: Final = 0.5
# Blocks of foreign ephemeral pages that a draining node drops at each STATUS.
DRAINED_BLOCKS_MAX: Final = 256
# Zpages that compaction moves at each STATUS: about 2 ms.  A shrinking budget has no better way to
# find memory.
COMPACT_ZPAGES: Final = 1024


class Clock:
    """The one clock of the page path."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        # Asked at the end of each pass, when mostly nothing is due.
        self._deadlines: Final[tuple[Callable[[], float | None], ...]] = (
            machines.flushes.next_deadline,
            machines.sweeps.next_deadline,
            machines.scrubber.next_deadline,
            machines.last_copies.next_deadline,
            machines.slices.next_deadline,
            *machines.fetches.deadlines,
            machines.replicator.next_deadline,
            machines.remotifier.next_deadline,
            machines.orphans.next_deadline,
            machines.reconciler.next_deadline,
        )
        self._tick_at = self._tick_until = 0.0
        self._last_turn = 0

    def tick_soon(self, now: float) -> None:
        """Peers should know at once what has changed here: the next tick is due."""
        self._tick_at = self._tick_until = now
        self._machines.status.on_changed()

    def next_deadline(self) -> float:
        """Return when `on_deadline` wants to be called."""
        return self._next_after(min(self._tick_at, self._machines.background_fetch.next_deadline()))

    def last_deadline(self) -> float:
        """Return when `on_deadline` has to be called at the latest: what is done again and again has slack."""
        background_at = self._machines.background_fetch.last_deadline()
        return self._next_after(min(self._tick_until, background_at))

    def _next_after(self, next_at: float) -> float:
        for deadline in self._deadlines:
            at = deadline()
            if at is not None and at < next_at:
                next_at = at
        return next_at

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        machines = self._machines
        machines.fetches.on_deadline(now)
        machines.remotifier.on_deadline(now)
        machines.outbox.add(*map(Replicated, machines.replicator.on_deadline(now)))
        if self._tick_at <= now:
            self._tick_at = now + STATUS_SECONDS
            self._keep_house(now)
            machines.status.on_tick(now)
            repeat_until = max(self._tick_at, machines.status.repeat_until())
            self._tick_until = min(self._tick_at + slack_of(STATUS_SECONDS), repeat_until)
        machines.orphans.on_deadline(now)
        self._take_a_turn(now)

    # In slices.

    def _take_a_turn(self, now: float) -> None:
        """Of all that has a slice due, one has its turn: each is short, and all of them in one pass would not be."""
        machines = self._machines
        turns: tuple[tuple[float | None, Callable[[float], None]], ...] = (
            (machines.last_copies.next_deadline(), self._count_last_copies),
            (machines.background_fetch.next_deadline(), self._fetch_in_background),
            (machines.scrubber.next_deadline(), machines.scrubber.on_deadline),
            (machines.sweeps.next_deadline(), machines.sweeps.on_deadline),
        )
        for step in range(1, len(turns) + 1):
            turn = (self._last_turn + step) % len(turns)
            due_at, on_deadline = turns[turn]
            if due_at is not None and due_at <= now:
                self._last_turn = turn
                on_deadline(now)
                return

    def _count_last_copies(self, now: float) -> None:
        self._machines.outbox.add(*self._machines.last_copies.on_deadline(now))

    def _fetch_in_background(self, now: float) -> None:
        self._machines.background_fetch.on_deadline(
            now,
            left_total=self._machines.remotifier.left_total,
            is_any_remote=self._is_any_remote(),
            is_draining=self._machines.is_draining,
        )

    def _is_any_remote(self) -> bool:
        """Whether peers have pages of ours that may be repatriated."""
        machines = self._machines
        if machines.is_draining:
            return True
        is_any_replicated = machines.replicator.is_any_replicated
        return not is_any_replicated and any(each.pages for each in machines.holders)

    # House.

    def _keep_house(self, now: float) -> None:
        """Look who has room, compact, recall, and give memory back, a bounded piece at a time."""
        machines = self._machines
        machines.fetches.unpark()
        machines.read_ahead.drop_old(now)
        machines.remotifier.look_around(now)
        if not machines.replicator.is_waiting:
            machines.compactor.compact(COMPACT_ZPAGES)
        self._recall_foreign()
        machines.replicator.replicate_again(now + machines.remote.put_wait_seconds_max)
        machines.store.zbud.trim()
        self.watch_resize(now)

    def _recall_foreign(self) -> None:
        """Ask owners to take pages back, if this node drains, or nothing else makes room."""
        machines, foreign, recall = self._machines, self._machines.foreign, self._machines.recall
        recall.on_tick(
            is_draining=machines.is_draining,
            must_leave=machines.remotifier.is_stuck(),
            left_total=machines.remotifier.left_total,
        )
        was_closed, foreign.is_closed = foreign.is_closed, recall.is_active
        if machines.is_draining:
            machines.store.room.evict_some([Family.FOREIGN_EPHEMERAL], 0, DRAINED_BLOCKS_MAX)
        for node in machines.nodes.nodes() if recall.is_active or was_closed else ():
            if machines.nodes.is_linked(node):
                machines.outbox.recall(node, recall.bound(node))

    def watch_resize(self, now: float) -> None:
        """Look how far a change of the budget is; its end is told outside."""
        machines = self._machines
        is_under_way = machines.remotifier.is_any_in_flight() or machines.recall.is_active
        ended = machines.resize.on_progress(now=now, is_under_way=is_under_way)
        if ended is not None:
            zbud = machines.store.zbud
            machines.outbox.add(Resized(ended, zbud.budget_bytes, zbud.resident_bytes))
