"""put and get of the local store, per page of runs of 32, beside the bare codec call on the same pages.

    python -m benchmarks --only store

The pages are those of real files, and those that fio writes.  The bare call is lz4.block alone: no checksum, no copy, no arena, no table.
A put overwrites, as in use: the old version is dropped and its slot is used again.  Where the compiled loops were
built, those of Python are measured too.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import lz4.block

from benchmarks.pages import PAGE_BYTES, fio_pages, real_pages
from benchmarks.suite.bars import BARE, PYTHON
from benchmarks.suite.works import OURS, Measure, Measured, Setting, Work
from ramsterd.core.arena import MemfdMapping
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits

RUN_PAGES = 32
PAGES = 32768
OBJECT = b"disk"


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


def timed(work: Callable[[], object], pages_count: int) -> Measure:
    """Return a contestant; a whole call is measured, however long it takes."""
    return lambda _seconds: Measured(microseconds_per_page(work, pages_count))


def works_of(title: str, pages: list[bytes]) -> list[Work]:
    """Put and get these pages, by a store of their own and by the bare codec."""
    count = len(pages)
    zpages = [lz4.block.compress(page, store_size=False) for page in pages]
    runs = [
        memoryview(b"".join(pages[start : start + RUN_PAGES]))
        for start in range(0, count, RUN_PAGES)
    ]
    stores = {OURS: new_store(count * PAGE_BYTES * 2, 4 * count)}
    if getattr(stores[OURS][0], "twin", None) is not None:
        stores[PYTHON] = pure, _ = new_store(count * PAGE_BYTES * 2, 4 * count)
        pure.twin = None
    for store, pool in stores.values():
        put_all(store, pool, runs)
    puts = {who: partial(put_all, *store, runs) for who, store in stores.items()}
    gets = {who: partial(get_all, *store, len(runs)) for who, store in stores.items()}
    works: dict[str, dict[str, Callable[[], object]]] = {
        "put": {**puts, BARE: partial(compress_all, pages)},
        "get": {**gets, BARE: partial(decompress_all, zpages)},
    }
    return [
        Work(
            f"{work}, runs of {RUN_PAGES}, {title}",
            "us",
            {who: timed(done, count) for who, done in contestants.items()},
        )
        for work, contestants in works.items()
    ]


@contextmanager
def scene(setting: Setting) -> Iterator[Sequence[Work]]:
    """Have one store for each kind of pages."""
    count = setting.size(PAGES)
    yield [
        *works_of("real files", real_pages(count)),
        *works_of("fio's pages", fio_pages(count)),
    ]
