"""A node whose pages leave, for the tests of remotify: a store, and peers that are what the test says they answer."""

import random

from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import RunOfPages
from ramsterd.remote.fetch.spot_checks import SpotChecks
from ramsterd.remote.holders.holders import Holders
from ramsterd.remote.holders.trust import Trust
from ramsterd.remote.limits.put_timeout import PutTimeout
from ramsterd.remote.send.degrade import Degrade
from ramsterd.remote.send.remotify import Remotifier
from ramsterd.remote.send.shipment import Put
from ramsterd.remote.wire import PutResult
from tests.helpers.clusters import cluster_of
from tests.helpers.made_pages import MIB, joined, make_run, make_store

ONE, OTHER = NodeId(1), NodeId(2)
INCARNATION = Incarnation(1)
OBJECT = b""
# A peer that says nothing is given this long at first: a quarter of `PUT_WAIT_SECONDS`.
PUT_WAIT_SECONDS = 8.0
IN_FLIGHT_MAX = 8
# Raw pages that the store has room for, and how many of them are above the high watermark.
PAGES = 2 * MIB // PAGE_BYTES
FULL = PAGES * 95 // 100
# PUTs after which a sender has hung.
PUTS_MAX = 10_000


class Sender:
    """A node with a disk and a cache, linked with its peers, which have room."""

    def __init__(self, *, peers: int = 2, copies: int = 1, sends_ephemeral: bool = False) -> None:
        rng = random.Random(1)
        self.store = make_store(2 * MIB)
        self.nodes = NodeTable(cluster_of(peers + 1), NodeId(0), incarnation=INCARNATION)
        self.holders = Holders()
        trust = Trust()
        self.remotifier = Remotifier(
            self.store,
            self.holders,
            self.nodes,
            trust=trust,
            spot_checks=SpotChecks(self.store.rows, trust, rng=rng, on_bad_copy=lambda *_: None),
            in_flight_max=IN_FLIGHT_MAX,
            refusal_seconds=1.0,
            put_timeout=PutTimeout(put_wait_seconds_max=PUT_WAIT_SECONDS, request_seconds_max=60.0),
            degrade=Degrade(put_wait_seconds_max=PUT_WAIT_SECONDS),
            rng=rng,
            sends_ephemeral=sends_ephemeral,
        )
        self.disk = self.store.new_pool(PoolKind.PERSISTENT, program_pool("disk"), copies=copies)
        self.cache = self.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
        self._request_id = 0
        for node in self.nodes.nodes():
            self.nodes.on_link_up(node, INCARNATION, now=0)
            self.hear(node)

    def hear(self, node: NodeId, *, free_bytes: int = 64 * MIB, held: int = 1) -> None:
        """Get a STATUS."""
        status = PeerStatus(
            budget_bytes=64 * MIB,
            free_bytes=free_bytes,
            is_accepting=free_bytes > 0,
            pressure=0.0,
            pages_held_for_us=held,
        )
        self.nodes.on_status(node, status, now=0)
        self.remotifier.on_status(node, status)

    def put(self, count: int, *, pool: PoolId | None = None, index: int = 0) -> None:
        """Put raw pages."""
        pages = joined(make_run(PAGE_BYTES, count, index + 1))
        assert self.store.put(pool or self.disk, OBJECT, index, pages) == count

    def send(self, now: float = 1.0) -> dict[int, Put]:
        """Begin all PUTs that leave now; return them by request id."""
        begun: dict[int, Put] = {}
        for _ in range(PUTS_MAX):
            puts = self.remotifier.next_puts(now)
            if not puts:
                return begun
            for put in puts:
                self._request_id += 1
                self.remotifier.begin(self._request_id, put, now)
                begun[self._request_id] = put
        raise AssertionError("there are always more PUTs")

    def answer(
        self, request_id: int, result: PutResult = PutResult.STORED, now: float = 1.0
    ) -> None:
        """Have a peer answer alike for all pages of a PUT."""
        count = self.remotifier.pages_in_flight(request_id)
        self.remotifier.on_results(request_id, bytes([result]) * count, now)

    def answer_all(self, puts: dict[int, Put], result: PutResult = PutResult.STORED) -> None:
        for request_id in puts:
            self.answer(request_id, result)

    def owed(self) -> dict[NodeId, int]:
        """Return how many flushes each peer is owed, and take them off."""
        owed = self.store.versions.take_owed()
        for holder, serials in owed.items():
            self.holders[holder].on_pages_gone(len(serials))
        return {self.holders[holder].node: len(serials) for holder, serials in owed.items()}

    def look(self, index: int, count: int = 1, *, pool: PoolId | None = None) -> RunOfPages:
        return self.store.get(pool or self.disk, OBJECT, index, count)

    def count_elsewhere(self, pool: PoolId | None = None) -> int:
        """Return how many pages are only at peers."""
        return len(self.look(0, PAGES, pool=pool).elsewhere)

    def check(self) -> None:
        self.store.check_invariants()
        self.remotifier.check_invariants()
