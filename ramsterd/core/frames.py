"""Items of one size in whole frames of a mapping, and the bound on what all tables take.

Items (rows, nodes of the page table) are handed out from one open frame: a plain stack, which the
put path pops itself.  A freed item is chained to its frame.  When the open frame is used up, a
frame that is used in part is opened, and only if there is none, a new one: so frames fill up before
more are taken, and what is resident is what is counted.  A frame that has no item in use any more
is given back to the kernel at once, and reads as zeros from then on.

Reading such a frame would make it resident again: a walk of items asks `live_spans` first.

Memory that is kept has items that an earlier process left: `adopt` is told which of them are in
use.
"""

import errno
from array import array
from collections.abc import Iterator
from heapq import heappop, heappush, nsmallest
from typing import Final, TypeAlias

from ramsterd.core.arena import FRAME_BYTES, Mapping, Place, reserve_frame
from ramsterd.core.frames_beside import FramesBeside, release_gaps
from ramsterd.core.lru import BlockLists, Links

# A byte for each item.
Flags: TypeAlias = bytes | bytearray
_NO_FRAME: Final = -1
_Columns: TypeAlias = "tuple[array[int], array[int]]"
# Frames of rows, of nodes and of objects, a few of each.
_SPARE_BYTES: Final = 6 * FRAME_BYTES


