"""What the NBD front end, the pager and the end of a pass cost on top of the store: no socket, no client.

    python -m benchmarks --only nbd_passes

Requests of 4 KiB go through passes of a connection as they come from a socket, 32 or 1 at a time, over a whole
engine whose pages are all here.  Beside it the same pages go to the store, one call a page, and to the bare codec;
and where the compiled loops were built, through passes that do without them.  Writes are of what is there already, or
of other pages.  Processor time of one process and
nobody else to wait for: a change of the front end shows here that drowns in the noise of two programs.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path

import lz4.block
import trio

from benchmarks.pages import PAGE_BYTES, real_pages
from benchmarks.store import compress_all, decompress_all
from benchmarks.suite.bars import BARE, PYTHON, STORE
from benchmarks.suite.works import OURS, Measure, Measured, Setting, Work
from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig
from net.tcp import TcpTransport
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.arena import MemfdMapping
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
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
PAGES = 16384


class NbdFrontEnd:
    """One client's connection without its socket, over a node without peers."""

    def __init__(self, pages_count: int, *, is_pure: bool = False) -> None:
        cluster = ClusterConfig(
            name="bench", node=(NodeConfig(number=1, name="n1", address="127.0.0.1", port=1),)
        )
        daemon = DaemonConfig(
            node="n1",
            cluster=Path("cluster.toml"),
            memory=MemoryConfig(
                budget=2 * pages_count * PAGE_BYTES,
                budget_max=2 * pages_count * PAGE_BYTES,
                pages_max=4 * pages_count,
            ),
        )
        rng = random.Random(1)
        self.engine = Engine(
            daemon=daemon,
            cluster=cluster,
            local=NodeId(1),
            incarnation=Incarnation(1),
            kept=KeptPages(store=Store(MemfdMapping, limits_of(daemon.memory))),
            rng=rng,
        )
        if is_pure:
            self.engine.store.twin = None
        peers = Peers(self.engine, cluster, transport=TcpTransport(), rng=rng)
        self._pager = Pager(self.engine, peers, put_wait_seconds_max=1)
        self.pool = self._pager.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        export = Export(
            name="disk", size=pages_count * PAGE_BYTES, pool=self.pool, object_id=OBJECT
        )
        self._transmission = Transmission(
            Session(export=export, is_structured=True),
            self._pager.open_client(),
            Counters(),
            lambda: None,
        )

    @property
    def is_compiled(self) -> bool:
        """Whether compiled loops serve it; other revisions have none."""
        return getattr(self.engine.store, "twin", None) is not None

    def serve(self, received: list[bytes]) -> None:
        """Serve what each of these receives brought, and let a client take all replies at once."""
        transmission = self._transmission
        for data in received:
            transmission.received.feed(data)
            transmission.serve()
            self._pager.settle()
            replies = transmission.replies
            assert replies.queued_bytes
            replies.on_sent(replies.queued_bytes)


def requests(command: Command, pages: list[bytes], depth: int) -> list[bytes]:
    """Return one request for each page, in a random order, as they arrive together."""
    places = list(range(len(pages)))
    random.Random(depth).shuffle(places)
    word = request_word(command)
    each = iter(
        REQUEST.pack(word, place.to_bytes(8, "big"), place * PAGE_BYTES, PAGE_BYTES)
        + (pages[place] if command is Command.WRITE else b"")
        for place in places
    )
    return [b"".join(some) for some in iter(lambda: list(islice(each, depth)), [])]


def serve_next(front_end: NbdFrontEnd, received: Iterator[list[bytes]]) -> None:
    """Serve what is received next."""
    front_end.serve(next(received))


def put_each(front_end: NbdFrontEnd, pages: list[bytes]) -> None:
    """Call the store once for each page."""
    put, pool = front_end.engine.store.put, front_end.pool
    for index, page in enumerate(map(memoryview, pages)):
        assert put(pool, OBJECT, index, page) == 1


def get_each(front_end: NbdFrontEnd, count: int) -> None:
    """Call the store once for each page."""
    get, pool = front_end.engine.store.get, front_end.pool
    for index in range(count):
        assert not get(pool, OBJECT, index, 1).elsewhere


def microseconds(work: Callable[[], None], count: int) -> float:
    """Time one call by the processor time of this process."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / count * 1e6


class ProcessClock(trio.abc.Clock):
    """The clock of all measurements: each is a run of trio, for the pager asks trio for the time."""

    def start_clock(self) -> None: ...

    def current_time(self) -> float:
        return time.perf_counter()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - self.current_time()


def timed(work: Callable[[], None], count: int) -> Measure:
    """Return a contestant; a whole call is measured, however long it takes."""

    async def measure() -> float:
        return microseconds(work, count)

    return lambda _seconds: Measured(trio.run(measure, clock=ProcessClock()))


@contextmanager
def scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have an engine with all pages."""
    count = setting.size(PAGES)
    pages = real_pages(count)
    front_end = NbdFrontEnd(count)
    front_ends = {OURS: front_end}
    if front_end.is_compiled:
        front_ends[PYTHON] = NbdFrontEnd(count, is_pure=True)
    for each in front_ends.values():
        put_each(each, pages)
    zpages = [lz4.block.compress(page, store_size=False) for page in pages]
    beside = {
        Command.WRITE: {
            STORE: timed(partial(put_each, front_end, pages), count),
            BARE: timed(partial(compress_all, pages), count),
        },
        Command.READ: {
            STORE: timed(partial(get_each, front_end, count), count),
            BARE: timed(partial(decompress_all, zpages), count),
        },
    }
    works = []
    for command, depth in product((Command.WRITE, Command.READ), (32, 1)):
        received = requests(command, pages, depth)
        passes = {
            who: timed(partial(each.serve, received), count) for who, each in front_ends.items()
        }
        name = f"{command.name} of 4 KiB, {depth} at a time"
        works.append(Work(name, "us", {**passes, **beside[command]}))
    # A disk is seldom written with what it has: most zpages are of another class than those they replace.
    rotated = [*pages[count // 3 :], *pages[: count // 3]]
    contents = [requests(Command.WRITE, each, 32) for each in (rotated, pages)]
    passes = {
        who: timed(partial(serve_next, each, cycle(contents)), count)
        for who, each in front_ends.items()
    }
    beside_others = {BARE: beside[Command.WRITE][BARE]}
    works.append(Work("WRITE of other pages, 32 at a time", "us", {**passes, **beside_others}))
    yield works
