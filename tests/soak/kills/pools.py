"""Programs with pools, whose daemon is killed: each connects again and opens its pool by name.

A named persistent pool must have every page that was put, a named ephemeral one may miss, and a private one is another
pool on each connection, without pages.
"""

import random
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ramsterd.client import Client, NotConnected, Pool, PoolFull, PoolKind
from tests.soak.kills.clients import ANSWER_SECONDS_MAX, FINISH_SECONDS_MAX
from tests.soak.oracle import HOLE, Oracle
from tests.system.daemons import wait_until

PAGES: Final = 4000
RUN_PAGES: Final = (1, 1, 1, 4, 8, 32)
OBJECT: Final = b"kills"
CONNECT_SECONDS_MAX: Final = 30.0
CONNECT_PAUSE_SECONDS: Final = 0.005
SILENCE_SECONDS_MAX: Final = 30.0


class Program(threading.Thread):
    """One program with one pool; `name` is that of the pool, "" for a private one."""

    def __init__(
        self, socket: Path, seed: int, name: str, kind: PoolKind, *, is_private: bool = False
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._socket = socket
        self._rng = random.Random(f"{seed} {name}")
        self._kind = kind
        self._is_private = is_private
        self._oracle = self._new_oracle()
        self.stopping = threading.Event()
        # When the last call began, and when it was answered.
        self.last = (0.0, 0.0)
        self.calls = self.checked = self.connections = self.missing_pages = 0
        self.failure = ""

    def _new_oracle(self) -> Oracle:
        return Oracle(self.name, may_vanish=self._kind is PoolKind.EPHEMERAL)

    def run(self) -> None:
        """Work until told to stop, then read everything."""
        try:
            while not self._work():
                pass
        except Exception as error:
            self.failure = f"{self.name}: {error!r}"

    def _work(self) -> bool:
        """Use one connection; return whether everything is over."""
        try:
            with self._connect() as client:
                name = "" if self._is_private else self.name
                pool = client.new_pool(self._kind, name=name)
                if self._is_private:
                    # The one before ended with its connection, and this one is empty.
                    self._oracle = self._new_oracle()
                    self._get(pool, 0, 32)
                while not self.stopping.is_set():
                    self._step(pool)
                for index in range(0, PAGES, RUN_PAGES[-1]):
                    self._get(pool, index, RUN_PAGES[-1])
                return True
        except NotConnected:
            return False

    def _connect(self) -> Client:
        deadline = time.perf_counter() + CONNECT_SECONDS_MAX
        while True:
            try:
                client = Client(
                    self._socket, name=self.name, silence_seconds_max=SILENCE_SECONDS_MAX
                )
            except NotConnected:
                assert time.perf_counter() < deadline, "no daemon"
                time.sleep(CONNECT_PAUSE_SECONDS)
            else:
                self.connections += 1
                return client

    def _step(self, pool: Pool) -> None:
        count = self._rng.choice(RUN_PAGES)
        index = self._rng.randrange(PAGES - count + 1)
        (step,) = self._rng.choices([self._put, self._get, self._flush], [5, 5, 1])
        began_at = time.perf_counter()
        step(pool, index, count)
        self.last = began_at, time.perf_counter()
        self.calls += 1

    def _put(self, pool: Pool, index: int, count: int) -> None:
        versions, pages = self._oracle.new_run(index, count)
        try:
            pool.put(OBJECT, index, pages)
        except PoolFull:
            self._oracle.on_refused(index, versions)
        except NotConnected:
            self._oracle.on_unknown(index, versions)
            raise
        else:
            self._oracle.on_put(index, versions)

    def _get(self, pool: Pool, index: int, count: int) -> None:
        count = min(count, PAGES - index)
        pages = pool.get(OBJECT, index, count)
        self._oracle.check(index, pages)
        self.checked += count
        self.missing_pages += pages.count(None)

    def _flush(self, pool: Pool, index: int, count: int) -> None:
        try:
            pool.flush(OBJECT, index, count)
        except NotConnected:
            self._oracle.on_unknown(index, [HOLE] * count)
            raise
        self._oracle.on_flush(index, count)


class PoolsClient:
    """Three programs at once; see `KillsClient`."""

    name = "tmem"

    def __init__(self, socket: Path, seed: int, stack: ExitStack) -> None:
        self._programs = [
            Program(socket, seed, "persistent", PoolKind.PERSISTENT),
            Program(socket, seed, "ephemeral", PoolKind.EPHEMERAL),
            Program(socket, seed, "private", PoolKind.PERSISTENT, is_private=True),
        ]
        for each in self._programs:
            each.start()
            stack.callback(each.join, FINISH_SECONDS_MAX)
            stack.callback(each.stopping.set)

    def first_answer(self, after: float) -> float:
        """See `KillsClient`: of the program that was answered last."""
        return wait_until(
            lambda: (
                max(each.last[1] for each in self._programs)
                if all(each.last[0] > after or each.failure for each in self._programs)
                else 0.0
            ),
            "an answer to each program",
            seconds_max=ANSWER_SECONDS_MAX,
        )

    def check(self) -> None:
        """See `KillsClient`."""
        for each in self._programs:
            assert not each.failure, each.failure

    def finish(self) -> str:
        """See `KillsClient`."""
        for each in self._programs:
            each.stopping.set()
        for each in self._programs:
            each.join(FINISH_SECONDS_MAX)
            assert not each.is_alive(), f"{each.name} hangs"
        self.check()
        return ", ".join(
            f"{each.name}: {each.calls} calls, {each.checked} pages checked,"
            f" {each.missing_pages} missing, {each.connections} connections"
            for each in self._programs
        )
