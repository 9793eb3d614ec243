"""Whole passes of a front end, where compiled loops are: requests in, replies out.

The wire format is NBD's, which those loops know.  What is not everyday ends a pass here, and goes the
usual way; but a page of a WRITE for which a row or a leaf has to be found first, or room made, is
put by Python, and the pass goes on.
"""

from typing import Final, NamedTuple

from ramsterd.core.objects import PageObject
from ramsterd.core.page import PAGE_BYTES, PoolId
from ramsterd.core.store import Store

_REQUEST_BYTES: Final = 28


class ServedPass(NamedTuple):
    """The replies to requests, in order, and how long those are that were served."""

    replies: list[bytes]
    length: int
    reads: int
    writes: int
    pages_read: int


def serve_pass(
    store: Store,
    pool_id: PoolId,
    object_id: bytes,
    size: int,
    requests: memoryview,
    *,
    is_structured: bool,
    is_writable: bool,
    pages_max: int,
) -> ServedPass:
    """Serve NBD's READs and WRITEs of whole pages, up to the first request that is not everyday.

    Args:
        store: One with compiled loops.
        pool_id: The pool of a disk.
        object_id: The object with its pages.
        size: How long the disk is, in bytes.
        requests: As they were received; what follows may be anything.
        is_structured: READs are answered by structured replies.
        is_writable: WRITEs are everyday requests.
        pages_max: It ends behind the READ that makes it so many pages.
    """
    twin, pool = store.twin, store.pools[pool_id]
    assert twin is not None
    pieces: list[bytes] = []
    start = reads = writes = pages_read = skip = 0
    while True:
        page_object = pool.find_object(object_id) or PageObject(pool_id, object_id, pool.tally)
        replies, length, reads_now, writes_now, pages_now, index, done, wanted_chunks = twin.serve(
            pool, page_object, requests[start:], size,
            is_structured, is_writable, pages_max - pages_read, skip,
        )  # fmt: skip
        if replies is not None:
            pieces.append(replies)
        start += length
        reads += reads_now
        writes += writes_now
        pages_read += pages_now
        if index < 0:
            break
        if wanted_chunks and twin.find_slot(pool, wanted_chunks):
            skip = done
            continue
        skip = done + 1
        page = start + _REQUEST_BYTES + done * PAGE_BYTES
        if not store.put_page(pool, object_id, index, requests[page : page + PAGE_BYTES]):
            break
    return ServedPass(pieces, start, reads, writes, pages_read)
