"""Engine, peers and pager of some nodes, over networks in memory and in virtual time."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig, RemoteConfig
from heartbeat.udp import DatagramSocket
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.frontends.pager import GetOutcome, GetResult, Pager, PutOutcome
from ramsterd.membership.own_incarnation import IncarnationKeeper
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.peers import Peers
from tests.fakes.datagram_network import SimDatagramNetwork
from tests.fakes.dropping import drop_run
from tests.helpers.fresh_pages import fresh_pages
from tests.simulation.network import SimNetwork

PAGE = 4096
MIB = 1024 * 1024
OBJECT = b"disk"


def noise(index: int, version: int = 0) -> bytes:
    """Return a page that does not shrink."""
    return random.Random(index * 1000 + version).randbytes(PAGE)


class SimNode:
    """One node of `run_nodes`."""

    def __init__(
        self,
        number: int,
        cluster: ClusterConfig,
        daemon: DaemonConfig,
        net: "SimNets",
        incarnation: int,
        keeper: IncarnationKeeper | None = None,
    ) -> None:
        self.number = NodeId(number)
        self.net = net
        rng = random.Random(number)
        self.engine = Engine(
            daemon=daemon,
            cluster=cluster,
            local=self.number,
            incarnation=Incarnation(incarnation),
            kept=fresh_pages(daemon.memory),
            rng=rng,
        )
        self.peers = Peers(
            self.engine,
            cluster,
            transport=net.streams,
            rng=rng,
            open_heartbeat=net.open_heartbeat,
            keeper=keeper,
        )
        self.pager = Pager(
            self.engine, self.peers, put_wait_seconds_max=daemon.remote.put_wait_seconds_max
        )
        self.client = self.pager.open_client()
        self.pool = self.pager.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
        # What was called back, with the time.
        self.done: list[tuple[float, GetResult | PutOutcome]] = []

    def on_done(self, result: GetResult | PutOutcome) -> None:
        self.done.append((trio.current_time(), result))

    def put(self, index: int, pages: bytes) -> PutOutcome | None:
        outcome = self.client.put(self.pool, OBJECT, index, memoryview(pages), self.on_done)
        self.pager.settle()
        return outcome

    def get(self, index: int, count: int = 1) -> GetResult | None:
        result = self.client.get(self.pool, OBJECT, index, count, self.on_done)
        self.pager.settle()
        return result

    def patch(self, index: int, offset: int, data: bytes) -> PutOutcome | GetOutcome | None:
        outcome = self.client.patch(self.pool, OBJECT, index, offset, data, self.on_done)
        self.pager.settle()
        return outcome

    def flush(self, index: int, count: int) -> None:
        drop_run(self.client, self.pool, OBJECT, index, count)
        self.pager.settle()

    def put_until_full(self, start: int = 0) -> int:
        """Put pages of noise until one finds no room at once; return its index."""
        index = start
        while self.put(index, noise(index)) is PutOutcome.STORED:
            index += 1
        return index

    def pages_here(self) -> int:
        """Return how many pages of others are here."""
        return sum(owner.pages for owner in self.engine.statistics().foreign)


class SimNets:
    """Streams and datagrams."""

    def __init__(self, *, capacity_bytes: int) -> None:
        self.streams = SimNetwork(capacity_bytes=capacity_bytes)
        self.datagrams = SimDatagramNetwork(rng=random.Random(0))

    def open_heartbeat(self, addresses: Sequence[str], port: int) -> DatagramSocket:
        return self.datagrams.bind((addresses[0], port))


async def eventually(condition: Callable[[], object], *, seconds_max: float = 10.0) -> None:
    """Wait, in virtual time, until something is true."""
    with trio.fail_after(seconds_max):
        while not condition():  # noqa: ASYNC110  virtual time costs nothing
            await trio.sleep(0.01)


@asynccontextmanager
async def run_nodes(
    *budgets: int,
    foreign_fraction_max: float = 0.75,
    capacity_bytes: int = 256 * 1024,
    remote: RemoteConfig = RemoteConfig(),  # noqa: B008  frozen
) -> AsyncIterator[list[SimNode]]:
    """Run nodes 1, 2, ... with these budgets; they are linked when this yields."""
    cluster = ClusterConfig(
        name="sim",
        node=tuple(
            NodeConfig(number=number, name=f"n{number}", address="127.0.0.1", port=7700 + number)
            for number in range(1, len(budgets) + 1)
        ),
    )
    net = SimNets(capacity_bytes=capacity_bytes)
    async with trio.open_nursery() as nursery:
        nodes = []
        for number, budget in enumerate(budgets, start=1):
            daemon = DaemonConfig(
                node=f"n{number}",
                cluster="cluster.toml",  # type: ignore[arg-type]  # never opened
                memory=MemoryConfig(
                    budget=budget,
                    budget_max=2 * budget,
                    pages_max=4096,
                    foreign_fraction_max=foreign_fraction_max,
                ),
                remote=remote,
            )
            node = SimNode(number, cluster, daemon, net, incarnation=100 + number)
            nodes.append(node)
            await nursery.start(node.peers.serve)
        await eventually(
            lambda: all(
                row.is_local or row.status is not None
                for node in nodes
                for row in node.engine.nodes.statistics().nodes
            )
        )
        try:
            yield nodes
        finally:
            nursery.cancel_scope.cancel()
    for node in nodes:
        node.engine.check_invariants()
        node.pager.check_invariants()
