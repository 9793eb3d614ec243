"""What keeps a process alive and on its feet while memory is short: locked memory, no own reclaim, no OOM killer.

Each function does one thing to this process and raises OSError if it may not; what then is for the
caller.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2
PR_SET_IO_FLUSHER: Final = 57
OOM_SCORE_MIN: Final = -1000


def lock_memory() -> None:
    """Keep all pages of this process in memory, those of later too.  For small processes: it brings all of them in."""
    if _libc.mlockall(MCL_CURRENT | MCL_FUTURE):
        _raise()


def flush_io() -> None:
    """Say that I/O of others may wait for this thread: its own allocations then never wait for I/O (Linux 5.6)."""
    # Variadic: each argument as wide as the kernel reads it.
    arguments = [ctypes.c_ulong(number) for number in (1, 0, 0, 0)]
    if _libc.prctl(ctypes.c_int(PR_SET_IO_FLUSHER), *arguments):
        _raise()


def spare_from_oom_killer(path: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Let the OOM killer take any other process first.  Children inherit it."""
    if path.read_text().strip() != str(OOM_SCORE_MIN):
        path.write_text(f"{OOM_SCORE_MIN}\n")


def _raise() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
