"""What keeps a process alive and on its feet while memory is short: locked memory, no own reclaim, no OOM killer.

Each function does one thing to this process, or reads it back; what may not be done raises OSError,
and what then is for the caller.
"""

import ctypes
import errno
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
# <sys/mman.h>
MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2
MCL_ONFAULT: Final = 4
# <linux/prctl.h>
PR_SET_IO_FLUSHER: Final = 57
PR_GET_IO_FLUSHER: Final = 58
OOM_SCORE_MIN: Final = -1000
OOM_SCORE_NORMAL: Final = 0
OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
STATUS: Final = Path("/proc/self/status")

NO_LOCK_ON_FAULT: Final = "Linux 4.4 or newer is needed (MCL_ONFAULT)"


def lock_program() -> None:
    """Bring all pages of this process into memory, and keep them there.

    For what is small: tables and the arena of a daemon are to be mapped later.
    """
    _raise_soft_limit()
    _lock(MCL_CURRENT)


def lock_from_now_on() -> None:
    """Keep all pages in memory that are there, and those of later from their first use on.

    Without MCL_ONFAULT all that is mapped would be filled: mappings are far larger than what is in
    use.  The whole of them counts against RLIMIT_MEMLOCK all the same.
    """
    _raise_soft_limit()
    try:
        _lock(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise OSError(errno.EINVAL, NO_LOCK_ON_FAULT) from None
        raise


def unlock_memory() -> None:
    """Let the kernel move any page to swap again."""
    _libc.munlockall()


def locked_bytes(path: Path = STATUS) -> int:
    """Return the size of all mappings that are locked (VmLck of proc(5))."""
    for line in path.read_text().splitlines():
        if line.startswith("VmLck:"):
            return int(line.split()[1]) * 1024
    return 0


def set_io_flusher(*, is_one: bool) -> None:
    """Say whether I/O of others may wait for this thread, and for those that it starts from now on.

    Their allocations then never wait for I/O (Linux 5.6).  Kept over execve(2).
    """
    _prctl(PR_SET_IO_FLUSHER, int(is_one))


def is_io_flusher() -> bool:
    """Whether the kernel takes this thread for one; who may not ask is none."""
    try:
        return bool(_prctl(PR_GET_IO_FLUSHER, 0))
    except OSError:
        return False


def spare_from_oom_killer(path: Path = OOM_SCORE) -> None:
    """Let the OOM killer take any other process first.  Children inherit it."""
    if oom_score_adj(path) != OOM_SCORE_MIN:
        path.write_text(f"{OOM_SCORE_MIN}\n")


def oom_score_adj(path: Path = OOM_SCORE) -> int:
    """Return what is added to how much the OOM killer likes this process, in thousandths of memory."""
    return int(path.read_text())


def major_faults() -> int:
    """Return how often this process has waited for a page from a disk; also before execve(2)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def give_up_protection(path: Path = OOM_SCORE) -> None:
    """A protected process has started this one, for which nobody waits: take nothing of that over.

    Locked memory is not inherited.  What can't be given up stays.
    """
    with suppress(OSError):
        if oom_score_adj(path) < OOM_SCORE_NORMAL:
            path.write_text(f"{OOM_SCORE_NORMAL}\n")
    with suppress(OSError):
        set_io_flusher(is_one=False)


def _lock(flags: int) -> None:
    if _libc.mlockall(flags):
        _raise()


def _raise_soft_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))


def _prctl(option: int, value: int) -> int:
    # Variadic: each argument as wide as the kernel reads it.
    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    result: int = _libc.prctl(ctypes.c_int(option), *arguments)
    if result < 0:
        _raise()
    return result


def _raise() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
