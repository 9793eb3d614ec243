"""Sweeps for a holder: what is found, and what is lost."""

import pytest

from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.row_sweep import forget_missing, lose_held_by, serials_held_by
from tests.helpers.disk import OBJECT
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import make_page, make_run
from tests.helpers.sending_node import A, B, C, SendingNode


def test_pages_that_only_a_dead_holder_had_are_lost(node: SendingNode) -> None:
    node.put(0, make_run(1000, 5))
    node.remotify(A)
    assert node.lose(A) == 5
    found = node.store.get(node.pool, OBJECT, 0, 5)
    assert (found.pages, found.lost_count) == ([None] * 5, 5)
    assert node.store.statistics().lost_pages_total == 5
    assert node.store.versions.take_owed() == {}


def test_pages_that_another_holder_has_too_are_not_lost(node: SendingNode) -> None:
    node.put(0, make_run(1000, 5))
    node.remotify(A, B, C)
    assert node.lose(A) == 0
    assert node.lose(C) == 0
    assert [node.store.rows.holders(row) for row in node.elsewhere(0, 5)] == [[B]] * 5
    drop_run(node.store, node.pool, OBJECT, 0, 1)
    assert node.store.versions.take_owed() == {B: [1]}
    assert node.lose(B) == 4


def test_clean_copies_of_a_dead_holder_are_ours_again(node: SendingNode) -> None:
    run = make_run(1000, 4)
    node.put(0, run)
    node.remotify(A)
    for row in node.elsewhere(0, 2):
        node.fetch(row)
    assert node.lose(A) == 2
    found = node.store.get(node.pool, OBJECT, 0, 4)
    assert (found.pages, found.lost_count) == ([*run[:2], None, None], 2)
    assert node.store.statistics().zpages[Family.OWN_PERSISTENT] == 2


@pytest.mark.parametrize("holders", [(A, B), (B, A), (B, C, A)])
def test_an_adopted_block_has_no_holders_left(node: SendingNode, holders: tuple[int, ...]) -> None:
    node.put(0, make_run(1000, 1))
    node.remotify(*holders)
    [row] = node.elsewhere(0)
    node.fetch(row)
    assert node.lose(A) == 0
    node.store.check_invariants()
    assert node.store.rows.holders(row) == []
    assert node.store.versions.take_owed() == {holder: [1] for holder in holders if holder != A}


def test_blocks_without_pages_of_the_dead_holder_stay_clean(node: SendingNode) -> None:
    node.put(0, make_run(1000, 1))
    node.remotify(B)
    [row] = node.elsewhere(0)
    node.fetch(row)
    assert node.lose(A) == 0
    assert node.store.statistics().zpages[Family.OWN_CLEAN] == 1


def test_a_page_installed_before_the_sweep_is_kept(node: SendingNode) -> None:
    """The reply was under way when its sender died."""
    node.put(0, make_run(1000, 2))
    node.remotify(A)
    rows = node.elsewhere(0, 2)
    node.fetch(rows[1])
    assert node.lose(A) == 1
    found = node.store.get(node.pool, OBJECT, 0, 2)
    assert (found.pages, found.lost_count) == ([None, make_page(1000, 1)], 1)


def test_a_slice_ends_early_when_much_has_changed(node: SendingNode) -> None:
    node.put(0, make_run(1000, 10))
    node.remotify(A)
    for row in node.elsewhere(0, 4):
        node.fetch(row)
    lost, row, slices = 0, 0, 0
    while True:
        swept = lose_held_by(node.store.room, A, row, 1000, pages_max=3)
        lost, row, slices = lost + swept.lost, swept.next_row, slices + 1
        if not row:
            break
    assert (lost, slices) == (6, 3)
    assert node.store.statistics().zpages[Family.OWN_PERSISTENT] == 4


