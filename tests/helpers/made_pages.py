"""Pages and stores for the tests of ramsterd.core, made from plain numbers."""

import random

from ramsterd.core.arena import HeapMapping, MapMemory
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits

MIB = 1024 * 1024


def make_page(zbytes: int, seed: int = 0) -> bytes:
    """Return a page of about `zbytes` compressed: random bytes, then zeros.  0 gives the zero page."""
    noise = random.Random(seed * 5000 + zbytes).randbytes(min(zbytes, PAGE_BYTES))
    return noise + ZERO_PAGE[len(noise) :]


def make_fill(word: int) -> bytes:
    """Return a page all of whose 8-byte words are equal."""
    return word.to_bytes(8, "little") * (PAGE_BYTES // 8)


def make_run(zbytes: int, count: int, seed: int = 0) -> list[bytes]:
    """Return `count` different pages."""
    return [make_page(zbytes, seed * 1000 + position) for position in range(count)]


def joined(pages: list[bytes]) -> memoryview:
    """Return a run as a put takes it."""
    return memoryview(b"".join(pages))


def make_store(
    budget_bytes: int = 2 * MIB,
    *,
    budget_bytes_max: int = 0,
    pages_max: int = 4096,
    tables_bytes_max: int = 1 << 40,
    map_memory: MapMemory = HeapMapping,
) -> Store:
    """Return an empty store, on the heap."""
    limits = StoreLimits(
        budget_bytes=budget_bytes,
        budget_bytes_max=budget_bytes_max or budget_bytes,
        pages_max=pages_max,
        tables_bytes_max=tables_bytes_max,
    )
    return Store(map_memory, limits)
