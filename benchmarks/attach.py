"""Pages a second that an attach judges: trees walked, rows, slots and holders compared.  No zpage is read.

    python -m benchmarks.attach [--rounds 5] [--quick]

Of a disk that was written in order, of one whose pages were written in any order, and of one whose pages are all at two
holders.
"""

import random
import time
from collections.abc import Callable
from functools import partial

from benchmarks import harness
from benchmarks.harness import Options, at_least
from benchmarks.pages import PAGE_BYTES, real_pages
from ramsterd.core.arena import MemfdMapping
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from ramsterd.kept.judge import Judgement
from tests.helpers.kept_image import KeptImage

PAGES = 1 << 18
HOLDERS = (1, 2)


def make_image(count: int, fill: Callable[[Store, PoolId, list[bytes]], None]) -> KeptImage:
    """Return what a store of so many pages leaves."""
    limits = StoreLimits(
        budget_bytes=count * PAGE_BYTES, budget_bytes_max=count * PAGE_BYTES, pages_max=2 * count
    )
    store = Store(MemfdMapping, limits)
    pool = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    pages = real_pages(512)
    fill(store, pool, [pages[number % len(pages)] for number in range(count)])
    return KeptImage(store, holders=set(HOLDERS))


def fill_in_order(store: Store, pool: PoolId, pages: list[bytes]) -> None:
    """Write the whole disk."""
    for index, page in enumerate(pages):
        store.put(pool, b"", index, memoryview(page))


def fill_in_any_order(store: Store, pool: PoolId, pages: list[bytes]) -> None:
    """Write its pages as a random workload does."""
    indexes = list(range(len(pages)))
    random.Random(1).shuffle(indexes)
    for index, page in zip(indexes, pages, strict=True):
        store.put(pool, b"", index, memoryview(page))


def fill_holders(store: Store, pool: PoolId, pages: list[bytes]) -> None:
    """Write the whole disk, and have all of it leave."""
    fill_in_order(store, pool, pages)
    while (block := store.zbud.oldest(Family.OWN_PERSISTENT)) is not None:
        end_leaving(store.versions, begin_leaving(store.versions, block), *HOLDERS)


def million_pages_per_second(judge: Callable[[], Judgement], count: int) -> float:
    """Time one attach, by the processor time of this process: others may be busy on the same cores."""
    start = time.process_time()
    found = judge()
    seconds = time.process_time() - start
    assert not found.faults
    return count / seconds / 1e6


def run(options: Options) -> None:
    """Print the table."""
    count = 1 << 12 if options.is_quick else PAGES
    for name, fill in [
        ("written in order", fill_in_order),
        ("written in any order", fill_in_any_order),
        ("all at two holders", fill_holders),
    ]:
        image = make_image(count, fill)
        (samples,) = harness.interleaved(
            options.rounds, partial(million_pages_per_second, image.judge, count)
        )
        harness.print_figure(
            f"attach, {name}", samples.median, "M pages/s", at_least(1, " M pages/s")
        )


if __name__ == "__main__":
    harness.run_main({"attach": run}, __doc__)
