"""What peers are owed: serials of ours that nobody will ask for again, until they surely know.

A FLUSH_PAGES has no answer, so one that was on its way when the link broke may or may not have arrived.  Frames
of a link are handled in order: an answer to a request that was sent after a flush proves the flush.  What is not
proven when the link is lost is owed again.

To flush twice is harmless only as long as the serial was not put to the same peer in between.  It can't have been:
the answer to that PUT would have proven the flush, and without an answer the PUT itself is owed a flush.
"""

from array import array
from collections import deque
from collections.abc import Iterable
from typing import Final

# Request ids wrap around; of two ids the one less than half of all ids ahead is the later.
_IDS: Final = 1 << 32


class Flushes:
    """Serials to flush, by holder id: owed, or sent and not proven."""

    def __init__(self) -> None:
        self._owed: dict[int, list[int]] = {}
        # (the last request before this flush, its serials), oldest first.
        self._sent: dict[int, deque[tuple[int, array[int]]]] = {}

    def __bool__(self) -> bool:
        return bool(self._owed)

    def holders(self) -> list[int]:
        """Return who is owed something."""
        return list(self._owed)

    def count(self) -> int:
        """Return how many serials are owed and not sent."""
        return sum(map(len, self._owed.values()))

    def owe(self, holder: int, serials: Iterable[int]) -> int:
        """Add serials; return how many the holder is owed now."""
        owed = self._owed.setdefault(holder, [])
        owed.extend(serials)
        return len(owed)

    def send(self, holder: int, last_request_id: int) -> list[int]:
        """Return all that a holder is owed: it is sent now, behind the request with this id."""
        serials = self._owed.pop(holder, [])
        if serials:
            sent = self._sent.setdefault(holder, deque())
            sent.append((last_request_id, array("Q", serials)))
        return serials

    def on_answer(self, holder: int, request_id: int) -> None:
        """The holder answered a request: all that was sent before that request has arrived."""
        sent = self._sent.get(holder)
        if sent is None:
            return
        while sent and 0 < (request_id - sent[0][0]) % _IDS < _IDS // 2:
            sent.popleft()
        if not sent:
            del self._sent[holder]

    def on_link_lost(self, holder: int) -> None:
        """Nobody knows which of the last flushes arrived: they are owed again."""
        for _, serials in self._sent.pop(holder, ()):
            self.owe(holder, serials)

    def take(self, holder: int) -> list[int]:
        """Return all that a holder is owed or may not have got, which it is owed no more."""
        self.on_link_lost(holder)
        return self._owed.pop(holder, [])

    def forget(self, holder: int) -> None:
        """The holder lost all it had."""
        self._owed.pop(holder, None)
        self._sent.pop(holder, None)
