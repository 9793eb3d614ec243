"""One helper for one device: a file that is locked while its process runs, and says which one that is.

A shell.  The lock ends with the process, however that ends; the file stays, and nothing is
concluded from it.
"""

import fcntl
import os
import stat
from pathlib import Path
from typing import Final, Self

FOLDER: Final = Path("/run/ramster-nbd")
_PROCESS_BYTES_MAX: Final = 32


class Locked(Exception):
    """Another helper has this device; `process` is its number, 0 if it has not written it yet."""

    def __init__(self, process: int) -> None:
        super().__init__(str(process))
        self.process = process


class HelperLock:
    """The lock of one device.  Close it, or use it in a `with`."""

    def __init__(self, device: str, folder: Path = FOLDER) -> None:
        """Take the lock.

        Raises:
            Locked: Another helper has it.
            OSError: The file can't be made, or is none.
        """
        folder.mkdir(mode=0o755, exist_ok=True)
        self._descriptor = _open(folder / device, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = _process_in(self._descriptor)
            os.close(self._descriptor)
            raise Locked(process) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def helper_of(device: str, folder: Path = FOLDER) -> int | None:
    """Return the process that attaches a device now, or None: nobody does."""
    try:
        descriptor = _open(folder / device, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _process_in(descriptor) or None
    else:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    """Open a plain file, and wait for nothing: not for the other end of a pipe either."""
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"found {path}, expected a plain file there")
    return descriptor


def _process_in(descriptor: int) -> int:
    text = os.pread(descriptor, _PROCESS_BYTES_MAX, 0).strip()
    return int(text) if text.isdigit() else 0
