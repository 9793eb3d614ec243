"""What peers are owed: serials of ours that nobody will ask for again, until they surely know.

A FLUSH_PAGES has no answer, so one that was on its way when the link broke may or may not have
arrived.  Frames of a link are handled in order: an answer to a request that was sent after a flush
proves the flush.  What is not proven when the link is lost is owed again.

To flush twice is harmless only as long as the serial was not put to the same peer in between.  It
can't have been: the answer to that PUT would have proven the flush, and without an answer the PUT
itself is owed a flush.

Millions may be owed after a link was lost.  They are kept in pieces of `PIECE_SERIALS`, of which
some leave in a pass, so that nobody has to sort them all.  A piece in the hand of the holder may
wait, for it keeps the order of flushes and PUTs by itself (remote.foreign_flushes); here a PUT must
wait until all pieces but the last have left.
"""

from array import array
from collections import deque
from collections.abc import Iterable
from typing import Final

# Serials that leave together: some 1 ms to make ranges of here, some 5 ms to drop there.
PIECE_SERIALS: Final = 4096
# Request ids wrap around; of two ids the one less than half of all ids ahead is the later.
_IDS: Final = 1 << 32


class OwedFlushes:
    """Serials to flush, by holder id: owed, or sent and not proven."""

    def __init__(self) -> None:
        self._owed: dict[int, deque[array[int]]] = {}
        self._owed_counts: dict[int, int] = {}
        # (the last request before this flush, its serials), oldest first.
        self._sent: dict[int, deque[tuple[int, array[int]]]] = {}

    def __bool__(self) -> bool:
        return bool(self._owed)

    def holders(self) -> list[int]:
        """Return who is owed something."""
        return list(self._owed)  # a copy: sending changes it

    def count(self) -> int:
        """Return how many serials are owed and not sent."""
        return sum(self._owed_counts.values())

    def owed_to(self, holder: int) -> int:
        """Return how many serials a holder is owed that are not sent."""
        return self._owed_counts.get(holder, 0)

    def has_any_for(self, holder: int) -> bool:
        """Whether a holder is owed something, or may not have got what was sent."""
        return holder in self._owed or holder in self._sent

    def owe(self, holder: int, serials: Iterable[int]) -> int:
        """Add serials; return how many the holder is owed now."""
        added = array("Q", serials)
        for start in range(0, len(added), PIECE_SERIALS):
            self._owe_piece(holder, added[start : start + PIECE_SERIALS])
        return self.owed_to(holder)

    def send(self, holder: int, last_request_id: int) -> "array[int]":
        """Return a piece of what a holder is owed: it is sent now, behind the request with this id."""
        pieces = self._owed.get(holder)
        if not pieces:
            return array("Q")
        serials = pieces.popleft()
        self._owed_counts[holder] -= len(serials)
        if not pieces:
            del self._owed[holder], self._owed_counts[holder]
        self._sent.setdefault(holder, deque()).append((last_request_id, serials))
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
            self._owe_piece(holder, serials)

    def move(self, holder: int, target: int) -> None:
        """What a holder is owed or may not have got is owed to another id of the same node."""
        self.on_link_lost(holder)
        self._owed_counts.pop(holder, None)
        for serials in self._owed.pop(holder, ()):
            self._owe_piece(target, serials)

    def forget(self, holder: int) -> None:
        """The holder lost all it had."""
        self._owed.pop(holder, None)
        self._owed_counts.pop(holder, None)
        self._sent.pop(holder, None)

    def _owe_piece(self, holder: int, serials: "array[int]") -> None:
        pieces = self._owed.setdefault(holder, deque())
        if pieces and len(pieces[-1]) + len(serials) <= PIECE_SERIALS:
            pieces[-1].extend(serials)
        else:
            pieces.append(serials)
        self._owed_counts[holder] = self.owed_to(holder) + len(serials)
