"""What one holder was sent of our ephemeral pages and may still have, the oldest first.

12 bytes a page, outside the budget.  An entry goes stale when its page is put again, flushed or fetched: nobody
looks for it then.  With each frame that is added some older ones are looked through in turn, and what is stale goes:
so there are never many more entries than pages, and no pass looks through all.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

# Older frames that are looked through for each that is added: at most a quarter of the entries is stale for long.
_TIDIED_PER_FRAME: Final = 4


class SentEphemeral:
    """Frames of pages: rows, and the serials that they had."""

    def __init__(self, is_current: Callable[[int, int], bool]) -> None:
        """Begin with none; `is_current` tells of a row and a serial whether the page is still there."""
        self._is_current = is_current
        self._frames: deque[tuple[array[int], array[int]]] = deque()
        self._tidied = 0
        self.count = 0

    def append(self, rows: list[int], serials: list[int]) -> None:
        """Add the pages of a frame."""
        self._frames.append((array("I", rows), array("Q", serials)))
        self.count += len(rows)
        for _ in range(min(_TIDIED_PER_FRAME, len(self._frames))):
            self._tidy()

    def pop(self) -> list[tuple[int, int]]:
        """Return the (row, serial) pairs of the oldest frame; none if there is no frame."""
        if not self._frames:
            return []
        rows, serials = self._frames.popleft()
        self._tidied = max(0, self._tidied - 1)
        self.count -= len(rows)
        return list(zip(rows, serials, strict=True))

    def serials(self) -> "Iterator[array[int]]":
        """Yield all serials, stale ones too, frame by frame."""
        assert self.count == sum(len(rows) for rows, _ in self._frames)
        for _, serials in self._frames:
            yield serials

    def _tidy(self) -> None:
        """Drop the entries of one frame that are stale."""
        if self._tidied >= len(self._frames):
            self._tidied = 0
        rows, serials = self._frames[self._tidied]
        kept = [pair for pair in zip(rows, serials, strict=True) if self._is_current(*pair)]
        self.count -= len(rows) - len(kept)
        if not kept and len(self._frames) > 1:
            del self._frames[self._tidied]
            return
        if len(kept) < len(rows):
            self._frames[self._tidied] = (
                array("I", [row for row, _ in kept]),
                array("Q", [serial for _, serial in kept]),
            )
        self._tidied += 1
