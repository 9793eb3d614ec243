"""A page cache for files that are slow to read, kept compressed in the memory of this node's ramsterd.

All programs of one user share it, it outlives each of them, and it gives way by itself when memory is wanted for
something better: its pool is ephemeral.  Without a daemon it reads the files, and tries again some time later.

    cache = BlockCache("/run/ramster/tmem.sock")
    with open("/mnt/slow/table.db", "rb") as file:
        header = cache.read(file, offset=0, length=100)
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from ramsterd.client import PAGE_BYTES, Client, Pool, PoolFull, PoolKind, RamsterError

RETRY_SECONDS: Final = 5.0


class BlockCache:
    """Reads files through an ephemeral pool; `hits` and `misses` count pages."""

    def __init__(self, socket_path: str | Path, *, pool_name: str = "block-cache") -> None:
        self._socket_path = socket_path
        self._pool_name = pool_name
        self._client: Client | None = None
        self._pool: Pool | None = None
        self._retry_at = 0.0
        self.hits = 0
        self.misses = 0

    def close(self) -> None:
        """Leave the daemon; the pool stays, for the next one who opens it."""
        if self._client is not None:
            self._client.close()
        self._client = self._pool = None

    def read(self, file: BinaryIO, *, offset: int, length: int) -> bytes:
        """Return up to `length` bytes, fewer at the end of the file."""
        status = os.fstat(file.fileno())
        length = min(length, status.st_size - offset)
        if length <= 0:
            return b""
        first = offset // PAGE_BYTES
        count = (offset + length - 1) // PAGE_BYTES - first + 1
        buffer = bytearray(count * PAGE_BYTES)
        view = memoryview(buffer)
        identity = identity_of(status)
        missing = self._get(identity, first, view)
        for start, end in runs(missing):
            pages = view[(start - first) * PAGE_BYTES : (end - first) * PAGE_BYTES]
            fill(file, start * PAGE_BYTES, pages)
            self._put(identity, start, pages)
        self.hits += count - len(missing)
        self.misses += len(missing)
        skip = offset - first * PAGE_BYTES
        return bytes(view[skip : skip + length])

    def _get(self, identity: bytes, first: int, view: memoryview) -> list[int]:
        """Fill what the pool has; return the pages that it has not."""
        everything = list(range(first, first + len(view) // PAGE_BYTES))
        pool = self._connected_pool()
        if pool is None:
            return everything
        try:
            return pool.get_into(identity, first, view)
        except RamsterError:
            self._give_up()
            return everything

    def _put(self, identity: bytes, index: int, pages: memoryview) -> None:
        if self._pool is None:
            return
        try:
            self._pool.put(identity, index, pages)
        except PoolFull:
            pass  # a quota: the file is still there
        except RamsterError:
            self._give_up()

    def _connected_pool(self) -> Pool | None:
        if self._pool is None and time.perf_counter() >= self._retry_at:
            try:
                self._client = Client(self._socket_path, name="block cache")
                self._pool = self._client.new_pool(PoolKind.EPHEMERAL, name=self._pool_name)
            except RamsterError:
                self._give_up()
        return self._pool

    def _give_up(self) -> None:
        self.close()
        self._retry_at = time.perf_counter() + RETRY_SECONDS


def identity_of(status: os.stat_result) -> bytes:
    """Return 24 bytes that name this version of a file: one that was written to is another object."""
    facts = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
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
            return
        position += count
