"""What a daemon really keeps, read from its memory by somebody who knows nothing of its books.

Pages that do not shrink are kept as they are, so they are found in the arena by what the test wrote.  Bytes of a slot
that was freed stay until it is used again: what is found is what is kept only while nothing was flushed.
"""

import os
import random
import re
import struct
from pathlib import Path

from tests.system.daemons import Node

PAGE = 4096
MARK = b"page of a test, number "


def marked_page(index: int) -> bytes:
    """Return a page that does not shrink and says which one it is."""
    head = MARK + struct.pack(">I", index)
    return head + random.Random(index).randbytes(PAGE - len(head))


def pages_in_memory(node: Node) -> set[int]:
    """Return which marked pages are in the arena of a running daemon, whole and right."""
    assert node.process is not None
    found = set[int]()
    for piece in _pieces_of(_arena(node.process.pid)):
        for mark in re.finditer(re.escape(MARK) + rb"(.{4})", piece, re.DOTALL):
            (index,) = struct.unpack(">I", mark[1])
            assert piece[mark.start() : mark.start() + PAGE] == marked_page(index)
            found.add(index)
    return found


def _arena(pid: int) -> Path:
    folder = Path(f"/proc/{pid}/fd")
    # More than one descriptor of the same file: a mapping keeps its own.
    return next(each for each in folder.iterdir() if "ramster-arena" in str(each.readlink()))


def _pieces_of(path: Path) -> list[bytes]:
    """Return the runs of a sparse file that are not holes."""
    pieces = []
    with path.open("rb") as file:
        end, position = os.fstat(file.fileno()).st_size, 0
        while position < end:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            pieces.append(os.pread(file.fileno(), position - start, start))
    return pieces
