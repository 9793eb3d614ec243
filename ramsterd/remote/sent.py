"""What one holder was sent of our ephemeral pages and may still have, the oldest first.

12 bytes a page, outside the budget.  An entry goes stale when its page is put again, flushed or fetched: nobody
looks for it then; it goes when it is the oldest, or when there are too many (`keep`).
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterator


class Sent:
    """Frames of pages: rows, and the serials that they had."""

    def __init__(self) -> None:
        self._frames: deque[tuple[array[int], array[int]]] = deque()
        self.count = 0

    def append(self, rows: list[int], serials: list[int]) -> None:
        """Add the pages of a frame."""
        self._frames.append((array("I", rows), array("Q", serials)))
        self.count += len(rows)

    def pop(self) -> list[tuple[int, int]]:
        """Return the (row, serial) pairs of the oldest frame; none if there is no frame."""
        if not self._frames:
            return []
        rows, serials = self._frames.popleft()
        self.count -= len(rows)
        return list(zip(rows, serials, strict=True))

    def keep(self, is_current: Callable[[int, int], bool]) -> None:
        """Drop the entries that are stale."""
        frames, self._frames, self.count = self._frames, deque(), 0
        for rows, serials in frames:
            kept = [pair for pair in zip(rows, serials, strict=True) if is_current(*pair)]
            if kept:
                self.append([row for row, _ in kept], [serial for _, serial in kept])

    def serials(self) -> Iterator[int]:
        """Yield all serials, stale ones too."""
        assert self.count == sum(len(rows) for rows, _ in self._frames)
        for _, serials in self._frames:
            yield from serials
