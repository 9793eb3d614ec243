"""What the NBD front end, the pager and the end of a pass cost on top of the store: no socket, no client.

    python -m benchmarks.nbd_passes [--rounds 5] [--quick]

Requests of 4 KiB go through passes of a connection as they come from a socket, 32 or 1 at a time, over a whole
engine whose pages are all here.  Beside it the same pages go to the store, one call a page, and where the compiled
loops were built, through passes that do without them.  Processor time of one process and nobody else to wait for: a
change of the front end shows here that drowns in the noise of two programs.
"""

import random
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import trio

from benchmarks import harness
from benchmarks.harness import Options, at_most
from benchmarks.pages import PAGE_BYTES, real_pages
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
# No bars of the design: what was reached, rounded up.
BARS = {
    (Command.WRITE, 32): at_most(1.25),
    (Command.WRITE, 1): at_most(2.5),
    (Command.READ, 32): at_most(1.1),
    (Command.READ, 1): at_most(4.5),
}
# Beside Python's loops.  A READ pass that gains less than 1.8 times is not worth the C (docs/design/0022).
COMPILED_BARS = {
    (Command.WRITE, 32): at_most(0.67),
    (Command.WRITE, 1): at_most(1),
    (Command.READ, 32): at_most(0.55),
    (Command.READ, 1): at_most(1),
}


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


def run(options: Options) -> None:
    """Print the table."""
    trio.run(_run, options)  # the pager asks trio for the time


async def _run(options: Options) -> None:
    count = 1024 if options.is_quick else 16384
    pages = real_pages(count)
    front_end = NbdFrontEnd(count)
    put_each(front_end, pages)
    pure = NbdFrontEnd(count, is_pure=True)
    put_each(pure, pages)
    bare = {
        Command.WRITE: partial(put_each, front_end, pages),
        Command.READ: partial(get_each, front_end, count),
    }
    for (command, depth), bar in BARS.items():
        received = requests(command, pages, depth)
        ours, theirs, python = harness.interleaved(
            options.rounds,
            partial(microseconds, partial(front_end.serve, received), count),
            partial(microseconds, bare[command], count),
            partial(microseconds, partial(pure.serve, received), count),
        )
        name = f"{command.name} of 4 KiB, {depth} at a time"
        harness.print_comparison(name, "us", ours, "store", theirs, bar)
        if front_end.engine.store.twin is not None:
            gain = COMPILED_BARS[command, depth]
            harness.print_comparison("  compiled", "us", ours, "Python", python, gain)


if __name__ == "__main__":
    harness.run_main({"nbd_passes": run}, __doc__)
