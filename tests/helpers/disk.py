"""A disk in a store, as the tests of ramsterd.core put, read, send away and damage it."""

from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving, keep_leaving
from ramsterd.core.page import PoolId
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.store import Store
from tests.helpers.made_pages import joined, make_page

OBJECT = b"disk"
HOLDER = 7


def put_run(store: Store, pool: PoolId, index: int, pages: list[bytes]) -> int:
    stored = store.put(pool, OBJECT, index, joined(pages))
    store.check_invariants()
    return stored


def read(store: Store, pool: PoolId, index: int, count: int = 1) -> list[bytes | None]:
    return store.get(pool, OBJECT, index, count).pages


def fill_up(store: Store, pool: PoolId, zbytes: int, index: int = 0) -> int:
    """Put pages until one finds no room; return how many there are."""
    stored = index
    while store.put(pool, OBJECT, stored, joined([make_page(zbytes, stored)])):
        stored += 1
    store.check_invariants()
    return stored - index


def remotify_all(store: Store) -> None:
    """Move all persistent pages of ours to a holder."""
    while (block := store.zbud.oldest(Family.OWN_PERSISTENT)) is not None:
        assert not end_leaving(store.versions, begin_leaving(store.versions, block), HOLDER)
    store.check_invariants()


def flip_a_bit(store: Store, pool: PoolId, index: int) -> None:
    """Flip one bit in the middle of a zpage in the arena."""
    page_object = store.pools[pool].find_object(OBJECT)
    assert page_object is not None
    address, _ = store.table.find(page_object, index, 1)
    row = store.table.entries[address]
    assert row >= FIRST_ROW
    middle = (store.rows.packed(row) & 0x1FFF) // 2
    store.zbud.arena[store.zbud.offset(store.rows.location(row)) + middle] ^= 0x10


def row_of(store: Store, pool: PoolId, index: int) -> int:
    """Return the entry of a page, which has one."""
    page_object = store.pools[pool].find_object(OBJECT)
    assert page_object is not None
    address, _ = store.table.find(page_object, index, 1)
    return store.table.entries[address]


def send_copies(store: Store, *holders: int, stays: bool = False) -> list[int]:
    """Have the oldest block leave for these holders; return its rows."""
    block = store.zbud.oldest(Family.OWN_PERSISTENT)
    assert block is not None
    leaving = begin_leaving(store.versions, block)
    (keep_leaving if stays else end_leaving)(store.versions, leaving, *holders)
    store.check_invariants()
    return leaving.rows.tolist()
