"""Blocks that leave: what is taken, and what becomes of it."""

import pytest

from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import get_zpages
from ramsterd.core.leaving import end_leaving, keep_leaving, return_leaving
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import owner_pool
from ramsterd.core.rows import FIRST_ROW, FRAME_ROWS
from tests.helpers.disk import OBJECT
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import make_fill, make_page, make_run
from tests.helpers.sending_node import A, B, C, SendingNode, put_foreign

pytestmark = pytest.mark.usefixtures("each_loops")


def test_a_block_that_left_is_elsewhere_and_comes_home(node: SendingNode) -> None:
    run = make_run(1000, 10)
    node.put(0, run)
    node.remotify(A)
    rows = node.elsewhere(0, 10)
    assert len(rows) == 10
    assert node.store.zbud.used_bytes == 0
    assert all(node.fetch(row) for row in rows)
    assert node.store.get(node.pool, OBJECT, 0, 10).pages == run
    assert node.store.statistics().zpages[Family.OWN_CLEAN] == 10
    assert node.store.versions.take_owed() == {}


def test_a_block_that_is_leaving_stays_readable_and_may_stay(node: SendingNode) -> None:
    run = make_run(1000, 10)
    node.put(0, run)
    leaving = node.begin()
    assert node.store.get(node.pool, OBJECT, 0, 10).pages == run
    return_leaving(node.store.versions, leaving)
    node.store.check_invariants()
    assert node.begin().rows == leaving.rows


def test_a_page_put_again_or_flushed_while_it_leaves_is_overtaken(node: SendingNode) -> None:
    node.put(0, make_run(1000, 4))
    leaving = node.begin()
    node.put(1, [make_page(1000, 99)])
    drop_run(node.store, node.pool, OBJECT, 2, 1)
    assert end_leaving(node.store.versions, leaving, A) == leaving.serials[1:3].tolist()
    node.store.check_invariants()
    assert len(node.elsewhere(0, 4)) == 2
    assert node.store.get(node.pool, OBJECT, 1, 2).pages == [make_page(1000, 99), None]
    assert node.store.versions.take_owed() == {}


def test_a_foreign_page_with_our_serial_in_our_row_is_not_taken_for_ours(node: SendingNode) -> None:
    """Serials are unique to an owner only; rows are shared."""
    node.put(0, make_run(1000, 1))
    leaving = node.begin()
    node.put(100, [make_fill(each) for each in range(1, FRAME_ROWS - FIRST_ROW)])
    drop_run(node.store, node.pool, OBJECT, 0, 1)
    foreign = node.store.new_pool(PoolKind.PERSISTENT, owner_pool(2, 1))
    [serial] = leaving.serials
    assert put_foreign(node.store, foreign, {serial: make_page(500)}) == 1
    assert node.store.rows.serial(leaving.rows[0]) == serial, "the row was not used again"
    assert end_leaving(node.store.versions, leaving, A) == [serial]
    node.store.check_invariants()
    packed, _ = get_zpages(node.store.versions, foreign, [serial])
    assert packed != [0]


def test_a_block_of_which_nothing_is_left_is_freed(node: SendingNode) -> None:
    node.put(0, make_run(1000, 3))
    leaving = node.begin()
    drop_run(node.store, node.pool, OBJECT, 0, 3)
    assert end_leaving(node.store.versions, leaving, A) == leaving.serials.tolist()
    node.store.check_invariants()
    assert node.store.zbud.used_bytes == 0


def test_what_was_copied_is_here_and_at_the_holders(node: SendingNode) -> None:
    node.put(0, [*make_run(1000, 3), make_page(500)])
    leaving = node.begin()
    node.put(1, [make_page(1000, 99)])
    assert keep_leaving(node.store.versions, leaving, A, B, C) == [leaving.serials[1]]
    node.store.check_invariants()
    found = node.store.statistics()
    assert (found.zpages[Family.OWN_CLEAN], found.zpages[Family.OWN_PERSISTENT]) == (2, 2)
    assert [node.store.rows.holders(row) for row in leaving.rows] == [[A, B, C], [], [A, B, C]]
    assert not node.elsewhere(0, 3)
