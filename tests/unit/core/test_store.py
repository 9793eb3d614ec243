import pytest

from ramsterd.core import extents
from ramsterd.core.page import ZERO_PAGE, PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.pools import NoSuchPool
from ramsterd.core.store import Store
from tests.helpers.disk import OBJECT, put_run, read
from tests.helpers.dropping import drop_object, drop_pool, drop_run
from tests.helpers.made_pages import joined, make_fill, make_page, make_run


def test_after_a_flush_every_get_misses(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, [*make_run(500, 98), ZERO_PAGE, make_fill(1)])
    assert drop_run(store, pool, OBJECT, 10, 20) == 20
    assert read(store, pool, 10, 20) == [None] * 20
    assert drop_run(store, pool, OBJECT, 0, 1 << 40) == 80
    assert drop_run(store, pool, b"no object", 0, 1) == 0
    store.check_invariants()
    assert store.statistics().flushed_pages_total == 100
    assert store.zbud.used_bytes == 0


def test_an_object_can_be_flushed_whole(store: Store, pool: PoolId) -> None:
    for index in (0, 70, 5000):
        put_run(store, pool, index, make_run(300, 2))
    store.put(pool, b"another", 0, joined(make_run(300, 1)))
    assert drop_object(store, pool, OBJECT) == 6
    assert drop_object(store, pool, OBJECT) == 0
    store.check_invariants()
    assert store.get(pool, b"another", 0, 1).pages == make_run(300, 1)


def test_a_destroyed_pool_leaves_nothing(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(700, 30))
    assert drop_pool(store, pool) == 30
    store.check_invariants()
    assert store.statistics().rows == store.statistics().pools == 0
    with pytest.raises(NoSuchPool):
        read(store, pool, 0)


def test_zeros_take_no_row_and_replace_what_was_there(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 10, make_run(700, 3))
    assert extents.put_zeros(store, pool, OBJECT, 0, 200) == 200
    store.check_invariants()
    assert read(store, pool, 0, 200) == [ZERO_PAGE] * 200
    assert store.statistics().rows == 0


def test_a_refused_put_leaves_nothing_old_to_read(
    store: Store, pool: PoolId, cache: PoolId
) -> None:
    for each in (pool, cache):
        put_run(store, each, 0, make_run(700, 2))
        store.refuse(each, OBJECT, 1, 2)
        store.check_invariants()
    found = store.get(pool, OBJECT, 0, 3)
    assert (found.pages, found.lost_count) == ([make_page(700), None, None], 1)
    found = store.get(cache, OBJECT, 0, 3)
    assert (found.pages, found.lost_count) == ([make_page(700), None, None], 0)


def test_a_refused_put_of_a_disk_leaves_what_was_there(store: Store) -> None:
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    put_run(store, disk, 0, make_run(700, 2))
    assert not store.refuse(disk, OBJECT, 1, 2)
    assert read(store, disk, 0, 3) == [*make_run(700, 2), None]
    assert store.statistics().lost_pages_total == 0


def test_a_lost_page_is_whole_again_when_it_is_put_or_flushed(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(700, 3))
    store.refuse(pool, OBJECT, 0, 3)
    put_run(store, pool, 0, [make_page(100)])
    extents.put_zeros(store, pool, OBJECT, 1, 1)
    assert drop_run(store, pool, OBJECT, 2, 1) == 1
    found = store.get(pool, OBJECT, 0, 3)
    assert (found.pages, found.lost_count) == ([make_page(100), ZERO_PAGE, None], 0)


def test_a_lost_page_counts_until_all_pages_are_gone(store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(700, 3))
    assert store.statistics().unreadable_pages == 0
    store.refuse(pool, OBJECT, 0, 2)
    assert store.statistics().unreadable_pages == store.lost_pages_of(pool) == 2
    drop_run(store, pool, OBJECT, 1, 2)
    assert store.lost_pages_of(pool) == 1, "no more than there are pages"
    drop_run(store, pool, OBJECT, 0, 1)
    put_run(store, pool, 0, make_run(700, 3))
    assert store.statistics().unreadable_pages == 0


def test_the_pool_that_wants_the_fewest_copies_is_known(store: Store) -> None:
    one, two = (
        store.new_pool(PoolKind.PERSISTENT, export_pool(name), copies=copies)
        for name, copies in (("one", 1), ("two", 2))
    )
    assert store.statistics().copies_wanted == 0
    put_run(store, two, 0, make_run(700, 1))
    assert store.statistics().copies_wanted == 2
    put_run(store, one, 0, make_run(700, 1))
    assert store.statistics().copies_wanted == 1
