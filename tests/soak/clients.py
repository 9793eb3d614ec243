"""Clients of both kinds that put, get and flush at random and judge what they get."""

import errno
import random
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ramsterd.client import Client, PageLost, PoolFull, PoolKind
from ramsterd.client.nbd import NbdClient, RequestFailed
from tests.soak.oracle import PAGE_BYTES, Oracle

PAGES: Final = 2500
RUN_PAGES: Final = (1, 1, 1, 4, 8, 32)
OBJECT: Final = b"soak"


class SoakClient(threading.Thread):
    """A thread that goes on until it is told to stop, or something is wrong."""

    def __init__(self, name: str, rng: random.Random, *, may_vanish: bool = False) -> None:
        super().__init__(name=name, daemon=True)
        self.rng = rng
        self.oracle = Oracle(name, may_vanish=may_vanish)
        self.stopping = threading.Event()
        self.operations = 0
        # For the main thread: how many operations it saw last, and how often it saw no more.
        self.seen = 0
        self.idle_checks = 0
        self.refused = 0
        self.failure = ""

    def run(self) -> None:
        """Work; a failure is kept for the main thread."""
        try:
            self.work()
        except Exception:
            self.failure = traceback.format_exc()

    def work(self) -> None:
        """Connect, and call `step` until told to stop."""
        raise NotImplementedError

    def steps(self, put: Callable[[int, int], None], get: Callable[[int, int], None],
              flush: Callable[[int, int], None]) -> None:  # fmt: skip
        """Do random operations on random runs."""
        while not self.stopping.is_set():
            count = self.rng.choice(RUN_PAGES)
            index = self.rng.randrange(PAGES - count + 1)
            (operation,) = self.rng.choices([put, get, flush], [5, 5, 1])
            operation(index, count)
            self.operations += 1
        for index in range(0, PAGES, 20):
            get(index, 20)


class DiskClient(SoakClient):
    """One NBD connection, with a part of the export of its own."""

    def __init__(self, name: str, rng: random.Random, socket: Path, export: str, part: int) -> None:
        super().__init__(name, rng)
        self._socket = socket
        self._export = export
        self._first = part * PAGES

    def work(self) -> None:
        """See `SoakClient`."""
        with NbdClient.connect(self._socket, self._export) as self._nbd:
            self.steps(self._put, self._get, self._flush)

    def _offset(self, index: int) -> int:
        return (self._first + index) * PAGE_BYTES

    def _put(self, index: int, count: int) -> None:
        versions, pages = self.oracle.new_run(index, count)
        try:
            self._nbd.write(self._offset(index), pages)
        except RequestFailed as error:
            if error.errno != errno.ENOSPC:
                raise
            self.refused += 1
            self.oracle.on_refused(index, versions)
        else:
            self.oracle.on_put(index, versions)

    def _get(self, index: int, count: int) -> None:
        try:
            data = self._nbd.read(self._offset(index), count * PAGE_BYTES)
        except RequestFailed as error:
            self.oracle.check_error(index, count, error)
            self._flush(index, count)
            return
        pages = [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]
        self.oracle.check(index, [page if any(page) else None for page in pages])

    def _flush(self, index: int, count: int) -> None:
        self._nbd.trim(self._offset(index), count * PAGE_BYTES)
        self.oracle.on_flush(index, count)


class PoolClient(SoakClient):
    """One connection to the tmem socket, with a pool of its own."""

    def __init__(
        self, name: str, rng: random.Random, socket: Path, kind: PoolKind, codec: str
    ) -> None:
        super().__init__(name, rng, may_vanish=kind is PoolKind.EPHEMERAL)
        self._socket = socket
        self._kind = kind
        self._codec = codec

    def work(self) -> None:
        """See `SoakClient`."""
        with Client(self._socket, name=self.name) as client:
            self._pool = client.new_pool(self._kind, codec=self._codec)
            self.steps(self._put, self._get, self._flush)

    def _put(self, index: int, count: int) -> None:
        versions, pages = self.oracle.new_run(index, count)
        try:
            self._pool.put(OBJECT, index, pages)
        except PoolFull:
            self.refused += 1
            self.oracle.on_refused(index, versions)
        else:
            self.oracle.on_put(index, versions)

    def _get(self, index: int, count: int) -> None:
        try:
            pages = self._pool.get(OBJECT, index, count)
        except PageLost as error:
            self.oracle.check_error(index, count, error)
            self._flush(index, count)
            return
        self.oracle.check(index, pages)

    def _flush(self, index: int, count: int) -> None:
        self._pool.flush(OBJECT, index, count)
        self.oracle.on_flush(index, count)