class TableMemory:
    """How much memory the tables have, and may have."""

    __slots__ = ("bytes_max", "used_bytes")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.used_bytes = 0

    def take(self, count: int) -> bool:
        """Count so many bytes more; return False, and count nothing, if that would be too much."""
        if self.used_bytes + count > self.bytes_max:
            return False
        self.used_bytes += count
        return True

    def give(self, count: int) -> None:
        """Count so many bytes less."""
        self.used_bytes -= count

    def adopt(self, count: int) -> None:
        """Count so many bytes more that are in use already, even if that is too much."""
        self.used_bytes += count

    def has_spare(self, part: int) -> bool:
        """Whether one part in so many is free, and enough for some frames of each kind."""
        return self.used_bytes + max(self.bytes_max // part, _SPARE_BYTES) <= self.bytes_max

    def is_above(self, fraction: float) -> bool:
        """Whether more than a fraction of the bound is used."""
        return self.used_bytes > fraction * self.bytes_max


class FramedItems:
    """Allocates items by number.

    Knows nothing of what they hold, but where a free one links to the next.
    """

    def __init__(
        self,
        mapping: Mapping,
        memory: TableMemory,
        *,
        frame_shift: int,
        items_max: int,
        first_item: int,
        link_shift: int,
        link_place: int = 0,
        side_bytes: int = 0,
        beside: FramesBeside | None = None,
    ) -> None:
        """Begin with none in use.

        Raises:
            OSError: There is no room for a frame.

        Args:
            mapping: Holds `items_max` items, one behind the other.
            memory: What all tables may have.
            frame_shift: A frame has 1 << frame_shift items.
            items_max: Item numbers are below this.
            first_item: Those below are in use for ever, and lie in the first frame.
            link_shift: The link of item n is 32-bit word (n << link_shift) + link_place of the
                mapping.
            link_place: See there.
            side_bytes: What the caller keeps beside the mapping for each frame, counted with it.
            beside: What is there as long as a frame is, counted with it.
        """
        # Free items of the open frame: pop one, or call `alloc`.
        self.stack: list[int] = []
        # Items from here on are in frames that were never used, or are free again.
        self.high = 0
        self._mapping = mapping
        self._memory = memory
        self._frame_shift = frame_shift
        self._frame_items = 1 << frame_shift
        self._items_max = items_max
        self._first_item = first_item
        self._links = mapping.view.cast("I")
        self._link_shift, self._link_place = link_shift, link_place
        self._frame_bytes = FRAME_BYTES + side_bytes
        self._beside = beside
        # For each frame: how many items are in use, on the stack or none at all, and the first free
        # one (0: none).
        self._taken = array("H")
        self._free = array("I")
        # How many items ever came on the stack.
        self._handed_out = 0
        self._open = _NO_FRAME
        # How many items were ever given back, and how often a frame came or went.
        self.freed = self.frames_changed = 0
        self._partial = BlockLists(1)
        # Frames below `high` that were given back, the lowest first; some may be beyond it by now.
        self._released: list[int] = []
        assert 0 < first_item < min(self._frame_items, items_max)
        if (frame := self._grow()) == _NO_FRAME:
            raise OSError(errno.ENOSPC, "no room for the first frame of a table")
        self._open_frame(frame)

    @property
    def used(self) -> int:
        """How many items are in use."""
        return self._handed_out - self.freed - len(self.stack)

    def alloc(self) -> int:
        """Return an item to fill, or 0 if there is no room for one."""
        if not self.stack and not self.refill():
            return 0
        return self.stack.pop()

    def refill(self) -> bool:
        """Have items on the empty stack: open a frame with free ones; return whether there was one."""
        frame = self._open
        if not self._free[frame]:
            partial = self._partial.oldest(0)
            frame = self._grow() if partial is None else partial
            if frame == _NO_FRAME:
                return False
        self._open_frame(frame)
        return True

    def free(self, item: int) -> None:
        """Give an item back."""
        frame, free, taken = item >> self._frame_shift, self._free, self._taken
        self._links[(item << self._link_shift) + self._link_place] = free[frame]
        free[frame] = item
        left = taken[frame] = taken[frame] - 1
        self.freed += 1
        if frame == self._open:
            return
        if not left:
            self._release(frame)
        elif left == self._frame_items - 1:
            self._partial.append(0, frame)

    def frames(self) -> tuple[_Columns, Links, int]:
        """Return what room.c changes as `free` and `refill` do: of each frame, the frames used in part, and the open one."""
        return (self._taken, self._free), self._partial.links(), self._open

    def note_refilled(self, open_frame: int, items: int) -> None:
        """Room.c has put so many items on the stack, the last ones from this frame."""
        self._open = open_frame
        self._handed_out += items

    def live_spans(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of the items from `first` to below `end` whose frames are there, neighbours as one."""
        shift, end = self._frame_shift, min(end, self.high)
        start = first
        for frame in range(first >> shift, -(-end // self._frame_items)):
            if self._taken[frame] or frame == self._open:
                continue
            if start < frame << shift:
                yield start, frame << shift
            start = (frame + 1) << shift
        if start < end:
            yield start, end

    def next_places(self, count: int) -> list[Place]:
        """Return the frames that come next, and what is beside them, of about `count`."""
        frames = nsmallest(count, self._released)
        first, end = len(self._taken), -(-self._items_max // self._frame_items)
        frames += range(first, min(first + count - len(frames), end))
        places: list[Place] = [(self._mapping, frame) for frame in frames]
        if self._beside is not None:
            places += dict.fromkeys(map(self._beside.place, frames))
        return places

    def resident_bytes(self) -> int:
        """Return what the frames in use take, and what is beside them.  Walks all."""
        frames = sum(taken > 0 or frame == self._open for frame, taken in enumerate(self._taken))
        beside = 0 if self._beside is None else self._beside.resident_bytes()
        return frames * self._frame_bytes + beside

    def adopt(self, used: Flags) -> None:
        """Go on with items that an earlier process left: those whose byte is 1 are in use, all others are free.

        Free ones are zeroed and linked; frames without any in use go back to the kernel, as does
        what lies beyond.
        """
        assert not self.used
        self._memory.give(self.resident_bytes())
        frames_count = 1 + (max(0, used.rfind(1)) >> self._frame_shift)
        self.stack.clear()
        self.high = frames_count << self._frame_shift
        assert self.high - self._frame_items < self._items_max
        self._taken = array("H", bytes(2 * frames_count))
        self._free = array("I", bytes(4 * frames_count))
        self._partial = BlockLists(1)
        self._partial.grow(frames_count)
        # Items of it are in use for ever; `refill` finds what is free there.
        self._open = 0
        self.freed = self._handed_out = 0
        used = used[: self._items_max].ljust(self.high, b"\0")
        live = [frame for frame in range(frames_count) if self._adopt_frame(frame, used)]
        self._released = sorted({*range(frames_count)} - {*live})
        release_gaps(self._mapping, live)
        if self._beside is not None:
            self._beside.adopt(live)
        self._memory.adopt(self.resident_bytes())

    def _adopt_frame(self, frame: int, used: Flags) -> bool:
        """Link the free items of a frame, the lowest last; return whether it stays."""
        start, stop = frame << self._frame_shift, (frame + 1) << self._frame_shift
        first, end = max(start, self._first_item), min(stop, self._items_max)
        in_use = used.count(1, first, end)
        if not in_use and frame != self._open:
            return False
        self._handed_out += in_use
        self._taken[frame] = in_use + (first - start) + (stop - end)
        if in_use < end - first:
            item_bytes = FRAME_BYTES >> self._frame_shift
            none, free, view = bytes(item_bytes), 0, self._mapping.view
            for item in range(first, end):
                if not used[item]:
                    view[item * item_bytes : (item + 1) * item_bytes] = none
                    self._links[(item << self._link_shift) + self._link_place] = free
                    free = item
            self._free[frame] = free
            if frame != self._open:
                self._partial.append(0, frame)
        return True

    def check_invariants(self) -> None:
        """Assert what must be true between calls."""
        assert len(self._taken) << self._frame_shift == self.high
        none = self._first_item + max(0, self.high - self._items_max)
        assert sum(self._taken) - none == self._handed_out - self.freed
        for frame, taken in enumerate(self._taken):
            free, item = 0, self._free[frame]
            while item:
                assert item >> self._frame_shift == frame
                free, item = free + 1, self._links[(item << self._link_shift) + self._link_place]
            is_live = bool(taken) or frame == self._open
            assert free == (self._frame_items - taken if is_live else 0)
            assert self._partial.is_listed(frame) == (
                0 < taken < self._frame_items and frame != self._open
            )

    def _open_frame(self, frame: int) -> None:
        """Put the free items of a frame on the stack."""
        if self._partial.is_listed(frame):
            self._partial.remove(frame)
        self._open = frame
        item = self._free[frame]
        if item:
            while item:
                self.stack.append(item)
                item = self._links[(item << self._link_shift) + self._link_place]
            self._free[frame] = 0
            self._taken[frame] += len(self.stack)
        else:
            first = max(frame << self._frame_shift, self._first_item)
            end = min((frame + 1) << self._frame_shift, self._items_max)
            self.stack.extend(range(end - 1, first - 1, -1))  # the lowest on top
            self._taken[frame] = self._frame_items
        self._handed_out += len(self.stack)

    def _grow(self) -> int:
        """Return a frame without items, or _NO_FRAME."""
        while self._released and self._released[0] >= len(self._taken):
            heappop(self._released)
        frame = self._released[0] if self._released else len(self._taken)
        if frame << self._frame_shift >= self._items_max or not self._take_memory(frame):
            return _NO_FRAME
        self.frames_changed += 1
        if self._released:
            return heappop(self._released)
        self._taken.append(0)
        self._free.append(0)
        self._partial.grow(frame + 1)
        self.high = (frame + 1) << self._frame_shift
        return frame

    def _take_memory(self, frame: int) -> bool:
        """Have a frame, and what is beside it.

        Return False, and count nothing, if there is no room.
        """
        beside = self._beside
        count = self._frame_bytes + (0 if beside is None else beside.bytes_for(frame))
        if not self._memory.take(count):
            return False
        if reserve_frame(self._mapping, frame) and (beside is None or beside.add(frame)):
            return True
        self._mapping.release(frame * FRAME_BYTES, FRAME_BYTES)
        self._memory.give(count)
        return False

    def _release(self, frame: int) -> None:
        """Give a frame back in which nothing is in use."""
        if self._partial.is_listed(frame):
            self._partial.remove(frame)
        self.frames_changed += 1
        self._mapping.release(frame * FRAME_BYTES, FRAME_BYTES)
        beside_bytes = 0 if self._beside is None else self._beside.remove(frame)
        self._memory.give(self._frame_bytes + beside_bytes)
        self._free[frame] = 0
        if frame != len(self._taken) - 1:
            heappush(self._released, frame)
            return
        while not self._taken[frame - 1] and frame - 1 != self._open:
            frame -= 1
        del self._taken[frame:]
        del self._free[frame:]
        self._partial.shrink(frame)
        self.high = frame << self._frame_shift
