"""What `tests.fakes.kept_server` runs: front ends and a restart that are real, over pages in a memfd."""

import mmap
import os
import random
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import trio

from ramsterd.admin.socket import ControlServer
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import PoolIdentity, PoolUse
from ramsterd.endpoints.descriptors import raise_limit
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.server import NbdServer
from ramsterd.frontends.tmem.server import TmemServer
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.names import Named
from ramsterd.host.fd_store import DescriptorStore, descriptors_from
from ramsterd.host.sd_notify import Notifier
from ramsterd.host.successor import command_line
from ramsterd.observe.snapshot import to_plain
from ramsterd.restart.departure import Departure
from ramsterd.restart.giving import give, give_up_stored
from ramsterd.restart.handover import Handover
from ramsterd.restart.orders import follow_signals
from ramsterd.restart.restarter import Restarter, check_start
from tests.fakes.fake_pager import PageKey
from tests.fakes.fake_pool_pager import FakePoolPager
from tests.fakes.tmem_pair import QUOTAS

PAGE_BYTES = 4096
PAGES = 8192
EXPORT_BYTES = PAGES * PAGE_BYTES
MEMORY_NAME = "ramster-pages"
CONNECTIONS_MAX = 1000
# One request in so many waits.
WAITING = 5


class SharedPages(MutableMapping[PageKey, bytes]):
    """Pages by pool and index, whatever the object, in memory that outlives the process."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, 2 * (EXPORT_BYTES + PAGES))

    def _place(self, key: PageKey) -> tuple[int, int]:
        number = (key[0] - 1) * PAGES + key[2]
        return 2 * EXPORT_BYTES + number, number * PAGE_BYTES

    def __getitem__(self, key: PageKey) -> bytes:
        flag, start = self._place(key)
        if not self._memory[flag]:
            raise KeyError(key)
        return self._memory[start : start + PAGE_BYTES]

    def __setitem__(self, key: PageKey, page: bytes) -> None:
        flag, start = self._place(key)
        self._memory[start : start + PAGE_BYTES] = page
        self._memory[flag] = 1

    def __delitem__(self, key: PageKey) -> None:
        self._memory[self._place(key)[0]] = 0

    def __iter__(self) -> Iterator[PageKey]:
        flags = self._memory[2 * EXPORT_BYTES :]
        for number, flag in enumerate(flags):
            if flag:
                yield PoolId(1 + number // PAGES), b"", number % PAGES

    def __len__(self) -> int:
        return self._memory[2 * EXPORT_BYTES :].count(1)


class Kept:
    """Implements `Keeping`."""

    memory_id = b"kept"
    outlives_process = True
    outlives_stop = False

    def __init__(self, descriptor: int) -> None:
        self.descriptors: list[Named] = [(MEMORY_NAME, descriptor)]


class Pager(FakePoolPager):
    """Some of its requests wait, and are released by `run`."""

    def __init__(self, pages: SharedPages) -> None:
        super().__init__()
        self.pages = pages  # type: ignore[assignment]
        self._rng = random.Random()
        self._came = trio.Event()

    def settle(self) -> None:
        super().settle()
        self.is_delaying = self._rng.randrange(WAITING) == 0
        if self.delayed:
            self._came.set()

    async def run(self) -> None:
        while True:
            await self._came.wait()
            self._came = trio.Event()
            await trio.sleep(self._rng.random() / 200)
            self.is_delaying = False
            self.release()


class Process:
    """One process after the other."""

    def __init__(self, folder: Path, arrival: Arrival) -> None:
        self._folder = folder
        memory = dict(arrival.others).get(MEMORY_NAME)
        if memory is None:
            memory = os.memfd_create(MEMORY_NAME)
            os.ftruncate(memory, 2 * (EXPORT_BYTES + PAGES))
        self._pager = Pager(SharedPages(memory))
        self._notifier = Notifier(os.environ)
        self._handover = Handover(
            Kept(memory),
            arrival,
            environ=os.environ,
            notifier=self._notifier,
            nanoseconds=time.monotonic_ns,
        )
        check = command_line("check-config", "--config", str(folder))
        self._restarter = Restarter(
            check=lambda: check_start(check),
            new_id=lambda: os.urandom(4).hex(),
            restart=self._begin,
        )
        self._stop = trio.Event()
        disk = self._pager.new_pool(
            PoolKind.PERSISTENT, PoolIdentity(use=PoolUse.EXPORT, name="disk")
        )
        self._nbd = NbdServer(
            self._pager,
            [Export(name="disk", size=EXPORT_BYTES, pool=disk, object_id=b"")],
            socket_path=folder / "nbd",
            listen=(folder / "listen").read_text(),
            connections_max=CONNECTIONS_MAX,
            descriptors=raise_limit(),
            arrival=arrival,
        )
        self._tmem = TmemServer(
            self._pager,
            socket_path=folder / "tmem",
            quotas=QUOTAS,
            users=frozenset({os.geteuid()}),
            connections_max=CONNECTIONS_MAX,
            arrival=arrival,
        )
        commands = {"status": self._status, "restart": self._restarter.ask}
        self._control = ControlServer(folder / "control", commands, arrival=arrival)

    def _begin(self, restart_id: str) -> None:
        self._handover.restart_id = restart_id
        self._stop.set()

    def _status(self, _: dict[str, object]) -> object:
        return {
            "pid": os.getpid(),
            "handover": to_plain(self._handover.statistics()),
            "nbd": to_plain(self._nbd.statistics()),
        }

    async def run(self) -> Departure | None:
        async with trio.open_nursery() as services:
            services.start_soon(self._pager.run)
            services.start_soon(self._restarter.run)
            services.start_soon(self._follow)
            async with trio.open_nursery() as front_ends:
                await front_ends.start(self._nbd.serve)
                await front_ends.start(self._tmem.serve)
                await front_ends.start(self._control.serve)
                self._handover.finish_arrival()
                self._notifier.ready()
                await self._stop.wait()
                departure = await self._handover.depart(
                    [self._nbd, self._tmem, self._control], seconds_max=5.0
                )
                front_ends.cancel_scope.cancel()
            services.cancel_scope.cancel()
        self._notifier.close()
        return departure

    async def _follow(self) -> None:
        await follow_signals("alpha", self._stop.set, lambda: None)


def serve(folder: Path) -> None:
    """Serve until the end of this process, or until it becomes the next one."""
    arrival, store = Arrival(descriptors_from(os.environ)), DescriptorStore(os.environ)
    give_up_stored(arrival, store)
    departure = trio.run(Process(folder, arrival).run)
    if departure is not None:
        arguments = command_line("run", "--config", str(folder))
        give(departure, store, arguments=arguments, environ=dict(os.environ))
