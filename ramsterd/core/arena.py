"""Memory outside the Python heap: the one module that maps any.

A mapping is sparse: address space is there at once, frames come with the first write and go back to
the kernel with `release`.  So tables and the arena have their full size from the start and cost
what is in use.  `HeapMapping` is the same without a file, for tests and simulations.

On a file system that others fill too, the first write to a frame may find no room, and ends the
process (SIGBUS).  A mapping of such a file `needs_reserve`: its frames are to be reserved before
they are written.
"""

import ctypes
import errno
import mmap
import os
import weakref
from typing import Final, Protocol, TypeAlias

FRAME_BYTES: Final = 4096
# <linux/falloc.h>
_FALLOC_KEEP_SIZE: Final = 0x01
_FALLOC_PUNCH_HOLE: Final = 0x02
# Not madvise(MADV_REMOVE): that refuses ranges that are locked in memory, and a daemon that serves
# swap is.
_libc: Final = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
# <asm-generic/mman-common.h>, Linux 5.14.  Called here, for mmap.madvise keeps the interpreter's lock
# while the kernel looks for frames.
_MADV_POPULATE_READ: Final = 22
_MADV_POPULATE_WRITE: Final = 23
_madvise = _libc.madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Mapping(Protocol):
    """A run of zeroed bytes that can be given back piecewise."""

    view: memoryview
    # Whether frames are to be reserved before they are written.
    needs_reserve: bool

    def release(self, start: int, length: int) -> None:
        """Give whole frames back to the kernel; they read as zeros from now on."""
        ...

    def reserve(self, start: int, length: int) -> bool:
        """Have room for the frames of a range, whose bytes stay as they are.

        Return False if there is none.
        """
        ...

    def populate(self, start: int, length: int) -> bool:
        """Make the frames of a range resident, whose bytes stay as they are.

        It waits for the kernel, so it is for a thread of its own; other threads may use the mapping
        meanwhile.  Return False if there is no room for all.
        """
        ...

    def resident_spans(self) -> list[tuple[int, int]]:
        """Return (start, stop) in bytes of what is not a hole, in order.

        All else reads as zeros.
        """
        ...


# A frame of a mapping, by its number.
Place: TypeAlias = tuple[Mapping, int]


class MapMemory(Protocol):
    """How a store gets its mappings: `MemfdMapping` or `HeapMapping`."""

    def __call__(self, name: str, length: int) -> Mapping:
        """Map `length` bytes, rounded up to whole frames."""
        ...


def reserve_frame(mapping: Mapping, frame: int) -> bool:
    """Have room for a frame, where that is not sure; return False if there is none."""
    return not mapping.needs_reserve or mapping.reserve(frame * FRAME_BYTES, FRAME_BYTES)


def _whole_frames(length: int) -> int:
    return -(-length // FRAME_BYTES) * FRAME_BYTES


class FileMapping:
    """A shared mapping of a file in memory, whose holes cost nothing."""

    def __init__(self, fd: int, name: str, length: int, *, needs_reserve: bool = False) -> None:
        """Map `length` bytes of a file, rounded up to whole frames.

        It grows to that, and `fd` is ours from now on.

        Raises:
            OSError: The kernel refuses; the message names the mapping and its size.
        """
        length = _whole_frames(length)
        try:
            if os.fstat(fd).st_size < length:
                os.ftruncate(fd, length)
            self._mmap = mmap.mmap(fd, length)
        except (OSError, ValueError, OverflowError) as error:
            os.close(fd)
            raise OSError(f"can't map {length} bytes for {name}: {error}") from error
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._mmap))
        self._fd = fd
        weakref.finalize(self, os.close, fd)
        self.view = memoryview(self._mmap)
        self.needs_reserve = needs_reserve

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._fd

    def release(self, start: int, length: int) -> None:
        """Punch a hole (fallocate(2)), whether or not the memory is locked."""
        if _fallocate(self._fd, _FALLOC_PUNCH_HOLE | _FALLOC_KEEP_SIZE, start, length):
            error = ctypes.get_errno()
            raise OSError(error, f"can't release memory of the arena: {os.strerror(error)}")

    def reserve(self, start: int, length: int) -> bool:
        """Fill the holes of a range (fallocate(2))."""
        while _fallocate(self._fd, _FALLOC_KEEP_SIZE, start, length):
            error = ctypes.get_errno()
            if error in {errno.ENOSPC, errno.EDQUOT}:
                return False
            if error != errno.EINTR:
                raise OSError(error, f"can't reserve memory of the arena: {os.strerror(error)}")
        return True

    def populate(self, start: int, length: int) -> bool:
        """Fault all frames in for writing; where the kernel can't do that at once, have them at least in the file."""
        if self.needs_reserve and not self.reserve(start, length):
            return False
        while _madvise(self._address + start, length, _MADV_POPULATE_WRITE):
            error = ctypes.get_errno()
            if error == errno.EINVAL:  # Linux before 5.14
                return self.reserve(start, length)
            if error not in {errno.EAGAIN, errno.EINTR}:
                return False
        return True

    def fault_in(self) -> None:
        """Have this process map what is in memory, about 10 GiB a second.

        What another process has left there is locked with the first use by this one, and nothing
        makes sure that there is one soon.  Before Linux 5.14 it stays so.
        """
        for start, stop in self.resident_spans():
            _madvise(self._address + start, stop - start, _MADV_POPULATE_READ)

    def resident_spans(self) -> list[tuple[int, int]]:
        """Ask the file system (SEEK_DATA of lseek(2)), which reads nothing."""
        spans, start, length = [], 0, len(self.view)
        while start < length:
            try:
                start = os.lseek(self._fd, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break  # nothing more
            stop = os.lseek(self._fd, start, os.SEEK_HOLE)
            spans.append((start, min(stop, length)))
            start = stop
        return spans


class MemfdMapping(FileMapping):
    """The same of a memfd (memfd_create(2)), which ends with this process if nobody else has it."""

    def __init__(self, name: str, length: int) -> None:
        """Map `length` bytes, rounded up to whole frames.

        Raises:
            OSError: The kernel refuses; the message names the mapping and its size.
        """
        super().__init__(os.memfd_create(f"ramster-{name}", os.MFD_CLOEXEC), name, length)


class HeapMapping:
    """The same over memory of this process alone, of which only what is touched costs anything."""

    needs_reserve = False

    def __init__(self, name: str, length: int) -> None:
        del name
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._mmap = mmap.mmap(-1, _whole_frames(length), flags=private)
        self.view = memoryview(self._mmap)

    def release(self, start: int, length: int) -> None:
        """Forget the frames."""
        self._mmap.madvise(mmap.MADV_DONTNEED, start, length)

    def reserve(self, start: int, length: int) -> bool:
        """There is room."""
        del start, length
        return True

    def populate(self, start: int, length: int) -> bool:
        """What is touched is resident."""
        return self.reserve(start, length)

    def resident_spans(self) -> list[tuple[int, int]]:
        """Nobody can tell: all of it may be there."""
        return [(0, len(self.view))]
