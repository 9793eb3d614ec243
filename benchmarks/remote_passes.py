"""What a page costs its owner and its holder when it is at a peer: processor time, and nobody to wait for.

    python -m benchmarks.remote_passes [--rounds 5] [--quick]

Two whole nodes run in one process and one event loop, with a TCP link over loopback between them.  A client of the owner
keeps so many requests in flight; it has no socket, as in `nbd_passes`.  What a task of a node takes counts as that node's;
what is left is the loop's (looking for what is ready, and choosing it), which two nodes in two processes would each
have for themselves.  Beside it stands how often a task of each node had its turn.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from benchmarks import harness
from benchmarks.harness import Options
from benchmarks.pages import PAGE_BYTES, real_pages
from benchmarks.processes import free_port
from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig, RemoteConfig
from net.tcp import TcpTransport
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.arena import MemfdMapping
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
from ramsterd.frontends.nbd.buffers import RECEIVE_BYTES
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import REQUEST, Command, request_word
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from ramsterd.frontends.pager import Pager
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.kept_pages import KeptPages
from ramsterd.pagepath.machines import limits_of
from ramsterd.pagepath.peers import Peers

OBJECT = b""
OWNER, HOLDER = NodeId(1), NodeId(2)
BUDGET_BYTES_MIN = 2 << 20
# A machine that is busy otherwise must not refuse a write.
WAIT_SECONDS_MAX = 60.0
# Of all pages raw: real ones pack to about half of that, so a budget of a quarter of the packed ones.
SWAP_BUDGET_FRACTION = 8


@dataclass(frozen=True, slots=True)
class Work:
    """What a client does: requests of these lengths in pages (with weights), so many in flight."""

    name: str
    depth: int
    lengths: tuple[int, ...] = (1,)
    weights: tuple[int, ...] = (1,)
    reads: float = 1.0
    is_swap: bool = False


WORKS = (
    Work("read 4K, 1 in flight", 1),
    Work("read 4K, 8 in flight", 8),
    Work("read 4K, 32 in flight", 32),
    Work("read 128K, 1 in flight", 1, (32,)),
    Work("write 4K, 1 in flight", 1, reads=0),
    Work("write 4K, 32 in flight", 32, reads=0),
    Work("swap mix, 1 in flight", 1, (1, 8, 32), (40, 40, 20), 0.5, is_swap=True),
    Work("swap mix, 16 in flight", 16, (1, 8, 32), (40, 40, 20), 0.5, is_swap=True),
)


@dataclass(slots=True, eq=False)
class Meter(trio.abc.Instrument):
    """Whose task takes how much processor time, by the task at the root of its tree that `of` was told of."""

    seconds: dict[NodeId, float] = field(default_factory=lambda: {OWNER: 0.0, HOLDER: 0.0})
    turns: dict[NodeId, int] = field(default_factory=lambda: {OWNER: 0, HOLDER: 0})
    roots: dict[trio.lowlevel.Task, NodeId] = field(default_factory=dict)
    _nodes: dict[trio.lowlevel.Task, NodeId] = field(default_factory=dict)
    began_at: float = 0.0

    def before_task_step(self, _task: trio.lowlevel.Task) -> None:
        """A task has its turn."""
        self.began_at = time.process_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """It waits again."""
        took = time.process_time() - self.began_at
        node = self._nodes.get(task)
        if node is None:
            node = self._nodes[task] = self._node_of(task)
        self.seconds[node] += took
        self.turns[node] += 1

    def _node_of(self, task: trio.lowlevel.Task) -> NodeId:
        above: trio.lowlevel.Task | None = task
        while above is not None:
            if above in self.roots:
                return self.roots[above]
            nursery = above.parent_nursery
            above = None if nursery is None else nursery.parent_task
        return OWNER  # the client

    def reset(self) -> None:
        """Begin anew."""
        for node in self.seconds:
            self.seconds[node], self.turns[node] = 0.0, 0


class BenchNode:
    """A node without front ends."""

    def __init__(self, cluster: ClusterConfig, number: NodeId, budget_bytes: int, pages_max: int):
        memory = MemoryConfig(budget=budget_bytes, budget_max=budget_bytes, pages_max=pages_max)
        daemon = DaemonConfig(
            node=f"n{number}",
            cluster=Path("cluster.toml"),
            memory=memory,
            remote=RemoteConfig(
                copies=1, foreign_bytes_per_second=0, put_wait_seconds_max=WAIT_SECONDS_MAX
            ),
        )
        rng = random.Random(number)
        self.number = number
        self.engine = Engine(
            daemon=daemon,
            cluster=cluster,
            local=number,
            incarnation=Incarnation(1),
            kept=KeptPages(store=Store(MemfdMapping, limits_of(memory))),
            rng=rng,
        )
        self.peers = Peers(self.engine, cluster, transport=TcpTransport(), rng=rng)
        self.pager = Pager(self.engine, self.peers, put_wait_seconds_max=WAIT_SECONDS_MAX)

    async def serve(self, meter: Meter) -> None:
        """Run until cancelled."""
        meter.roots[trio.lowlevel.current_task()] = self.number
        await self.peers.serve()


class BenchClient:
    """One connection of the owner without its socket, which answers as fast as anybody can take it."""

    def __init__(self, node: BenchNode, pages: list[bytes]) -> None:
        self.pages = pages
        self._node = node
        self._pool = node.pager.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        export = Export(
            name="disk", size=len(pages) * PAGE_BYTES, pool=self._pool, object_id=OBJECT
        )
        self._answered = trio.Event()
        self._counters = Counters()
        self._transmission = Transmission(
            Session(export=export, is_structured=True),
            node.pager.open_client(),
            self._counters,
            self._on_late_reply,
        )

    def _on_late_reply(self) -> None:
        self._answered.set()

    async def serve(self, requests: Sequence[bytes], depth: int) -> None:
        """Have all requests answered, as many in flight as there may be."""
        transmission, left = self._transmission, iter(requests)
        request = next(left, None)
        while request is not None or transmission.in_flight_count:
            some: list[bytes] = []
            size = 0
            free = depth - transmission.in_flight_count
            while request is not None and len(some) < free and size + len(request) <= RECEIVE_BYTES:
                some.append(request)
                size += len(request)
                request = next(left, None)
            if some:
                transmission.received.feed(b"".join(some))
                transmission.serve()
                self._node.pager.settle()
                assert not transmission.has_unserved
            else:
                await self._answered.wait()
                self._answered = trio.Event()
            replies = transmission.replies
            if replies.queued_bytes:
                replies.on_sent(replies.queued_bytes)
        assert not any(self._counters.errors.values())

    async def fill(self) -> None:
        """Write every page, and wait until all that has to leave has left."""
        await self.serve([self._write(place, 1) for place in range(len(self.pages))], 32)
        while self._node.engine.machines.remotifier.is_any_in_flight():  # noqa: ASYNC110  no event tells it
            await trio.sleep(0.01)

    def requests(self, work: Work, rng: random.Random, pages_count: int) -> list[bytes]:
        """Return requests of about so many pages in all, anywhere."""
        found: list[bytes] = []
        total = 0
        while total < pages_count:
            (length,) = rng.choices(work.lengths, work.weights)
            place = rng.randrange(len(self.pages) // length) * length
            is_read = rng.random() < work.reads
            found.append(self._read(place, length) if is_read else self._write(place, length))
            total += length
        return found

    def _read(self, place: int, length: int) -> bytes:
        return _request(Command.READ, place, length)

    def _write(self, place: int, length: int) -> bytes:
        return _request(Command.WRITE, place, length) + b"".join(self.pages[place : place + length])

    def elsewhere(self) -> int:
        """Return how many pages are at the holder, whether or not they are here too."""
        return self._node.engine.pages_there(HOLDER)


def _request(command: Command, place: int, length: int) -> bytes:
    return REQUEST.pack(
        request_word(command), place.to_bytes(8, "big"), place * PAGE_BYTES, length * PAGE_BYTES
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of a page in microseconds, and turns of tasks for a request."""

    owner: float
    holder: float
    loop: float
    owner_turns: float
    holder_turns: float


