"""Each lie in the tables of a store is found."""

from collections.abc import Callable

import pytest

from ramsterd.core.audit import Auditor, AuditStatistics, audit
from ramsterd.core.page import PAGE_BYTES, PoolId
from ramsterd.core.rows import FIRST_ROW, ROW as ROW_FIELDS, ROW_BYTES
from ramsterd.core.slices import Slices
from ramsterd.core.store import Store
from ramsterd.core.table import LOST
from tests.helpers.disk import OBJECT, put_run
from tests.helpers.dropping import drop_pool, drop_run
from tests.helpers.made_pages import make_fill, make_page

ROW = FIRST_ROW


@pytest.fixture
def filled(store: Store, pool: PoolId) -> Store:
    put_run(store, pool, 0, [make_page(PAGE_BYTES), make_page(700), make_fill(5)])
    return store


def audited(store: Store) -> AuditStatistics:
    """Return what an audit in slices finds."""
    auditor = Auditor(store.versions)
    slices = Slices()
    auditor.begin(slices.add)
    auditor.begin(slices.add)
    assert auditor.statistics().is_running
    now = 0.0
    while (due := slices.next_deadline()) is not None:
        now = max(now, due)
        slices.on_deadline(now, units_max=1)
    assert not auditor.statistics().is_running
    return auditor.statistics()


def forget_an_entry(store: Store) -> None:
    store.table.entries[store.rows.address(ROW)] = LOST


def misplace_a_row(store: Store) -> None:
    serial, checksum, address, *rest = ROW_FIELDS.unpack_from(store.rows.view, ROW * ROW_BYTES)
    row = ROW_FIELDS.pack(serial, checksum, address + 1, *rest)
    store.rows.view[ROW * ROW_BYTES : (ROW + 1) * ROW_BYTES] = row


def free_a_row_in_use(store: Store) -> None:
    store.rows.view[ROW * ROW_BYTES : (ROW + 1) * ROW_BYTES] = bytes(ROW_BYTES)


def give_a_slot_to_another(store: Store) -> None:
    store.zbud.slot_rows[store.rows.location(ROW)] = ROW + 1


def miscount_zpages(store: Store) -> None:
    store.versions.account(0, 1, 0)


def miscount_bytes(store: Store) -> None:
    store.versions.account(0, 0, -1)


def miscount_a_leaf(store: Store) -> None:
    store.table.leaf_used[store.versions.leaf_of(ROW)] += 1


def keep_an_empty_object(store: Store) -> None:
    next(iter(store.pools)).make_object(b"empty")


def leak_a_row(store: Store) -> None:
    assert store.rows.alloc()


def lose_a_slot(store: Store) -> None:
    assert store.room.find_slot(next(iter(store.pools)).family, 64)


def test_a_store_that_tells_the_truth_passes(filled: Store) -> None:
    audit(filled.versions)


@pytest.mark.parametrize(
    "lie",
    [
        forget_an_entry,
        misplace_a_row,
        free_a_row_in_use,
        give_a_slot_to_another,
        miscount_zpages,
        miscount_bytes,
        miscount_a_leaf,
        keep_an_empty_object,
        leak_a_row,
        lose_a_slot,
    ],
)
def test_a_lie_is_found(filled: Store, lie: Callable[[Store], None]) -> None:
    lie(filled)
    with pytest.raises(AssertionError):
        audit(filled.versions)


@pytest.mark.parametrize(
    "lie",
    [
        forget_an_entry,
        misplace_a_row,
        free_a_row_in_use,
        give_a_slot_to_another,
        miscount_a_leaf,
        lose_a_slot,
    ],
)
def test_a_lie_about_one_page_is_found_in_slices(
    filled: Store, lie: Callable[[Store], None]
) -> None:
    lie(filled)
    assert audited(filled).problem


def test_an_audit_in_slices_looks_at_every_leaf_and_block(filled: Store, pool: PoolId) -> None:
    for index in range(1, 50):
        put_run(filled, pool, 64 * index, [make_page(64 * index + 20, index)])
    found = audited(filled)
    assert found.problem == ""
    assert found.leaves_checked == 50
    assert found.blocks_checked == filled.zbud.blocks_count - 1


def test_pages_may_come_and_go_during_an_audit(filled: Store, pool: PoolId) -> None:
    auditor, slices = Auditor(filled.versions), Slices()
    auditor.begin(slices.add)
    index, now = 0, 0.0
    while (due := slices.next_deadline()) is not None:
        now = max(now, due)
        slices.on_deadline(now, units_max=1)
        put_run(filled, pool, 64 * index, [make_page(64 * index % 4000, index)])
        drop_run(filled, pool, OBJECT, 64 * (index - 3 if index > 3 else 0), 1)
        index += 1
        assert index < 1000, "it ends though there is always more"
    assert auditor.statistics().problem == ""


def test_a_page_must_be_somewhere(filled: Store, pool: PoolId) -> None:
    filled.versions.forget_local(ROW)
    with pytest.raises(AssertionError, match="a page that is nowhere"):
        audit(filled.versions)
    assert drop_run(filled, pool, OBJECT, 0, 1) == 1
    audit(filled.versions)


def test_an_audit_finds_which_lost_pages_were_put_anew(filled: Store, pool: PoolId) -> None:
    filled.refuse(pool, OBJECT, 0, 3)
    put_run(filled, pool, 0, [make_page(700)])
    assert filled.lost_pages_of(pool) == 3, "nobody counts what is put over it"
    assert audited(filled).problem == ""
    assert filled.lost_pages_of(pool) == 2


def test_a_page_that_is_lost_during_an_audit_counts(filled: Store, pool: PoolId) -> None:
    put_run(filled, pool, 64, [make_page(700), make_page(800)])
    filled.refuse(pool, OBJECT, 0, 1)
    auditor, slices = Auditor(filled.versions), Slices()
    auditor.begin(slices.add)
    due = slices.next_deadline()
    assert due is not None
    slices.on_deadline(due, units_max=1)
    filled.refuse(pool, OBJECT, 0, 2)
    filled.refuse(pool, OBJECT, 64, 2)
    while (due := slices.next_deadline()) is not None:
        slices.on_deadline(due, units_max=1)
    assert filled.lost_pages_of(pool) >= 4
    assert audited(filled).problem == ""
    assert filled.lost_pages_of(pool) == 4


def test_a_pool_may_end_during_an_audit(filled: Store, pool: PoolId) -> None:
    filled.refuse(pool, OBJECT, 0, 1)
    auditor, slices = Auditor(filled.versions), Slices()
    auditor.begin(slices.add)
    drop_pool(filled, pool)
    while (due := slices.next_deadline()) is not None:
        slices.on_deadline(due, units_max=1)
    assert auditor.statistics().problem == ""
