"""A pool whose buffers are overwritten as they come back: a view that is used too long shows itself."""

from collections import defaultdict

from net.buffers import BufferPool

POISON = b"\xee"


class PoisonedSpare(list[memoryview]):
    def append(self, buffer: memoryview) -> None:
        buffer[:] = POISON * len(buffer)
        super().append(buffer)


class PoisonedPool(BufferPool):
    def __init__(self) -> None:
        super().__init__()
        self._by_size = defaultdict(PoisonedSpare)


# One for all who are tested: what one left in a buffer must not reach another.
POISONED = PoisonedPool()
