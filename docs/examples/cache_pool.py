"""An ephemeral pool that a program can do without: no daemon, no room and a lost connection are all a miss.

Programs of one user that name the same pool share it.  It outlives each of them, and gives way by itself when memory
is wanted for something better.  Several threads may use one CachePool.
"""

import threading
import time
from pathlib import Path
from typing import Final

from ramsterd.client import PAGE_BYTES, Client, Pool, PoolFull, PoolKind, RamsterError

# A daemon that could not be reached is left alone for so long.
RETRY_SECONDS: Final = 5.0


class CachePool:
    """A named pool; its calls never raise for what the daemon does or does not do."""

    def __init__(self, socket_path: str | Path, name: str) -> None:
        self._socket_path = socket_path
        self._name = name
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._pool: Pool | None = None
        self._retry_at = 0.0

    def close(self) -> None:
        """Leave the daemon; the pool stays, for the next one who opens it."""
        with self._lock:
            self._disconnect()

    def get_into(self, object_id: bytes, index: int, buffer: memoryview) -> list[int]:
        """Fill whole pages; return the indexes that miss, whose pages mean nothing."""
        pool = self._connected_pool()
        if pool is not None:
            try:
                return pool.get_into(object_id, index, buffer)
            except RamsterError:
                self._give_up(pool)
        return list(range(index, index + len(buffer) // PAGE_BYTES))

    def put(self, object_id: bytes, index: int, buffer: memoryview) -> None:
        """Keep whole pages, if there is room."""
        pool = self._connected_pool()
        if pool is not None:
            try:
                pool.put(object_id, index, buffer)
            except PoolFull:
                pass  # a quota: what was to be kept can be had elsewhere
            except RamsterError:
                self._give_up(pool)

    def flush_object(self, object_id: bytes) -> None:
        """Forget an object."""
        pool = self._connected_pool()
        if pool is not None:
            try:
                pool.flush_object(object_id)
            except RamsterError:
                self._give_up(pool)

    def _connected_pool(self) -> Pool | None:
        with self._lock:
            if self._pool is None and time.perf_counter() >= self._retry_at:
                try:
                    self._client = Client(self._socket_path, name=self._name)
                    self._pool = self._client.new_pool(PoolKind.EPHEMERAL, name=self._name)
                except RamsterError:
                    self._disconnect()
            return self._pool

    def _give_up(self, pool: Pool) -> None:
        """Forget a connection that failed, unless another thread did and has made a new one."""
        with self._lock:
            if self._pool is pool:
                self._disconnect()

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._pool = None
        self._retry_at = time.perf_counter() + RETRY_SECONDS
