"""The tmem server on a real socket over the fake pager: in the caller's loop, or in a thread of its own."""

import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import trio

from ramsterd.frontends.tmem.pool_records import Quotas
from ramsterd.frontends.tmem.server import TmemServer
from tests.fakes.fake_pool_pager import FakePoolPager

T = TypeVar("T")
QUOTAS = Quotas(
    pool_pages_max=10_000, user_pages_max=20_000, user_objects_max=1000, pools_per_user_max=20
)


def new_server(pager: FakePoolPager, path: Path, *, connections_max: int = 100) -> TmemServer:
    """Return a server for ourselves."""
    users = frozenset({os.geteuid()})
    return TmemServer(
        pager, socket_path=path, quotas=QUOTAS, users=users, connections_max=connections_max
    )


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[FakePoolPager]:
    """Serve in this loop."""
    pager = FakePoolPager()
    async with trio.open_nursery() as nursery:
        await nursery.start(new_server(pager, path).serve)
        yield pager
        nursery.cancel_scope.cancel()


class ServerThread:
    """A server for blocking clients."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pager = FakePoolPager()
        self.server = new_server(self.pager, path)
        self._is_ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.server.serve)
                self._is_ready.set()

    def run(self, work: Callable[[], T]) -> T:
        """Do something in the server's loop."""
        assert self._token is not None
        return trio.from_thread.run_sync(work, trio_token=self._token)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the block ends."""
        self._thread.start()
        assert self._is_ready.wait(20)
        try:
            yield
        finally:
            self.run(self._scope.cancel)
            self._thread.join()
