"""One process at a time: a lock on a file of kept memory, by an open file description of our own.

A lock belongs to an open file description (flock(2)), and the one that a service manager keeps is
never closed: a lock by that would outlive us, and one by a copy of it would be granted to
everybody.  So the file is opened anew.
"""

import fcntl
import os

from ramsterd.kept.keepers.keeper import MemoryTaken


def lock_memory(fd: int) -> int:
    """Lock a file; return the descriptor that holds the lock until it is closed.

    Raises:
        MemoryTaken: Another process holds it.
    """
    ours = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(ours)
        if isinstance(error, BlockingIOError):
            raise MemoryTaken("another ramsterd uses the kept memory of this node") from None
        raise
    return ours
