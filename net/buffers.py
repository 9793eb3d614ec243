"""Receive buffers that idle connections do without.  Pure.

A receive wants a large buffer, and a connection spends nearly all of its time waiting for data.  So
a connection borrows a buffer when bytes have come, serves them, and gives it back before it waits;
of what it has not served (part of a request) it keeps a copy of its own, unless that is so long
that the buffer is the better place.

A buffer that was given back is another connection's with the next `take`: no view of it may outlive
the pass that served it.  That was so before buffers were shared: the next receive overwrote it.
"""

from collections import defaultdict
from typing import Final

# More than a few are at work at the same time only while many connections are in the middle of long
# requests.
SPARE_BUFFERS_MAX: Final = 4
# What an idle connection may keep of a buffer is a quarter of its size at most, else it keeps the
# buffer: so what a client makes us hold is at most four times what it has sent.
KEPT_FRACTION: Final = 4

NO_BUFFER: Final = memoryview(b"")


class BufferPool:
    """Buffers that nobody uses, for the next who needs one of the same size.

    `spare_max` of each size at most.
    """

    __slots__ = ("_by_size", "spare_max")

    def __init__(self, spare_max: int = SPARE_BUFFERS_MAX) -> None:
        self.spare_max = spare_max
        self._by_size = defaultdict[int, list[memoryview]](list)

    def spare(self, count_bytes: int) -> list[memoryview]:
        """Return the spare buffers of this size, of which there are `spare_max` at most.

        For the hot path: to pop one and to append it again costs less than the two calls below.
        """
        return self._by_size[count_bytes]

    def take(self, count_bytes: int) -> memoryview:
        """Return a buffer of this size, with anything in it."""
        spare = self._by_size[count_bytes]
        return spare.pop() if spare else memoryview(bytearray(count_bytes))

    def give_back(self, buffer: memoryview) -> None:
        """Take a buffer back, or free it: there are enough."""
        spare = self._by_size[len(buffer)]
        if len(spare) < self.spare_max:
            spare.append(buffer)
