"""Which process has locked a file, as /proc/locks tells (proc(5)).  The parser is pure."""

import os
from pathlib import Path
from typing import Final

_LOCKS: Final = Path("/proc/locks")


def process_with_lock(fd: int) -> int | None:
    """Return the id of the process that holds a flock on the file of a descriptor.

    None: it can't be known.
    """
    found = os.fstat(fd)
    try:
        text = _LOCKS.read_text()
    except OSError:
        return None
    return find_flock(
        text, major=os.major(found.st_dev), minor=os.minor(found.st_dev), inode=found.st_ino
    )


def find_flock(text: str, *, major: int, minor: int, inode: int) -> int | None:
    """Return the process of the flock on a file; who only waits for it has `->` in front."""
    for line in text.splitlines():
        match line.split():
            case [_, "FLOCK", _, _, process, where, *_] if process.isdecimal() and process != "0":
                if where == f"{major:02x}:{minor:02x}:{inode}":
                    return int(process)
    return None
