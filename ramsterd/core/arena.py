"""Memory outside the Python heap: the one module that maps any.

A mapping is sparse: address space is reserved at once, frames come with the first write and go back to
the kernel with `release`.  So tables and the arena have their full size from the start and cost what is
in use.  `HeapMapping` is the same without a file, for tests and simulations.
"""

import ctypes
import mmap
import os
import weakref
from typing import Final, Protocol

FRAME_BYTES: Final = 4096
# <linux/falloc.h>: KEEP_SIZE and PUNCH_HOLE.
_FALLOC_PUNCH: Final = 0x01 | 0x02
# Not madvise(MADV_REMOVE): that refuses ranges that are locked in memory, and a daemon that serves swap is.
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Mapping(Protocol):
    """A run of zeroed bytes that can be given back piecewise."""

    view: memoryview

    def release(self, start: int, length: int) -> None:
        """Give whole frames back to the kernel; they read as zeros from now on."""
        ...


class MapMemory(Protocol):
    """How a store gets its mappings: `MemfdMapping` or `HeapMapping`."""

    def __call__(self, name: str, length: int) -> Mapping:
        """Map `length` bytes, rounded up to whole frames."""
        ...


def _whole_frames(length: int) -> int:
    return -(-length // FRAME_BYTES) * FRAME_BYTES


class MemfdMapping:
    """A shared mapping of a memfd (memfd_create(2)), whose holes cost nothing."""

    def __init__(self, name: str, length: int) -> None:
        """Map `length` bytes, rounded up to whole frames.

        Raises:
            OSError: The kernel refuses; the message names the mapping and its size.
        """
        length = _whole_frames(length)
        fd = os.memfd_create(f"ramster-{name}", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, length)
            self._mmap = mmap.mmap(fd, length)
        except (OSError, ValueError, OverflowError) as error:
            os.close(fd)
            raise OSError(f"can't map {length} bytes for {name}: {error}") from error
        self._fd = fd
        weakref.finalize(self, os.close, fd)
        self.view = memoryview(self._mmap)

    def release(self, start: int, length: int) -> None:
        """Punch a hole (fallocate(2)), whether or not the memory is locked."""
        if _fallocate(self._fd, _FALLOC_PUNCH, start, length):
            error = ctypes.get_errno()
            raise OSError(error, f"can't release memory of the arena: {os.strerror(error)}")


class HeapMapping:
    """The same over memory of this process alone, of which only what is touched costs anything."""

    def __init__(self, name: str, length: int) -> None:
        del name
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.view = memoryview(mmap.mmap(-1, _whole_frames(length), flags=private))

    def release(self, start: int, length: int) -> None:
        """Zero the frames."""
        self.view[start : start + length] = bytes(length)
