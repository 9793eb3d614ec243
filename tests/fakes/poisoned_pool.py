"""A pool whose buffers are overwritten as they come back: a view that is used too long shows itself."""

from net.buffers import BufferPool

POISON = b"\xee"


class PoisonedPool(BufferPool):
    def give_back(self, buffer: memoryview) -> None:
        buffer[:] = POISON * len(buffer)
        super().give_back(buffer)


# One for all who are tested: what one left in a buffer must not reach another.
POISONED = PoisonedPool()
