"""The page table against a dict, and what its trees cost."""

import random

import pytest

from ramsterd.core.arena import HeapMapping
from ramsterd.core.frames import TableMemory
from ramsterd.core.objects import OBJECT_HEAP_BYTES
from ramsterd.core.page import INDEX_MAX, PoolId
from ramsterd.core.table import (
    FIRST_ADDRESS,
    HOLE,
    LEAF_PAGES,
    LEAF_SHIFT,
    LOST,
    ZERO,
    PageObject,
    PageTable,
)
from ramsterd.core.table_words import FIRST_NODE

TIB_PAGES = 1 << 28


def make_table(nodes: int = 200) -> tuple[PageTable, PageObject]:
    table = PageTable(HeapMapping, TableMemory(1 << 30), FIRST_NODE + nodes)
    return table, PageObject(PoolId(1), b"")


def put(table: PageTable, page_object: PageObject, index: int, entry: int = LOST) -> bool:
    address, _ = table.make(page_object, index, 1)
    if not address:
        return False
    before, table.entries[address] = table.entries[address], entry
    if not before:
        table.count_pages(address >> LEAF_SHIFT, 1)
    return True


def drop(table: PageTable, page_object: PageObject, index: int) -> None:
    address, _ = table.make(page_object, index, 1)
    assert address
    table.entries[address] = HOLE
    table.count_hole(address)


def entry_of(table: PageTable, page_object: PageObject, index: int) -> int:
    return table.entries[table.find(page_object, index, 1)[0]]


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
    put(table, page_object, 4096)
    address, _ = table.make(page_object, index, 1)
    assert table.handle(address) == (page_object, index)


@pytest.mark.parametrize("index", [0, 12345, INDEX_MAX])
def test_an_object_with_one_leaf_has_no_other_node(index: int) -> None:
    table, page_object = make_table()
    put(table, page_object, index)
    assert table.nodes.used == 1
    assert entry_of(table, page_object, index) == LOST
    assert entry_of(table, page_object, index ^ 64) == HOLE


def test_nodes_run_out_and_come_back() -> None:
    table, page_object = make_table(nodes=4)
    assert put(table, page_object, 0)
    assert put(table, page_object, 100)
    assert put(table, page_object, 200)
    assert table.nodes.used == 4
    assert not put(table, page_object, 300)
    assert not put(table, page_object, INDEX_MAX), "nor the directories that lead there"
    assert [entry_of(table, page_object, each) for each in (0, 100, 200)] == [LOST] * 3
    drop(table, page_object, 100)
    assert put(table, page_object, 300)
    assert [start for start, _, _ in table.pieces(page_object, 0, 1000)] == [0, 192, 256]


def test_a_leaf_stays_until_its_last_page_has_gone() -> None:
    table, page_object = make_table()
    for index in range(3):
        put(table, page_object, index)
    address, _ = table.find(page_object, 0, 1)
    table.count_hole(address, 2)
    assert table.find(page_object, 0, 1)[0] == address
    table.count_hole(address)
    assert table.find(page_object, 0, 1)[0] == 0
    assert table.nodes.used == 0
    assert page_object.root == HOLE
    with pytest.raises(AssertionError, match="leaf that is gone"):
        table.handle(address)


def test_a_pinned_leaf_stays_though_its_pages_go() -> None:
    table, page_object = make_table()
    put(table, page_object, 0)
    address, _ = table.find(page_object, 0, 1)
    table.pin(address >> LEAF_SHIFT)
    drop(table, page_object, 0)
    assert table.find(page_object, 0, 1)[0] == address
    table.unpin(address >> LEAF_SHIFT)
    assert table.nodes.used == 0


def test_a_tebibyte_of_zeros_is_one_entry() -> None:
    table, page_object = make_table()
    memory = table.objects._memory
    before = memory.used_bytes
    assert table.fill(page_object, 0, TIB_PAGES, ZERO) == 1 << 24
    for each in range(1, 16):
        assert table.fill(page_object, each << 24, TIB_PAGES - (each << 24), ZERO) == 1 << 24
    assert table.nodes.used <= 1
    assert memory.used_bytes - before == OBJECT_HEAP_BYTES
    assert page_object.tally.pages == TIB_PAGES
    address, run = table.find(page_object, TIB_PAGES - 10, 100)
    assert run == 10
    assert 0 < address < FIRST_ADDRESS
    assert entry_of(table, page_object, 0) == entry_of(table, page_object, TIB_PAGES - 1) == ZERO
    assert entry_of(table, page_object, TIB_PAGES) == HOLE


