"""put and get through the tmem socket, by one blocking client, beside the same store in this process.

    python -m benchmarks.tmem [--rounds 5] [--quick]

The pages are those of real files.  A run of 32 pages is one frame, and a call has as many frames under way as the
daemon takes.  Both sides are timed by the clock, for the socket keeps two processes busy; the last lines say how much
of it was processor time of each, and how long a single page takes, there and back.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from benchmarks import harness
from benchmarks.harness import Options
from benchmarks.pages import PAGE_BYTES, real_pages
from benchmarks.processes import Daemon, Node, cluster, processor_seconds
from benchmarks.store import OBJECT, RUN_PAGES, get_all, new_store, put_all
from ramsterd.client import Client, Pool, PoolKind

# Runs of one call: so many that the daemon always has the next one.
CALL_RUNS = 32
CALL_PAGES = CALL_RUNS * RUN_PAGES


@dataclass
class Used:
    """Processor seconds of a measurement, by who used them, over all rounds."""

    pages: int = 0
    ours: float = 0.0
    daemon: float = 0.0


def microseconds_per_page(work: Callable[[], object], pages_count: int) -> float:
    """Time one call by the clock."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / pages_count * 1e6


def through_socket(
    work: Callable[[], object], pages_count: int, daemon: Daemon, used: Used
) -> float:
    """Time one call by the clock, and note who used the processor."""
    ours, theirs = time.process_time(), processor_seconds(daemon.pid)
    figure = microseconds_per_page(work, pages_count)
    used.ours += time.process_time() - ours
    used.daemon += processor_seconds(daemon.pid) - theirs
    used.pages += pages_count
    return figure


def put_through(pool: Pool, calls: Sequence[memoryview]) -> None:
    """Put every page."""
    for place, pages in enumerate(calls):
        assert pool.put(OBJECT, place * CALL_PAGES, pages) == CALL_PAGES


def get_through(pool: Pool, buffer: memoryview, calls_count: int) -> None:
    """Get every page into one buffer."""
    for place in range(calls_count):
        assert not pool.get_into(OBJECT, place * CALL_PAGES, buffer)


def put_singles(pool: Pool, pages: list[bytes]) -> None:
    """Put pages of objects of their own, all under way at once."""
    assert pool.put_many((b"%d" % place, 0, page) for place, page in enumerate(pages)) == len(pages)


def one_by_one(pool: Pool, buffer: memoryview, count: int) -> None:
    """Get single pages, each after the last."""
    for place in range(count):
        pool.get_into(OBJECT, place, buffer)


def run(options: Options) -> None:
    """Print the table."""
    count = 2048 if options.is_quick else 32768
    pages = real_pages(count)
    whole = memoryview(b"".join(pages))
    runs, calls = (
        [whole[start : start + step] for start in range(0, len(whole), step)]
        for step in (RUN_PAGES * PAGE_BYTES, CALL_PAGES * PAGE_BYTES)
    )
    budget_bytes = count * PAGE_BYTES * 2
    store, store_pool = new_store(budget_bytes, 4 * count)
    put_all(store, store_pool, runs)
    with harness.temp_dir() as folder, ExitStack() as stack:
        (daemon,) = stack.enter_context(cluster(folder, [Node(1, budget_bytes=budget_bytes)]))
        client = stack.enter_context(Client(daemon.tmem_socket, name="benchmark"))
        pool = client.new_pool(PoolKind.PERSISTENT)
        put_through(pool, calls)
        buffer = memoryview(bytearray(CALL_PAGES * PAGE_BYTES))
        for work, ours, theirs in [
            ("put", partial(put_through, pool, calls), partial(put_all, store, store_pool, runs)),
            (
                "get",
                partial(get_through, pool, buffer, len(calls)),
                partial(get_all, store, store_pool, len(runs)),
            ),
        ]:
            used = Used()
            samples, in_process = harness.interleaved(
                options.rounds,
                partial(through_socket, ours, count, daemon, used),
                partial(microseconds_per_page, theirs, count),
            )
            harness.print_comparison(
                f"{work}, runs of {RUN_PAGES}", "us", samples, "in process", in_process
            )
            print_used(work, used)
        singles = pages[:1024]
        print_samples(
            "put, single pages, pipelined", options, partial(put_singles, pool, singles), 1024
        )
        print_samples(
            "get, single pages, one by one",
            options,
            partial(one_by_one, pool, buffer[:PAGE_BYTES], 1024),
            1024,
        )


def print_used(work: str, used: Used) -> None:
    """Print where the time went."""
    for who, seconds in (("the daemon", used.daemon), ("the client", used.ours)):
        figure = seconds / used.pages * 1e6
        harness.print_figure(f"{work}: processor time of {who}, a page", figure, "us")


def print_samples(
    work: str, options: Options, measured: Callable[[], object], pages_count: int
) -> None:
    """Print a figure that has nothing to stand beside."""
    (samples,) = harness.interleaved(
        options.rounds, partial(microseconds_per_page, measured, pages_count)
    )
    print(f"  {work:56} {samples} us", flush=True)


if __name__ == "__main__":
    harness.run_main({"tmem": run}, __doc__)
