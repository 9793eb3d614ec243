"""The queues of writes that wait for room, one for each pool.  Pure.

Within a pool it is first come first served.  Pools take turns: one after the other is served as far
as a turn goes, and the head of each is tried when room was made.  A pool whose head finds no room
holds up nobody: the others may find some of another size.  But a head that wants a large block must
not see all memory that becomes free go to heads that want small ones: when others have taken
`PASSED_BYTES_MAX` of blocks since it was tried first, they wait until it is served or refused.
Free slots of blocks that are there already are not counted: they would be of no use to it.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final

from ramsterd.core.page import PoolId
from ramsterd.core.size_classes import BLOCK_STRIDE_BYTES
from ramsterd.frontends.pager.operations import Write

# Sixteen of the largest blocks.
PASSED_BYTES_MAX: Final = 16 * BLOCK_STRIDE_BYTES


class Queue:
    """The writes of one pool that wait for room."""

    __slots__ = ("pool", "stuck_at", "writes")

    def __init__(self, pool: PoolId) -> None:
        self.pool = pool
        self.writes: OrderedDict[Write, None] = OrderedDict()
        # What all had taken when the head first found no room; None if it has not been tried, or
        # found some.
        self.stuck_at: int | None = None

    @property
    def head(self) -> Write:
        """The write that came first."""
        return next(iter(self.writes))


class Queues:
    """All queues, and whose turn it is."""

    def __init__(self) -> None:
        self._queues: dict[PoolId, Queue] = {}
        # Those to be tried, in turn.
        self._ready: deque[Queue] = deque()
        # Those whose heads found no room, the one that has waited longest since in front.
        self._stuck: OrderedDict[Queue, None] = OrderedDict()
        # How many bytes of blocks were taken in turns, ever.
        self._taken_bytes = 0
        # Never after that of any head: asked at the end of each pass.
        self._deadline = math.inf

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __len__(self) -> int:
        return sum(len(queue.writes) for queue in self._queues.values())

    def __iter__(self) -> Iterator[Queue]:
        return iter(self._queues.values())

    @property
    def pools(self) -> int:
        """How many pools wait."""
        return len(self._queues)

    def __contains__(self, write: Write) -> bool:
        queue = self._queues.get(write.pool)
        return queue is not None and write in queue.writes

    def add(self, write: Write) -> None:
        """A write waits for room, behind those of its pool that came before it, also if it waited elsewhere first."""
        queue = self._queues.get(write.pool)
        if queue is None:
            queue = self._queues[write.pool] = Queue(write.pool)
            self._ready.append(queue)
        self._deadline = min(self._deadline, write.deadline)
        writes = queue.writes
        if writes and next(reversed(writes)).number > write.number:
            self._add_before_later(queue, write)
        else:
            writes[write] = None  # as nearly all

    def _add_before_later(self, queue: Queue, write: Write) -> None:
        later = [each for each in queue.writes if each.number > write.number]
        queue.writes[write] = None
        for each in later:
            queue.writes.move_to_end(each)
        if queue.head is write:
            self._try_again(queue)

    def remove(self, write: Write) -> None:
        """A write waits for room no more, if it did."""
        queue = self._queues.get(write.pool)
        if queue is None or write not in queue.writes:
            return
        was_head = queue.head is write
        del queue.writes[write]
        if not queue.writes:
            del self._queues[write.pool]
            self._stuck.pop(queue, None)
            if queue in self._ready:
                self._ready.remove(queue)
        elif was_head:
            queue.stuck_at = None
            self._try_again(queue)

    def on_changed(self, write: Write) -> None:
        """A write has less to do than before: as a head it may find room now."""
        queue = self._queues.get(write.pool)
        if queue is not None and queue.head is write:
            self._try_again(queue)

    def _try_again(self, queue: Queue) -> None:
        if queue in self._stuck:
            del self._stuck[queue]
            self._ready.append(queue)

    def on_room_made(self) -> None:
        """Writes that found no room are tried again, before all others, in the same order."""
        self._ready.extendleft(reversed(self._stuck))
        self._stuck.clear()

    # Turns.

    @property
    def is_any_ready(self) -> bool:
        """Whether somebody is to be tried."""
        return bool(self._ready) and not self._is_reserved()

    def _is_reserved(self) -> bool:
        """Whether memory that becomes free is for the one that has found no room for longest."""
        first = next(iter(self._stuck), None)
        if first is None or first.stuck_at is None:
            return False
        return self._taken_bytes - first.stuck_at >= PASSED_BYTES_MAX

    def next_turn(self) -> Queue | None:
        """Return the queue whose turn it is, until `end_turn`."""
        return self._ready.popleft() if self.is_any_ready else None

    def end_turn(self, queue: Queue, *, taken_bytes: int, is_stuck: bool) -> None:
        """A queue was served; `is_stuck`: not at all, there was no room for its head."""
        self._taken_bytes += taken_bytes
        if self._queues.get(queue.pool) is not queue:
            return  # all are served
        if is_stuck:
            queue.stuck_at = self._taken_bytes if queue.stuck_at is None else queue.stuck_at
            self._stuck[queue] = None
        else:
            queue.stuck_at = None
            self._ready.append(queue)

    # Deadlines: who came first gives up first.

    def next_deadline(self) -> float | None:
        """Return when the first write gives up, or some time before."""
        return self._deadline if self._queues else None

    def expired(self, now: float) -> Iterator[Write]:
        """Yield each write that has waited long enough; the caller removes it, or puts its deadline off."""
        for queue in list(self._queues.values()):
            while queue.writes and (write := queue.head).deadline <= now:
                yield write
                assert write not in queue.writes or write.deadline > now, "it would never end"
        self._deadline = min(
            (queue.head.deadline for queue in self._queues.values()), default=math.inf
        )
