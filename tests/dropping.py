"""Drop a run of pages as front ends do: in slices, until its end is reached."""

from typing import Final

from ramsterd.core.page import PoolId
from ramsterd.pager import DiskClient

PAGES_PER_SLICE: Final = 1024


def drop_all(client: DiskClient, pool: PoolId, object_id: bytes, index: int, count: int) -> int:
    """Drop all pages of a run; return how many there were."""
    pages = 0
    while count:
        reach, dropped = client.drop(pool, object_id, index, count, pages_max=PAGES_PER_SLICE)
        index, count, pages = index + reach, count - reach, pages + dropped
    return pages
