import pytest

from ramsterd.core.lru import BlockLists


def make_lists() -> BlockLists:
    lists = BlockLists(2)
    lists.grow(5)
    return lists


def test_the_first_appended_is_the_oldest() -> None:
    lists = make_lists()
    for block in (3, 0, 4):
        lists.append(0, block)
    assert list(lists.blocks(0)) == [3, 0, 4]
    assert lists.oldest(0) == 3
    assert lists.oldest(1) is None


def test_the_prepended_is_the_oldest() -> None:
    lists = make_lists()
    lists.append(1, 2)
    lists.prepend(1, 0)
    assert list(lists.blocks(1)) == [0, 2]


def test_any_block_can_leave_its_list_and_join_another() -> None:
    lists = make_lists()
    for block in (0, 1, 2):
        lists.append(0, block)
    lists.remove(1)
    assert not lists.is_listed(1)
    lists.append(1, 1)
    assert list(lists.blocks(0)) == [0, 2]
    assert list(lists.blocks(1)) == [1]


def test_lists_with_blocks_are_told_from_empty_ones() -> None:
    lists = BlockLists(4)
    lists.grow(3)
    assert lists.filled() == []
    for which, block in ((3, 0), (1, 1), (3, 2)):
        lists.append(which, block)
    assert lists.filled() == [1, 3]
    lists.remove(1)
    assert lists.filled() == [3]


def test_growing_keeps_what_is_listed() -> None:
    lists = make_lists()
    lists.append(0, 4)
    lists.grow(3)
    lists.grow(10)
    lists.append(0, 9)
    assert list(lists.blocks(0)) == [4, 9]
    assert not lists.is_listed(8)


def test_a_block_stands_in_one_list_only() -> None:
    lists = make_lists()
    lists.append(0, 1)
    with pytest.raises(AssertionError, match="in a list already"):
        lists.append(1, 1)
    with pytest.raises(AssertionError, match="in no list"):
        lists.remove(2)
