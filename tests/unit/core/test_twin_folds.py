"""A leaf that is folded between the page that filled it with zeros and the one that lacks a slot."""

import pytest

from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.store import Store
from ramsterd.core.table import LEAF_PAGES
from tests.helpers.disk import OBJECT, put_run
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import joined, make_page, make_run
from tests.helpers.requirements import require_compiled

ZEROS = bytes(PAGE_BYTES)
ALMOST_ZEROS = [*make_run(500, 1), *[ZEROS] * (LEAF_PAGES - 1)]


def test_the_twin_leaves_no_block_without_zpages(store: Store) -> None:
    require_compiled()
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    put_run(store, disk, 0, ALMOST_ZEROS)
    pool = store.pools[disk]
    page_object = pool.find_object(OBJECT)
    assert store.twin is not None
    assert page_object is not None
    store.twin.put(pool, page_object, 0, joined([ZEROS, make_page(3000)]), takes_slots=True)
    store.check_invariants()


@pytest.mark.usefixtures("each_loops")
def test_a_put_that_finds_no_leaf_leaves_no_block_without_zpages(
    request: pytest.FixtureRequest,
) -> None:
    store: Store = request.getfixturevalue("store")
    disk, leaf, leaves, frame_nodes = (
        store.new_pool(PoolKind.PERSISTENT, export_pool("disk")), 40, 60, 16,
    )  # fmt: skip
    for each in range(leaves):
        put_run(store, disk, each * LEAF_PAGES, ALMOST_ZEROS)
    page_object = store.pools[disk].find_object(OBJECT)
    assert page_object is not None
    # The leaf is alone in its frame, and no node is free elsewhere: its fold gives the frame back.
    frame = store.table.leaf_at(page_object, leaf * LEAF_PAGES) // frame_nodes
    for each in range(leaves):
        node = store.table.leaf_at(page_object, each * LEAF_PAGES)
        if each != leaf and node // frame_nodes == frame:
            drop_run(store, disk, OBJECT, each * LEAF_PAGES, LEAF_PAGES)
    while store.table.nodes._items.stack:
        put_run(store, disk, leaves * LEAF_PAGES, [make_page(500)])
        leaves += 1
    # The bound was lowered (a smaller budget, a reload), so that no frame is to be had again.
    store.room.set_tables_max(store.versions.tables.used_bytes // 2)
    pages = [ZEROS, make_page(3000)]
    store.put(disk, OBJECT, leaf * LEAF_PAGES, joined(pages))
    store.check_invariants()
