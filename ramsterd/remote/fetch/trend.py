"""Trend: what one reader of an object reads next, told from what it has read.

After Leap (Maruf and Chowdhury, USENIX ATC 2020), which votes over the strides of a process: the
majority over the last 4, 8, 16 and 32 of them (Boyer and Moore) is the trend, so that a few reads
elsewhere don't end it.  A stride is measured from the end of one run to the beginning of the next
here: reads of any lengths, one behind the other, have the strides 0.

A window says how many pages are asked for ahead.  It doubles after as many pages as it has were
read, if one of them had to be waited for: a larger one would bring the others no sooner.  It halves
when as many as half of it came in vain, and below `WINDOW_FIRST` it is closed: then the trend has
to show again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Strides that are voted over: the last few, then twice as many, up to the most that are known; and
# how often the one that wins must be among them.
STRIDES_MIN: Final = 4
STRIDES_MAX: Final = 32
SEEN_MIN: Final = 3
# Pages that a window begins with, at least: a frame's worth is 128, and the first may be wrong.
WINDOW_FIRST: Final = 32
# Of the run that began it: a reader waits for so many runs at once, or soon will.
_RUNS_FIRST: Final = 4
# 16 MiB of pages: 640 MiB/s over a round trip of 25 ms.
WINDOW_PAGES_MAX: Final = 4096
# Fewer are not worth a frame, unless the window is so small.
FRAME_PAGES: Final = 64
# So near to what a reader has read another read may be its own: a stride is no longer, and one that
# reads in order leaves out no more.
NEAR_PAGES: Final = 256

assert WINDOW_FIRST <= FRAME_PAGES <= WINDOW_PAGES_MAX


def majority(values: Sequence[int]) -> int | None:
    """Return the value that more than half of these have (Boyer and Moore, 1981)."""
    candidate, lead = 0, 0
    for value in values:
        if not lead:
            candidate, lead = value, 1
        else:
            lead += 1 if value == candidate else -1
    return candidate if 2 * values.count(candidate) > len(values) else None


class Trend:
    """One reader of one object."""

    __slots__ = (
        "_is_late", "_last_end", "_strides", "_used", "_wasted", "ahead", "count", "end", "read_at",
        "stride", "turn", "window",
    )  # fmt: skip

    def __init__(self, index: int, count: int) -> None:
        # Behind the last run that followed the trend, and how long that was.
        self.end = index + count
        self.count = count
        # Where the next run begins, from `end` on; None: nobody knows.
        self.stride: int | None = None
        # Pages that are asked for ahead, and those that were and that the reader has not reached.
        self.window = 0
        self.ahead = 0
        # Goes up when another trend begins, or none: what was asked for before is of no use.
        self.turn = 0
        # When the reader has read last.
        self.read_at = 0.0
        # Behind the last run, and the strides before it.
        self._last_end = self.end
        self._strides: deque[int] = deque(maxlen=STRIDES_MAX)
        # Since the window last changed.
        self._used = self._wasted = 0
        self._is_late = False

    @property
    def next(self) -> int:
        """Where the next run begins, if the trend goes on."""
        return self.end + (self.stride or 0)

    def on_read(self, index: int, count: int) -> bool:
        """A run was read; return whether what was asked for ahead of it is of no use any more."""
        stride, self._last_end = index - self._last_end, index + count
        # Of strides that are all different none has a majority.
        is_known = stride in self._strides
        self._strides.append(stride)
        if self.stride is None:
            self.end, self.count = index + count, count
            if is_known:
                self._begin(self._vote())
            return False
        if index == self.next:
            self._on_followed(index, count, count)
            return False
        if self.stride == 0 and 0 < index - self.end <= NEAR_PAGES:
            # What is left out is here, or is read a little later.
            self._on_followed(index, count, index + count - self.end)
        if (trend := self._vote()) == self.stride:
            return False
        self.end, self.count = index + count, count
        self._begin(trend)
        return True

    def _vote(self) -> int | None:
        strides, width = list(self._strides), STRIDES_MIN
        while True:
            trend = majority(strides[-width:])
            if trend is not None and strides[-width:].count(trend) >= SEEN_MIN:
                return trend
            if width >= len(strides):
                return None
            width *= 2

    def _begin(self, stride: int | None) -> None:
        self.stride, self.ahead, self.turn = stride, 0, self.turn + 1
        first = max(WINDOW_FIRST, _RUNS_FIRST * self.count)
        self.window = 0 if stride is None else min(first, WINDOW_PAGES_MAX)
        self._start_count()

    def _start_count(self) -> None:
        self._used = self._wasted = 0
        self._is_late = False

    def _on_followed(self, index: int, count: int, passed: int) -> None:
        self.end, self.count = index + count, count
        self._is_late = self._is_late or self.ahead < passed
        self.ahead = max(0, self.ahead - passed)

    # What to ask for.

    def take(self, pages_max: int) -> list[tuple[int, int]]:
        """Return the runs to ask for ahead now: of so many pages at most, or one; they count as asked for."""
        missing = min(self.window - self.ahead, pages_max)
        if self.stride is None or missing < min(FRAME_PAGES, self.window // 2) or missing <= 0:
            return []
        if self.stride == 0:
            start = self.end + self.ahead
            self.ahead += missing
            return [(start, missing)]
        period, count = self.stride + self.count, self.count
        if abs(period) < count:
            return []  # the same pages again and again: what follows is mostly here
        asked = self.ahead // count
        wanted = asked + max(1, missing // count)
        starts = [self.next + step * period for step in range(asked, wanted)]
        self.ahead = max(self.ahead, wanted * count)
        return [(start, count) for start in starts if start >= 0]

    # What became of it.

    def on_used(self, pages: int, *, is_late: bool) -> None:
        """Pages that were asked for ahead were read; `is_late`: somebody had to wait for them."""
        self._used += pages
        self._is_late = self._is_late or is_late
        if self._used >= self.window > 0:
            if self._is_late:
                self.window = min(2 * self.window, WINDOW_PAGES_MAX)
            self._start_count()

    def on_wasted(self, pages: int) -> None:
        """Pages that were asked for ahead came in vain."""
        self._wasted += pages
        if not self.window or self._wasted < self.window // 2:
            return
        self.window //= 2
        self._start_count()
        if self.window < WINDOW_FIRST:
            self.close()

    def close(self) -> None:
        """Ask for nothing more, until the trend has shown again."""
        self._strides.clear()
        self._begin(None)


@dataclass(slots=True, eq=False)
class Ahead:
    """What is known of a request that a trend is the reason for."""

    trend: Trend
    turn: int
    pages: int
    zpage_bytes: int

    @property
    def is_current(self) -> bool:
        """Whether the trend goes on."""
        return self.turn == self.trend.turn
