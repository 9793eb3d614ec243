"""A process may end between any two stores of a change of the page table: each page is as before, or as after."""

import random
from collections.abc import Callable
from typing import Final

import pytest

from ramsterd.core.frames import TableMemory
from ramsterd.core.objects import PageObject, Tally
from ramsterd.core.table import FIRST_ADDRESS, PageTable
from ramsterd.core.table_words import FIRST_NODE, HOLE, LEAF_PAGES, LEAF_SHIFT, LOST, ZERO
from tests.helpers.found_table import POOL, Entries, adopt, check_table, entries_of
from tests.helpers.recorded_memory import Image, RecordedKeeper, states

NODES: Final = FIRST_NODE + 60
FAR: Final = 1 << 20
ROW: Final = 77


class Tables:
    """A page table whose stores are recorded; each change is followed by an attach after any of them."""

    def __init__(self) -> None:
        self.memory = RecordedKeeper()
        self.table = PageTable(self.memory.map_memory, TableMemory(1 << 30), NODES)
        self.tally = Tally()
        self.objects: dict[bytes, PageObject] = {}

    def find(self, name: bytes) -> PageObject:
        return self.objects.setdefault(name, PageObject(POOL, name, self.tally))

    def put(self, name: bytes, index: int, entry: int = ROW) -> None:
        page_object = self.find(name)
        address, _ = self.table.make(page_object, index, 1)
        if not address:
            return
        before, self.table.entries[address] = self.table.entries[address], entry
        if not before:
            self.table.count_pages(address >> LEAF_SHIFT, 1)
        self.table.fold(address >> LEAF_SHIFT)

    def drop(self, name: bytes, index: int) -> None:
        page_object = self.find(name)
        address, _ = self.table.find(page_object, index, 1)
        if address and self.table.entries[address]:
            address, _ = self.table.make(page_object, index, 1)
            if address:
                self.table.entries[address] = HOLE
                self.table.count_hole(address)

    def fill(self, name: bytes, index: int, count: int, shared: int) -> None:
        self.table.fill(self.find(name), index, count, shared)

    def alive(self) -> dict[bytes, PageObject]:
        return {name: each for name, each in self.objects.items() if each.root}

    def entries(self) -> Entries:
        return entries_of(self.table, self.alive())

    def check(self, change: Callable[[], object], some: random.Random | None = None) -> None:
        """Do a change; whenever it might have ended, each page is as it was before, or as it is after."""
        before, image = self.entries(), self.memory.image()
        stored = self.memory.record(change)
        after = self.entries()
        found = [("before", image), *states(image, stored)]
        for place, state in found if some is None else some.sample(found, min(6, len(found))):
            check_state(state, before, after, place)
        assert read(self.memory.image()) == after
        check_table(self.table, self.alive())


def read(image: Image) -> Entries:
    return entries_of(*adopt(image, NODES))


def check_state(image: Image, before: Entries, after: Entries, place: str) -> None:
    table, page_objects = adopt(image, NODES)
    check_table(table, page_objects)
    found = entries_of(table, page_objects)
    # All others are as they were before.
    for page in {page for page, _ in found.items() ^ before.items()}:
        assert found.get(page, HOLE) == after.get(page, HOLE), (place, page)
    drop_everything(table, page_objects)


def drop_everything(table: PageTable, page_objects: dict[bytes, PageObject]) -> None:
    """The caller can go on; in the end there is nothing left."""
    for page_object in page_objects.values():
        for start, run, leaf in table.pieces(page_object, 0, 1 << 48):
            index = start
            while index < start + run:
                if done := table.fill(page_object, index, start + run - index, HOLE):
                    index += done
                    continue
                address, done = table.make(page_object, index, start + run - index)
                assert address, "zeros begin where a whole leaf does"
                assert leaf in {ZERO, address >> LEAF_SHIFT}
                entries = table.entries[address : address + done]
                holes = done - entries.tolist().count(HOLE)
                entries[:] = memoryview(bytes(4 * done)).cast("I")
                table.count_hole(address, holes)
                index += done
        assert not page_object.root
    assert table.nodes.used == table.objects.used == 0
    table.check_invariants()


def nothing(tables: Tables) -> None:
    del tables


def one_leaf(tables: Tables) -> None:
    tables.put(b"a", 5)


def two_levels(tables: Tables) -> None:
    for index in (5, 70, 4000):
        tables.put(b"a", index)


def far_away(tables: Tables) -> None:
    tables.put(b"a", 5)
    tables.put(b"a", FAR)