def test_ephemeral_pages_of_a_dead_holder_are_holes(cache_node: SendingNode) -> None:
    cache_node.put(0, make_run(1000, 4))
    cache_node.send_ephemeral(A)
    assert cache_node.lose(A) == 4
    found = cache_node.store.get(cache_node.pool, OBJECT, 0, 4)
    assert (found.pages, found.elsewhere, found.lost_count) == ([None] * 4, [], 0)
    assert cache_node.store.statistics().lost_pages_total == 0
    assert cache_node.store.statistics().rows == 0


# What a holder lacks that lives.


def forget(node: SendingNode, holder: int, missing: list[int]) -> tuple[int, int, int, list[int]]:
    """Sweep in small slices; return how many pages, persistent ones, lost ones, and the rows that others have."""
    row, pages, persistent, lost, thinned = 0, 0, 0, 0, list[int]()
    while True:
        found = forget_missing(node.store.room, holder, missing, row, 3, pages_max=1)
        assert found.pages <= 1
        node.store.check_invariants()
        pages, persistent, lost = (
            pages + found.pages,
            persistent + found.persistent,
            lost + found.lost,
        )
        thinned += found.thinned
        row = found.next_row
        if not row:
            return pages, persistent, lost, thinned


def test_serials_at_a_holder_are_found_in_slices(node: SendingNode) -> None:
    node.put(0, make_run(PAGE_BYTES, 32))
    node.remotify(A)
    node.remotify(B, A)
    found: list[int] = []
    row, slices = 0, 0
    while row or not slices:
        serials, row = serials_held_by(node.store.versions, A, row, 10)
        found += serials
        slices += 1
    assert sorted(found) == list(range(1, 33))
    assert slices > 1
    assert list(serials_held_by(node.store.versions, B, 0, 100)[0]) == list(range(17, 33))


def test_a_page_that_its_only_holder_lacks_is_lost_and_all_others_stay(node: SendingNode) -> None:
    node.put(0, make_run(1000, 5))
    node.remotify(A)
    assert forget(node, A, [2, 4, 99]) == (2, 2, 2, [])
    found = node.store.get(node.pool, OBJECT, 0, 5)
    assert (found.lost_count, len(found.elsewhere)) == (2, 3)
    assert node.store.versions.take_owed() == {}, "it has none of them"


def test_a_page_that_one_of_its_holders_lacks_is_at_the_others(node: SendingNode) -> None:
    node.put(0, make_run(1000, 5))
    node.remotify(A, B)
    rows = node.elsewhere(0, 5)
    assert forget(node, A, [1, 5]) == (2, 2, 0, [rows[0], rows[4]])
    assert [node.store.rows.holders(row) for row in rows] == [[B], [A, B], [A, B], [A, B], [B]]


def test_a_page_that_a_holder_lacks_and_that_is_here_is_ours_alone(node: SendingNode) -> None:
    run = make_run(1000, 4)
    node.put(0, run)
    node.remotify(A)
    for row in node.elsewhere(0, 2):
        node.fetch(row)
    assert forget(node, A, [1, 2]) == (1, 1, 0, []), "the second was adopted with the first"
    assert node.store.get(node.pool, OBJECT, 0, 2).pages == run[:2]
    assert node.store.versions.take_owed() == {A: [2]}
    assert node.store.statistics().zpages[Family.OWN_PERSISTENT] == 2


def test_an_ephemeral_page_that_its_holder_lacks_is_a_hole(node: SendingNode) -> None:
    cache = node.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    assert node.store.put(cache, OBJECT, 0, memoryview(make_page(1000))) == 1
    node.send_ephemeral(A)
    assert forget(node, A, [1]) == (1, 0, 0, [])
    assert node.store.pages_of(cache) == 0


def test_versions_of_other_holders_with_the_same_serials_stay(node: SendingNode) -> None:
    node.put(0, make_run(1000, 5))
    node.remotify(B)
    assert forget(node, A, [1, 2, 3]) == (0, 0, 0, [])
    assert len(node.elsewhere(0, 5)) == 5
