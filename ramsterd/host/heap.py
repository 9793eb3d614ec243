"""The heap of this process: what is freed stays with it, and some of it is there before it is needed.

Two allocators are at work.  That of C (glibc's malloc) has everything beyond 512 bytes: pages on
their way, buffers, tables of the interpreter.  By default it gives the end of its heap back when
that is free, and takes a mapping for each large block: so the same request of a client takes
memory from the kernel again and again.  That of Python has all smaller objects, in arenas of 1 MiB,
and gives an arena back once it is empty.

With both, what is needed next while memory is short would come from the kernel, which may have none
without us.  So blocks are taken and used once, and freed: their memory waits here.
"""

import ctypes
import sys
from typing import Final

_libc: Final = ctypes.CDLL(None)
_malloc: Final = _libc.malloc
_malloc.restype, _malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
_free: Final = _libc.free
_free.restype, _free.argtypes = None, (ctypes.c_void_p,)
# <malloc.h> of glibc; other C libraries have no mallopt.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_NEVER: Final = (1 << 31) - 1
# The most that glibc takes.  Beyond it are only tables that grow, and of a mapping the kernel moves
# the pages when it grows; in the heap it would be copied.
_MMAP_BYTES_MIN: Final = 32 << 20

# What clients and links may need at once: `tests.soak.pressure` shows how much a daemon comes to.
SPARE_BLOCK_BYTES: Final = 16 << 20
SPARE_OBJECT_BYTES: Final = 4 << 20
SPARE_BYTES: Final = SPARE_BLOCK_BYTES + SPARE_OBJECT_BYTES

# The largest object in an arena, and an arena.
_OBJECT_BYTES: Final = 512
_ARENA_BYTES: Final = 1 << 20
_EMPTY_BYTES: Final = sys.getsizeof(b"")


def keep_freed_memory() -> bool:
    """Have malloc give nothing back, and all threads use one heap; return whether it does so.

    Threads that are there may have heaps of their own already.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((_M_TRIM_THRESHOLD, _NEVER), (_M_MMAP_THRESHOLD, _MMAP_BYTES_MIN), (_M_ARENA_MAX, 1))
    done = [mallopt(option, value) for option, value in wanted]
    return all(done)


class SpareHeap:
    """Free memory of both allocators, as long as this is referred to."""

    def __init__(self) -> None:
        """Take it from the kernel, and use each page of it once."""
        self._objects = _hold_arenas(SPARE_OBJECT_BYTES)
        block_bytes = SPARE_BLOCK_BYTES if _use_block(SPARE_BLOCK_BYTES) else 0
        self.spare_bytes = SPARE_OBJECT_BYTES + block_bytes


def _use_block(count_bytes: int) -> bool:
    address: int | None = _malloc(count_bytes)
    if address is None:
        return False
    ctypes.memset(address, 0, count_bytes)
    _free(address)
    return True


def _hold_arenas(count_bytes: int) -> list[bytes]:
    """Return few objects, such that there is one in each of the arenas that so many bytes of objects take."""
    objects = [bytes(_OBJECT_BYTES - _EMPTY_BYTES) for _ in range(count_bytes // _OBJECT_BYTES)]
    # An arena begins anywhere, and covers one such half of its size wholly.
    halves = {id(each) // (_ARENA_BYTES // 2): each for each in objects}
    return list(halves.values())
