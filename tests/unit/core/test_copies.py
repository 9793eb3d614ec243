"""On how many peers a page is to be, and whether it is."""

import pytest

from ramsterd.core.leaving import begin_leaving
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.pools import ALIKE_MAX
from ramsterd.core.store import Store
from tests.helpers.disk import HOLDER, OBJECT, put_run, row_of, send_copies
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import make_run

OTHER = 8


def test_a_block_needs_as_many_copies_as_its_most_demanding_pool(
    store: Store, pool: PoolId
) -> None:
    careful = store.new_pool(PoolKind.PERSISTENT, program_pool("careful"), copies=2)
    put_run(store, pool, 0, make_run(PAGE_BYTES, 1))
    put_run(store, careful, 0, make_run(500, 1))
    blocks = [store.versions.block_of(row_of(store, each, 0)) for each in (pool, careful)]
    assert [store.copies.wanted_by(block) for block in blocks] == [1, 2]
    put_run(store, careful, 1, make_run(PAGE_BYTES, 1))
    assert [store.copies.wanted_by(block) for block in blocks] == [2, 2]
    put_run(store, pool, 1, make_run(1000, 1))
    block = store.versions.block_of(row_of(store, pool, 1))
    begin_leaving(store.versions, block)
    drop_run(store, pool, OBJECT, 1, 1)
    assert store.copies.wanted_by(block) == store.copies.fewest_wanted_by(block) == 1


@pytest.mark.parametrize("others", [0, ALIKE_MAX])
def test_what_all_pools_want_is_wanted_of_each_block_that_has_pages(
    store: Store, others: int
) -> None:
    """However many pools there are: of a few it is known without a look at their pages."""
    pools = [
        store.new_pool(PoolKind.PERSISTENT, program_pool(f"alike{each}"), copies=2, copies_min=1)
        for each in range(2 + others)
    ]
    store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    for each in pools[:2]:
        put_run(store, each, 0, make_run(1000, 2))
    block = store.versions.block_of(row_of(store, pools[0], 0))
    assert (store.versions.pools.alike() is None) == (others > 0)
    assert (store.copies.wanted_by(block), store.copies.fewest_wanted_by(block)) == (2, 1)
    begin_leaving(store.versions, block)
    for each in pools[:2]:
        drop_run(store, each, OBJECT, 0, 2)
    assert store.copies.wanted_by(block) == 1, "nothing of it is left"
    store.set_copies(pools[1], 3)
    assert store.versions.pools.alike() is None


@pytest.mark.parametrize(
    ("copies", "unreachable", "lacks"),
    [(1, set(), False), (2, set(), True), (1, {HOLDER}, True), (1, {OTHER}, False)],
)
def test_only_holders_that_can_be_asked_count_as_copies(
    store: Store, copies: int, unreachable: set[int], *, lacks: bool
) -> None:
    careful = store.new_pool(PoolKind.PERSISTENT, program_pool("careful"), copies=copies)
    put_run(store, careful, 0, make_run(PAGE_BYTES, 2))
    row, *_ = send_copies(store, HOLDER, stays=True)
    for holder in unreachable:
        store.copies.on_unreachable(holder)
    assert store.copies.are_lacking(store.versions.block_of(row)) is lacks


def test_as_many_copies_as_can_be_had_will_do_where_the_pool_allows_it(store: Store) -> None:
    careful = store.new_pool(PoolKind.PERSISTENT, program_pool("careful"), copies=3, copies_min=2)
    put_run(store, careful, 0, make_run(PAGE_BYTES, 2))
    rows = send_copies(store, HOLDER, stays=True)
    block = store.versions.block_of(rows[0])
    assert (store.copies.wanted_by(block), store.copies.fewest_wanted_by(block)) == (3, 2)
    assert store.copies.are_lacking(block, attainable=1), "never fewer than the pool says"
    store.rows.set_holders(rows[0], (HOLDER, OTHER))
    store.rows.set_holders(rows[1], (HOLDER, OTHER))
    assert store.copies.are_lacking(block)
    assert not store.copies.are_lacking(block, attainable=2)
