"""What buffers hold, for tests that count it."""

from net.buffers import BufferPool
from net.frame import FrameDecoder


def spare_bytes(pool: BufferPool) -> int:
    """How much memory is kept for the next who needs a buffer."""
    return sum(size * len(spare) for size, spare in pool._by_size.items())


def unread_bytes(decoder: FrameDecoder) -> int:
    """How many bytes of an unfinished frame are kept."""
    return decoder._end - decoder._start + len(decoder._kept)
