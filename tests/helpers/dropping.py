"""Drops pages of a store as the product does, in slices, but all at once."""

from ramsterd.core import extents
from ramsterd.core.page import INDEX_MAX, PoolId
from ramsterd.core.store import Store
from tests.helpers.foreign_puts import run_all

# Smaller than a run of a test, so that there are several slices.
SLICE_PAGES = 64


def drop_run(store: Store, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
    """Make a run holes; return how many pages there were."""
    pages, end = 0, index + count
    while index < end:
        reach, dropped = extents.flush_slice(
            store, pool, object_id, index, end - index, pages_max=SLICE_PAGES
        )
        assert reach, "a slice gets on"
        index += reach
        pages += dropped
    return pages


def drop_object(store: Store, pool: PoolId, object_id: bytes) -> int:
    return drop_run(store, pool, object_id, 0, INDEX_MAX + 1)


def drop_pool(store: Store, pool: PoolId) -> int:
    """Drop a pool with all its pages; return how many there were."""
    dropped: list[int] = []
    run_all(extents.drop_pool(store, pool, dropped.append))
    return sum(dropped)
