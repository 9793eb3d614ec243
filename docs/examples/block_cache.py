"""A page cache for files that are slow to read, kept compressed in the memory of this node's ramsterd.

    cache = BlockCache("/run/ramster/tmem.sock")
    with open("/mnt/slow/table.db", "rb") as file:
        header = cache.read(file, offset=0, length=100)

All programs of one user share it (see cache_pool.py).  Without a daemon it reads the files.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from docs.examples.cache_pool import CachePool
from ramsterd.client import PAGE_BYTES


class BlockCache:
    """Reads files through an ephemeral pool; `hits` and `misses` count pages."""

    def __init__(self, socket_path: str | Path, *, pool_name: str = "block-cache") -> None:
        self._pool = CachePool(socket_path, pool_name)
        self.hits = 0
        self.misses = 0

    def close(self) -> None:
        """Leave the daemon; what is cached stays."""
        self._pool.close()

    def read(self, file: BinaryIO, *, offset: int, length: int) -> bytes:
        """Return up to `length` bytes, fewer at the end of the file."""
        status = os.fstat(file.fileno())
        length = min(length, status.st_size - offset)
        if length <= 0:
            return b""
        first = offset // PAGE_BYTES
        count = (offset + length - 1) // PAGE_BYTES - first + 1
        view = memoryview(bytearray(count * PAGE_BYTES))
        identity = identity_of(status)
        missing = self._pool.get_into(identity, first, view)
        for start, end in runs(missing):
            pages = view[(start - first) * PAGE_BYTES : (end - first) * PAGE_BYTES]
            fill(file, start * PAGE_BYTES, pages)
            # What was written while we read belongs to another version of the file.
            if identity_of(os.fstat(file.fileno())) == identity:
                self._pool.put(identity, start, pages)
        self.hits += count - len(missing)
        self.misses += len(missing)
        skip = offset - first * PAGE_BYTES
        return bytes(view[skip : skip + length])


def identity_of(status: os.stat_result) -> bytes:
    """Return 24 bytes that name this version of a file: one that was written to is another object.

    The weakness of every such cache: two writes within one tick of the file system's clock look like one.
    """
    facts = (
        status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size,
    )  # fmt: skip
    return hashlib.blake2b(repr(facts).encode(), digest_size=24).digest()


def runs(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of each run of consecutive numbers, so that each is read by one call."""
    first = end = -1
    for index in indexes:
        if index == end:
            end += 1
            continue
        if end > first:
            yield first, end
        first, end = index, index + 1
    if end > first:
        yield first, end


def fill(file: BinaryIO, offset: int, pages: memoryview) -> None:
    """Read from a file until the pages are full or it ends; what follows its end stays zeros."""
    position = 0
    while position < len(pages):
        count = os.preadv(file.fileno(), [pages[position:]], offset + position)
        if not count:
            pages[position:] = bytes(len(pages) - position)
            return
        position += count