def test_a_page_amid_zeros_costs_one_node_of_each_level() -> None:
    table, page_object = make_table()
    assert table.fill(page_object, 0, 1 << 24, ZERO) == 1 << 24
    put(table, page_object, 12345)
    assert table.nodes.used == 4
    assert page_object.tally.pages == 1 << 24
    assert entry_of(table, page_object, 12344) == entry_of(table, page_object, 12346) == ZERO
    address, _ = table.find(page_object, 12345, 1)
    table.entries[address] = ZERO
    table.fold(address >> LEAF_SHIFT)
    assert table.nodes.used == 0, "and it folds up again"


def test_zeros_that_find_no_room_change_nothing() -> None:
    table, page_object = make_table(nodes=2)
    assert table.fill(page_object, 0, 1 << 24, ZERO) == 1 << 24
    assert table.fill(page_object, 64, 64, HOLE) == 0
    assert table.fill(page_object, 1 << 30, 64, ZERO) == 0
    assert not put(table, page_object, 5)
    assert table.nodes.used == 0
    assert page_object.tally.pages == 1 << 24
    assert list(table.pieces(page_object, 0, TIB_PAGES)) == [(0, 1 << 24, ZERO)]


def test_the_next_piece_is_found_however_far_away() -> None:
    table, page_object = make_table()
    for index in (70, 1 << 40, INDEX_MAX):
        put(table, page_object, index)
    assert table.next_piece(page_object, 0, 70) == (64, 6, table.find(page_object, 70, 1)[0] >> 6)
    starts = [start for start, _, _ in table.pieces(page_object, 71, INDEX_MAX)]
    assert starts == [71, 1 << 40, INDEX_MAX - 63]
    assert table.next_piece(page_object, 128, 1 << 40) is None
    assert table.next_piece(page_object, (1 << 40) + 64, INDEX_MAX - 63) is None


def test_any_changes_are_what_a_dict_says(  # noqa: PLR0912  one step of each kind
    seed: int,
) -> None:
    """Puts, drops and fills of zeros and holes at all scales, in a table that is often full."""
    rng = random.Random(seed)
    table, page_object = make_table(nodes=rng.choice([12, 60, 400]))
    entries: dict[int, int] = {}
    span = rng.choice([1 << 8, 1 << 13, 1 << 19])
    base = rng.choice([0, 64, 1 << 30, (INDEX_MAX + 1) - span])
    zeros_max = 1 << 13
    for _ in range(300):
        index = base + rng.randrange(span)
        match rng.randrange(4):
            case 0 | 1:
                if put(table, page_object, index, rng.choice([LOST, ZERO, 77])):
                    entries[index] = entry_of(table, page_object, index)
            case 2:
                address, _ = table.find(page_object, index, 1)
                if address and table.make(page_object, index, 1)[0]:
                    if entries.pop(index, None):
                        drop(table, page_object, index)
                elif not address:
                    assert index not in entries
            case _:
                index &= ~63
                count = min(64 << rng.randrange(8), zeros_max, base + span - index)
                shared = rng.choice([HOLE, ZERO])
                done = table.fill(page_object, index, count, shared)
                assert done <= count
                for each in range(index, index + done):
                    entries.pop(each, None)
                    if shared:
                        entries[each] = ZERO
        address, _ = table.find(page_object, index, 1)
        if address >= FIRST_ADDRESS:
            table.fold(address >> LEAF_SHIFT)
        found = {}
        for start, run, leaf in table.pieces(page_object, base, span):
            for each in range(start, start + run):
                entry = ZERO if leaf == ZERO else table.entries_of(leaf, each, 1)[0]
                if entry:
                    found[each] = entry
        assert found == entries
        assert page_object.tally.pages == len(entries)
        table.check_invariants()
    end = base + span
    for start, run, _ in table.pieces(page_object, base, span):
        index = start
        while index < start + run:
            done = table.fill(page_object, index, end - index, HOLE)
            if not done:
                address, done = table.find(page_object, index, start + run - index)
                dropped = table.entries[address : address + done].tolist()
                table.entries[address : address + done] = memoryview(bytes(4 * done)).cast("I")
                table.count_hole(address, done - dropped.count(HOLE))
            index += done
    assert table.nodes.used == 0
    assert page_object.tally.pages == 0