def zeros(tables: Tables) -> None:
    tables.fill(b"a", 0, 1 << 12, ZERO)


def zeros_with_a_page(tables: Tables) -> None:
    zeros(tables)
    tables.put(b"a", 100)


def zeros_but_for_a_leaf(tables: Tables) -> None:
    zeros(tables)
    tables.fill(b"a", 64, 64, HOLE)


def nearly_a_leaf_of_zeros(tables: Tables) -> None:
    zeros_with_a_page(tables)
    tables.drop(b"a", 101)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "change"),
    [
        (nothing, lambda tables: tables.put(b"a", 5)),
        (nothing, lambda tables: tables.put(b"an object with a long id", 1 << 47)),
        (nothing, lambda tables: tables.fill(b"a", 0, 1 << 18, ZERO)),
        (one_leaf, lambda tables: tables.put(b"a", 6, LOST)),
        (one_leaf, lambda tables: tables.put(b"a", 70)),
        (one_leaf, lambda tables: tables.put(b"a", FAR)),
        (one_leaf, lambda tables: tables.put(b"b", 5)),
        (one_leaf, lambda tables: tables.fill(b"a", FAR, 64, ZERO)),
        (one_leaf, lambda tables: tables.fill(b"a", FAR, 1 << 12, ZERO)),
        (one_leaf, lambda tables: tables.drop(b"a", 5)),
        (two_levels, lambda tables: tables.put(b"a", FAR)),
        (two_levels, lambda tables: tables.drop(b"a", 70)),
        (far_away, lambda tables: tables.drop(b"a", FAR)),
        (far_away, lambda tables: tables.put(b"a", FAR + 64)),
        (zeros, lambda tables: tables.put(b"a", 100)),
        (zeros, lambda tables: tables.put(b"a", FAR)),
        (zeros, lambda tables: tables.drop(b"a", 100)),
        (zeros, lambda tables: tables.fill(b"a", 0, 1 << 12, HOLE)),
        (zeros, lambda tables: tables.fill(b"a", 64, 64, HOLE)),
        (zeros, lambda tables: tables.fill(b"a", FAR, 64, ZERO)),
        (zeros_with_a_page, lambda tables: tables.put(b"a", 100, ZERO)),
        (zeros_with_a_page, lambda tables: tables.drop(b"a", 100)),
        (zeros_but_for_a_leaf, lambda tables: tables.fill(b"a", 64, 64, ZERO)),
        (nearly_a_leaf_of_zeros, lambda tables: tables.put(b"a", 101, ZERO)),
    ],
)
def test_whenever_a_change_ends_each_page_is_as_before_or_as_after(
    prepare: Callable[[Tables], None], change: Callable[[Tables], None]
) -> None:
    tables = Tables()
    prepare(tables)
    tables.check(lambda: change(tables))


def test_the_last_page_takes_all_directories_and_the_object_with_it() -> None:
    tables = Tables()
    tables.put(b"a", 5)
    tables.put(b"a", 1 << 47)
    tables.drop(b"a", 5)
    assert tables.table.nodes.used == 8
    tables.check(lambda: tables.drop(b"a", 1 << 47))
    assert tables.table.nodes.used == tables.table.objects.used == 0


def test_what_finds_no_room_leaves_nothing_behind() -> None:
    tables = Tables()
    for index in range(0, NODES << LEAF_SHIFT, LEAF_PAGES):
        tables.put(b"b", index)
    tables.check(lambda: tables.put(b"a", 5))
    assert not tables.objects[b"a"].number


@pytest.mark.slow
def test_any_changes_may_end_anywhere(seed: int) -> None:
    rng = random.Random(seed)
    tables = Tables()
    span = rng.choice([1 << 8, 1 << 13])
    base = rng.choice([0, 64, (1 << 48) - span])
    for _ in range(80):
        name, index = rng.choice([b"a", b"b"]), base + rng.randrange(span)
        match rng.randrange(4):
            case 0 | 1:
                entry = rng.choice([ROW, ZERO, LOST])
                tables.check(lambda: tables.put(name, index, entry), rng)  # noqa: B023  at once
            case 2:
                tables.check(lambda: tables.drop(name, index), rng)  # noqa: B023
            case _:
                index &= ~(LEAF_PAGES - 1)
                count = min(64 << rng.randrange(7), base + span - index)
                shared = rng.choice([HOLE, ZERO])
                tables.check(lambda: tables.fill(name, index, count, shared), rng)  # noqa: B023
        shared_only = tables.table.find(tables.find(name), index, 1)[0] < FIRST_ADDRESS
        assert shared_only or tables.table.nodes.used
