"""Log lines that wait to be written, within bounds.

What does not fit is counted, and said where it is missing.  Pure.
"""

from collections import deque
from typing import Final

QUEUE_LINES_MAX: Final = 4096
QUEUE_BYTES_MAX: Final = 256 * 1024
# A traceback is one entry of many lines.
ENTRY_BYTES_MAX: Final = 16 * 1024
assert ENTRY_BYTES_MAX < QUEUE_BYTES_MAX


class LineQueue:
    """What waits, oldest first.  The newest is dropped: the oldest tells how it began."""

    def __init__(
        self, *, lines_max: int = QUEUE_LINES_MAX, bytes_max: int = QUEUE_BYTES_MAX
    ) -> None:
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._entries: deque[bytes] = deque()
        self._dropped = 0
        self.waiting_bytes = 0
        self.dropped_total = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: bytes) -> None:
        """Append an entry, or count it.  After a drop nothing fits until `take`: its notice stands in the gap."""
        is_full = (
            len(self._entries) >= self._lines_max
            or self.waiting_bytes + len(entry) > self._bytes_max
        )
        if is_full or self._dropped:
            self._dropped += 1
            self.dropped_total += 1
            return
        self._entries.append(entry)
        self.waiting_bytes += len(entry)

    def take(self) -> tuple[bytes, int]:
        """Return all that waits, and how many lines were dropped after it."""
        taken, dropped = b"".join(self._entries), self._dropped
        self._entries.clear()
        self.waiting_bytes = self._dropped = 0
        return taken, dropped
