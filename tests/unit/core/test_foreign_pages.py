"""Zpages of others."""

import pytest

from ramsterd.core.codec import PACKED_RAW, encode_page
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import FOREIGN_OBJECT, get_zpages, next_serials
from ramsterd.core.page import INDEX_MAX, PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from tests.helpers.disk import OBJECT
from tests.helpers.dropping import drop_pool, drop_run
from tests.helpers.made_pages import joined, make_page, make_run, make_store
from tests.helpers.sending_node import SendingNode, foreign_pool, put_foreign

pytestmark = pytest.mark.usefixtures("each_loops")


def test_foreign_zpages_are_found_by_serial_until_they_are_flushed(node: SendingNode) -> None:
    pool = foreign_pool(node, PoolKind.PERSISTENT)
    pages = {5: make_page(800), 70: make_page(PAGE_BYTES), 1 << 40: make_page(90)}
    assert put_foreign(node.store, pool, pages) == 3
    assert drop_run(node.store, pool, FOREIGN_OBJECT, 5, 1) == 1
    packed, pieces = get_zpages(node.store.versions, pool, [1 << 40, 5, 6, 70])
    assert packed == [encode_page(make_page(90))[0], 0, 0, PACKED_RAW]
    assert [bytes(piece) for piece in pieces] == [encode_page(make_page(90))[1], pages[70]]
    assert drop_pool(node.store, pool) == 2


def test_a_pool_without_pages_has_none_to_give(node: SendingNode) -> None:
    pool = foreign_pool(node, PoolKind.PERSISTENT)
    assert get_zpages(node.store.versions, pool, [1, 2]) == ([0, 0], [])


def test_a_foreign_page_that_comes_twice_is_kept_once(node: SendingNode) -> None:
    pool = foreign_pool(node, PoolKind.PERSISTENT)
    pages = {serial: make_page(800, serial) for serial in range(1, 5)}
    assert put_foreign(node.store, pool, pages) == 4
    assert put_foreign(node.store, pool, pages | {9: make_page(100)}) == 5
    assert node.store.statistics().zpages[Family.FOREIGN_PERSISTENT] == 5


def test_foreign_pages_are_taken_as_far_as_there_is_room(node: SendingNode) -> None:
    node.put(0, make_run(PAGE_BYTES, 512 - 32))
    pool = foreign_pool(node, PoolKind.PERSISTENT)
    pages = {serial: make_page(PAGE_BYTES, serial) for serial in range(100, 140)}
    assert put_foreign(node.store, pool, pages) == 32
    assert put_foreign(node.store, pool, {500: make_page(PAGE_BYTES)}) == 0
    packed, _ = get_zpages(node.store.versions, pool, list(range(100, 140)))
    assert packed == [PACKED_RAW] * 32 + [0] * 8


def test_foreign_ephemeral_pages_displace_each_other_only(node: SendingNode) -> None:
    cache = node.store.new_pool(PoolKind.EPHEMERAL, program_pool("ours"))
    assert node.store.put(cache, OBJECT, 0, joined(make_run(PAGE_BYTES, 480))) == 480
    pool = foreign_pool(node, PoolKind.EPHEMERAL)
    pages = {serial: make_page(PAGE_BYTES, serial) for serial in range(1, 200)}
    assert put_foreign(node.store, pool, pages) == 199
    assert None not in node.store.get(cache, OBJECT, 0, 480).pages
    packed, _ = get_zpages(node.store.versions, pool, [1, 199])
    assert packed == [0, PACKED_RAW]


def test_foreign_pages_are_taken_as_far_as_there_are_leaves() -> None:
    node = SendingNode()
    node.store = make_store(pages_max=10)
    pool = foreign_pool(node, PoolKind.EPHEMERAL)
    sparse = {serial: make_page(100, serial) for serial in range(64, 64 * 40, 64)}
    assert put_foreign(node.store, pool, sparse) == len(sparse)
    kept = foreign_pool(node, PoolKind.PERSISTENT)
    assert put_foreign(node.store, kept, sparse) == 10


def test_serials_are_told_a_leaf_at_a_time_of_all_pools_together(node: SendingNode) -> None:
    pools = [foreign_pool(node, kind) for kind in PoolKind]
    assert next_serials(node.store.versions, pools, 1) == ([], INDEX_MAX)
    page = make_page(100)
    put_foreign(node.store, pools[0], dict.fromkeys((3, 5, 64, 300), page))
    put_foreign(node.store, pools[1], dict.fromkeys((4, 70, 1 << 40, INDEX_MAX), page))
    found, first = list[list[int]](), 1
    while first <= INDEX_MAX:
        serials, up_to = next_serials(node.store.versions, pools, first)
        found.append(serials)
        assert all(first <= each <= up_to for each in serials)
        first = up_to + 1
    assert found == [[3, 4, 5], [64, 70], [300], [1 << 40], [INDEX_MAX]]
    assert next_serials(node.store.versions, pools, 5) == ([5], 63)
