import pytest

from ramsterd.core.arena import HeapMapping
from ramsterd.core.page import INDEX_MAX, PoolId
from ramsterd.core.table import LEAF_PAGES, ZERO, PageObject, PageTable


def make_table(leaves: int = 3) -> tuple[PageTable, PageObject]:
    return PageTable(HeapMapping, leaves + 1), PageObject(PoolId(1), b"")


def set_entries(table: PageTable, address: int, count: int) -> None:
    for place in range(address, address + count):
        table.entries[place] = ZERO
    table.leaf_used[address // LEAF_PAGES] += count


def test_what_was_never_made_is_found_as_holes() -> None:
    table, page_object = make_table()
    assert table.find(page_object, 10, 1000) == (0, LEAF_PAGES - 10)


def test_a_run_ends_with_its_leaf() -> None:
    table, page_object = make_table()
    address, run = table.make(page_object, LEAF_PAGES - 2, 5)
    assert run == 2
    assert table.find(page_object, LEAF_PAGES - 2, 5) == (address, 2)
    assert table.make(page_object, LEAF_PAGES, 3)[1] == 3


@pytest.mark.parametrize("index", [0, 63, 64, 12345, INDEX_MAX])
def test_an_address_leads_back_to_its_handle(index: int) -> None:
    table, page_object = make_table()
    address, _ = table.make(page_object, index, 1)
    assert table.handle(address) == (page_object, index)


def test_leaves_run_out_and_come_back() -> None:
    table, page_object = make_table(leaves=2)
    first, _ = table.make(page_object, 0, 1)
    set_entries(table, first, 1)
    assert table.make(page_object, 100, 1)[0]
    assert table.make(page_object, 200, 1) == (0, 1)
    assert list(page_object.leaves) == [0, 1]
    table.entries[first] = 0
    table.count_hole(first)
    assert list(page_object.leaves) == [1]
    again, _ = table.make(page_object, 200, 1)
    assert table.handle(again) == (page_object, 200)


def test_a_leaf_stays_until_its_last_page_has_gone() -> None:
    table, page_object = make_table()
    address, _ = table.make(page_object, 0, 3)
    set_entries(table, address, 3)
    table.count_hole(address, 2)
    assert table.find(page_object, 0, 1)[0] == address
    table.count_hole(address)
    assert table.find(page_object, 0, 1)[0] == 0
    with pytest.raises(AssertionError, match="leaf that is gone"):
        table.handle(address)


def test_the_leaves_that_a_run_touches_are_the_same_by_either_way() -> None:
    table, page_object = make_table(leaves=4)
    for index in (64 * 9, 0, 64 * 3):
        table.make(page_object, index, 1)
    assert list(page_object.bases(0, INDEX_MAX)) == [0, 3, 9]
    assert list(page_object.bases(1, 64 * 3)) == [0, 3]
    assert list(page_object.bases(0, 64 * 9)) == [0, 3]
    assert list(page_object.bases(64 * 2, 64)) == []
    assert list(page_object.bases(64 * 9 + 63, 1)) == [9]
