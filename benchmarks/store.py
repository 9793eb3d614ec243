"""put and get of the local store, per page of runs of 32, beside the bare codec call on the same pages.

    python -m benchmarks.store [--rounds 5] [--quick]

The pages are those of real files.  The bare call is lz4.block alone: no checksum, no copy, no arena, no table.
A put overwrites, as in use: the old version is dropped and its slot is used again.  Where the compiled loops were
built, Python's are measured too.
"""

import time
from collections.abc import Callable
from functools import partial

import lz4.block

from benchmarks import harness
from benchmarks.harness import Options, at_most
from benchmarks.pages import PAGE_BYTES, real_pages
from ramsterd.core.arena import MemfdMapping
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits

RUN_PAGES = 32
OBJECT = b"disk"
# The bare codec is called from Python, once a page.
COMPILED_BAR = at_most(1.1)


def microseconds_per_page(work: Callable[[], object], pages_count: int) -> float:
    """Time one call, by the processor time of this process: others may be busy on the same cores."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / pages_count * 1e6


def put_all(store: Store, pool: PoolId, runs: list[memoryview]) -> None:
    """Put every run."""
    for place, run in enumerate(runs):
        assert store.put(pool, OBJECT, place * RUN_PAGES, run) == RUN_PAGES


def get_all(store: Store, pool: PoolId, runs_count: int) -> None:
    """Get every run."""
    for place in range(runs_count):
        store.get(pool, OBJECT, place * RUN_PAGES, RUN_PAGES)


def compress_all(pages: list[bytes]) -> None:
    """Call the bare codec."""
    compress = lz4.block.compress
    for page in pages:
        compress(page, store_size=False)


def decompress_all(zpages: list[bytes]) -> None:
    """Call the bare codec."""
    decompress = lz4.block.decompress
    for zpage in zpages:
        decompress(zpage, uncompressed_size=PAGE_BYTES)


def new_store(budget_bytes: int, pages_max: int) -> tuple[Store, PoolId]:
    """Return a store over real mappings, and a pool of it."""
    limits = StoreLimits(
        budget_bytes=budget_bytes, budget_bytes_max=budget_bytes, pages_max=pages_max
    )
    store = Store(MemfdMapping, limits)
    return store, store.new_pool(PoolKind.PERSISTENT, program_pool("bench"))


def run(options: Options) -> None:
    """Print the table."""
    count = 2048 if options.is_quick else 32768
    pages = real_pages(count)
    zpages = [lz4.block.compress(page, store_size=False) for page in pages]
    runs = [
        memoryview(b"".join(pages[start : start + RUN_PAGES]))
        for start in range(0, count, RUN_PAGES)
    ]
    store, pool = new_store(count * PAGE_BYTES * 2, 4 * count)
    pure, pure_pool = new_store(count * PAGE_BYTES * 2, 4 * count)
    pure.twin = None
    put_all(store, pool, runs)
    put_all(pure, pure_pool, runs)
    puts = partial(put_all, store, pool, runs), partial(put_all, pure, pure_pool, runs)
    gets = (
        partial(get_all, store, pool, len(runs)),
        partial(get_all, pure, pure_pool, len(runs)),
    )
    for work, (ours, python), bare, bar in [
        ("put", puts, partial(compress_all, pages), at_most(1.6)),
        ("get", gets, partial(decompress_all, zpages), at_most(2)),
    ]:
        our_samples, python_samples, bare_samples = harness.interleaved(
            options.rounds,
            partial(microseconds_per_page, ours, count),
            partial(microseconds_per_page, python, count),
            partial(microseconds_per_page, bare, count),
        )
        name = f"{work}, runs of {RUN_PAGES}"
        if store.twin is not None:
            harness.print_comparison(
                f"{name}, compiled", "us", our_samples, "bare lz4", bare_samples, COMPILED_BAR
            )
        harness.print_comparison(
            f"{name}, Python", "us", python_samples, "bare lz4", bare_samples, bar
        )
    raw = store.statistics().put_raw_pages_total / store.statistics().put_pages_total
    ratio = sum(map(len, zpages)) / count / PAGE_BYTES
    print(f"  ({count} pages of real files, lz4 to {ratio:.0%} of their size, {raw:.0%} kept raw)")


if __name__ == "__main__":
    harness.run_main({"store": run}, __doc__)
