"""What one holder was sent of our ephemeral pages and may still have, the oldest first.

12 bytes a page, outside the budget.  An entry goes stale when its page is put again, flushed or
fetched: nobody looks for it then.  With each frame that is added some older ones are looked through
in turn, and what is stale goes: so there are never many more entries than pages, and no pass looks
through all.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ramsterd.core.rows import Rows
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX

# Older frames that are looked through for each that is added: at most a quarter of the entries is
# stale for long.
_TIDIED_PER_FRAME: Final = 4


def kept_frames(
    store_rows: Rows, sent: Iterable[int]
) -> dict[int, list[tuple[list[int], list[int]]]]:
    """Return, by holder, what an earlier process sent it of these rows, in frames, the oldest page first.

    A page that was put later has a higher serial; in which order pages were sent is not kept, and
    is mostly the same.
    """
    by_holder: dict[int, list[tuple[int, int]]] = {}
    for row in sent:
        holder = by_holder.setdefault(store_rows.first_holder(row), [])
        holder.append((store_rows.serial(row), row))
    frames: dict[int, list[tuple[list[int], list[int]]]] = {}
    for holder_id, pages in by_holder.items():
        pages.sort()
        frames[holder_id] = [
            ([row for _, row in some], [serial for serial, _ in some])
            for start in range(0, len(pages), PAGES_PER_FRAME_MAX)
            if (some := pages[start : start + PAGES_PER_FRAME_MAX])
        ]
    return frames


class SentEphemeral:
    """Frames of pages: rows, and the serials that they had."""

    def __init__(
        self,
        is_current: Callable[[int, int], bool],
        kept: Iterable[tuple[list[int], list[int]]] = (),
    ) -> None:
        """Begin with none, or what an earlier process sent.

        Args:
            is_current: Tells of a row and a serial whether the page is still there.
            kept: Rows and their serials, frame by frame, the oldest first.
        """
        self._is_current = is_current
        self._frames = deque((array("I", rows), array("Q", serials)) for rows, serials in kept)
        self._tidied = 0
        self.count = sum(len(rows) for rows, _ in self._frames)

    def append(self, rows: Sequence[int], serials: Sequence[int]) -> None:
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
