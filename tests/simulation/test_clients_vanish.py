"""Clients of several exports and pools share a full node; they vanish at any point, and what is read is always right."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from trio.testing import MockClock

from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.pager import PutOutcome
from ramsterd.frontends.tmem.pool_records import Quotas
from ramsterd.frontends.tmem.pools import PoolBook
from tests.fakes.dropping import drop_run
from tests.simulation.checkers import check_books, check_invariants, check_step
from tests.simulation.cluster import Cluster
from tests.simulation.crowd import Client, DiskUser, PoolUser, Shared, Together

STEPS: Final = 400
PAGES: Final = 24
CLIENTS: Final = 6
PUT_WAIT_SECONDS: Final = 2.0
WAIT_SECONDS: Final = (0.001, 0.01, 0.1, 0.6)
QUOTAS: Final = Quotas(
    pool_pages_max=1 << 20, user_pages_max=1 << 20, user_objects_max=100, pools_per_user_max=9
)
FILLER: Final = b"filler"


class Crowd:
    """A node whose memory is full, as is its peer's, and the clients that it serves."""

    def __init__(self, seed: int, clock: MockClock) -> None:
        self.rng = random.Random(f"crowd {seed}")
        self.cluster = Cluster(
            seed,
            clock,
            nodes=2,
            put_wait_seconds_max=PUT_WAIT_SECONDS,
            request_seconds_max=1.0,
            fetch_seconds_max=1.5,
            ephemeral=self.rng.random() < 0.5,
        )
        self.cluster.link_all()
        self.cluster.run(0.01)
        self.node = self.cluster[0]
        self.together = Together()
        self.seen = Counter[str]()
        self._book = PoolBook(self.node.pager, QUOTAS)
        self._held: set[tuple[int, int]] = set()
        self._filled = 0
        self._makers: list[Callable[[], Client]] = [
            self._maker(Shared.disk("swap0", PAGES)),
            self._maker(Shared.disk("other", PAGES)),
            self._maker(Shared.pool("spill", PAGES, may_vanish=False)),
            self._maker(Shared.pool("cache", PAGES, may_vanish=True)),
        ]
        self.shared: list[Shared] = [make().shared for make in self._makers]

    def _maker(self, shared: Shared) -> Callable[[], Client]:
        if shared.hides_refused:
            return lambda: PoolUser(shared, self._book, self.node, self.together, self.seen)
        export = Export(
            name=shared.name,
            size=len(shared.pages) * PAGE_BYTES,
            pool=self.node.pager.new_pool(PoolKind.PERSISTENT, program_pool(shared.name)),
            object_id=b"disk",
        )
        return lambda: DiskUser(shared, export, self.node, self.together, self.seen)

    def run(self) -> None:
        self._fill()
        for _ in range(STEPS):
            happening = self.rng.choices(
                (self._act, self._wait, self._join, self._vanish, self._hold, self._make_room),
                (14, 4, 1, 0.7, 0.4, 1.5),
            )[0]
            happening()
            self._look()
        self._calm()

    def _fill(self) -> None:
        """Put pages that do not shrink until one finds no room any more."""
        while self._put_filler():
            self.cluster.run(0.005)
        self.cluster.run(PUT_WAIT_SECONDS + 0.1)

    def _put_filler(self) -> bool:
        page = random.Random(self._filled).randbytes(PAGE_BYTES)
        outcome = self.node.client.put(
            self.node.pool, FILLER, self._filled, memoryview(page), lambda _: None
        )
        self.node.pager.settle()
        self._filled += 1
        if outcome is PutOutcome.STORED:
            return True
        self.cluster.run(0.1)
        return not self.node.pager.statistics().waiting_puts

    # What happens.

    def _act(self) -> None:
        if self.together.clients:
            self.rng.choice(self.together.clients).act(self.rng)

    def _wait(self) -> None:
        self.cluster.run(self.rng.choice(WAIT_SECONDS))

    def _join(self) -> None:
        if len(self.together.clients) < CLIENTS:
            self.together.clients.append(self.rng.choice(self._makers)())

    def _vanish(self) -> None:
        if self.together.clients:
            self.together.take_answers()
            self.together.clients.pop(self.rng.randrange(len(self.together.clients))).vanish()

    def _hold(self) -> None:
        """One way of the link stands still, or moves again."""
        way = self.rng.choice([(0, 1), (1, 0)])
        if not self.cluster.is_wired(0, 1):
            self._held.clear()
            self.cluster.link(0, 1)
        elif way in self._held:
            self._held.discard(way)
            self.cluster.let_go(*way)
        else:
            self._held.add(way)
            self.cluster.hold(*way)
            for shared in self.shared:
                shared.is_shaky = True

    def _make_room(self) -> None:
        if self.rng.random() < 0.6:
            count = self.rng.randint(1, 24)
            start = self.rng.randrange(max(1, self._filled - count))
            drop_run(self.node.client, self.node.pool, FILLER, start, count)
            self.node.pager.settle()
        else:
            for _ in range(self.rng.randint(1, 16)):
                self._put_filler()

    def _look(self) -> None:
        self.together.take_answers()
        self.node.pager.check_invariants()
        waiting = self.node.pager.statistics()
        self.seen["most waiting"] = max(self.seen["most waiting"], waiting.waiting_puts)
        self.seen["most pools"] = max(self.seen["most pools"], waiting.waiting_pools)

    # The calm.

    def _calm(self) -> None:
        """All can be reached, and there is room: everything is answered, and every page is what it may be."""
        for way in self._held:
            if self.cluster.is_wired(0, 1):
                self.cluster.let_go(*way)
        self.cluster.run(3.0)
        self.cluster.link_all()
        self.cluster.run(3.0)
        self._look()
        for client in self.together.clients:
            assert not client.asked, "never answered"
        statistics = self.node.pager.statistics()
        assert not statistics.waiting_puts
        assert not statistics.waiting_gets
        for shared in self.shared:
            shared.is_shaky = False
        for make in self._makers:
            self._read_all(make())
        drop_run(self.node.client, self.node.pool, FILLER, 0, self._filled)
        self.node.pager.settle()
        self.cluster.run(8.0)
        check_step(self.cluster)
        check_invariants(self.cluster)
        check_books(self.cluster)

    def _read_all(self, client: Client) -> None:
        self.together.clients = [client]
        client.read_all()
        self.cluster.run(3.0)
        self.together.take_answers()
        assert not client.asked


async def test_clients_vanish_while_others_use_the_same_pages(
    seed: int, mock_clock: MockClock
) -> None:
    """Allowed are exactly the outcomes of docs/design/0014-order-of-operations.md."""
    crowd = Crowd(seed, mock_clock)
    crowd.run()
    assert crowd.seen["stored"]