async def measure(client: BenchClient, meter: Meter, work: Work, seed: int, count: int) -> Cost:
    """Do some work once."""
    requests = client.requests(work, random.Random(seed), count)
    meter.reset()
    before, owner_before = time.process_time(), time.process_time()
    meter.began_at = owner_before  # this task had its turn before
    await client.serve(requests, work.depth)
    all_seconds = time.process_time() - before
    # The last turn of this task is not over.
    owner = meter.seconds[OWNER] + time.process_time() - meter.began_at
    holder = meter.seconds[HOLDER]
    return Cost(
        owner / count * 1e6,
        holder / count * 1e6,
        (all_seconds - owner - holder) / count * 1e6,
        meter.turns[OWNER] / len(requests),
        meter.turns[HOLDER] / len(requests),
    )


def run(options: Options) -> None:
    """Print the table."""
    trio.run(_run, options)


async def _run(options: Options) -> None:
    count = 2048 if options.is_quick else 16384
    pages = real_pages(count)
    for is_swap in (False, True):
        budget = count * PAGE_BYTES // SWAP_BUDGET_FRACTION if is_swap else BUDGET_BYTES_MIN
        works = [work for work in WORKS if work.is_swap == is_swap]
        async with trio.open_nursery() as nursery:
            meter, client = await _start(nursery, max(budget, BUDGET_BYTES_MIN), pages)
            print(f"  ({client.elsewhere():,} of {count:,} pages at the holder)")
            costs: dict[str, list[Cost]] = {work.name: [] for work in works}
            for round_ in range(options.rounds):
                for work in works:
                    costs[work.name].append(await measure(client, meter, work, round_, count // 4))
            for name, each in costs.items():
                _print(name, each)
            trio.lowlevel.remove_instrument(meter)
            nursery.cancel_scope.cancel()


async def _start(
    nursery: trio.Nursery, budget_bytes: int, pages: list[bytes]
) -> tuple[Meter, BenchClient]:
    count = len(pages)
    cluster = ClusterConfig(
        name="bench",
        insecure_plaintext=True,
        node=tuple(
            NodeConfig(number=number, name=f"n{number}", address="127.0.0.1", port=free_port())
            for number in (OWNER, HOLDER)
        ),
    )
    owner = BenchNode(cluster, OWNER, budget_bytes, 2 * count)
    holder = BenchNode(cluster, HOLDER, 2 * count * PAGE_BYTES, 2 * count)
    meter = Meter()
    trio.lowlevel.add_instrument(meter)
    for node in (owner, holder):
        nursery.start_soon(node.serve, meter)
    while not owner.engine.nodes.is_linked(HOLDER):  # noqa: ASYNC110  likewise
        await trio.sleep(0.01)
    client = BenchClient(owner, pages)
    await client.fill()
    return meter, client


def _print(name: str, costs: Sequence[Cost]) -> None:
    def median(what: Callable[[Cost], float]) -> float:
        return statistics.median(map(what, costs))

    print(
        f"  {name:26} owner {median(lambda each: each.owner):6.2f}  holder"
        f" {median(lambda each: each.holder):6.2f}  loop {median(lambda each: each.loop):6.2f} us a page;"
        f" turns a request {median(lambda each: each.owner_turns):5.2f} {median(lambda each: each.holder_turns):5.2f}",
        flush=True,
    )


if __name__ == "__main__":
    harness.run_main({"remote_passes": run}, __doc__)
