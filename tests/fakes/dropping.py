"""Drops a whole run, as exports and pool sessions do: a slice of a run, and from where it reached on the next."""

from ramsterd.core.page import PoolId
from ramsterd.frontends.pager.interface import PageClient

# Smaller than a run of a test, so that there are several slices.
SLICE_PAGES = 64


def drop_run(client: PageClient, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
    """Make a run holes in this one step; return how many pages there were."""
    pages, end = 0, index + count
    while index < end:
        reach, dropped = client.drop(pool, object_id, index, end - index, pages_max=SLICE_PAGES)
        assert reach, "a slice gets on"
        index += reach
        pages += dropped
    return pages
