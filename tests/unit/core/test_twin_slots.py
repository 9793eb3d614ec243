"""Slots of blocks that are there: the compiled loops find them by themselves, and the same ones as Python's."""

import pytest

from ramsterd.core.page import PAGE_BYTES, PoolId
from ramsterd.core.size_classes import CLASSES, SLOT_SHIFT, SLOTS_OF_CLASS
from ramsterd.core.store import Store
from ramsterd.core.zbud import Zbud
from tests.helpers.disk import OBJECT, put_run, read, row_of
from tests.helpers.made_pages import joined, make_page, make_run
from tests.helpers.requirements import require_compiled

SMALL, MIDDLE = 500, 1000
FIRST_OF_OTHERS = 200


class Disk:
    """A pool with pages, each in a slot that a test may ask for."""

    def __init__(self, store: Store, pool: PoolId) -> None:
        self.store, self.pool = store, pool
        put_run(store, pool, FIRST_OF_OTHERS, make_run(MIDDLE, 2))
        put_run(store, pool, 0, make_run(SMALL, 1))
        self.chunks = store.zbud.chunks_of_block[self.slot(0) >> SLOT_SHIFT]
        self.slots = SLOTS_OF_CLASS[self.chunks]

    def slot(self, index: int) -> int:
        return self.store.rows.location(row_of(self.store, self.pool, index))

    def fill(self, blocks: int) -> None:
        """Have so many blocks full of small pages, from page 0 on."""
        put_run(self.store, self.pool, 1, make_run(SMALL, blocks * self.slots - 1, seed=1))
        assert not self.stack

    @property
    def stack(self) -> list[int]:
        return self.store.zbud.stacks(self.store.pools[self.pool].family)[self.chunks]

    def put(self, index: int, *zbytes: int) -> None:
        pages = [make_page(each, 70 + at) for at, each in enumerate(zbytes)]
        put_run(self.store, self.pool, index, pages)
        assert read(self.store, self.pool, index, len(pages)) == pages
        self.store.check_invariants()


@pytest.fixture
def disk(each_loops: str, request: pytest.FixtureRequest) -> Disk:
    return Disk(request.getfixturevalue("store"), request.getfixturevalue("pool"))


def test_slots_come_from_the_open_block_and_then_from_the_oldest_with_room(
    disk: Disk, each_loops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.fill(3)
    second, first, third = disk.slots, 0, 2 * disk.slots
    replaced = [disk.slot(index) for index in (second, first, third)]
    if each_loops == "compiled":
        for name in ("fill_stack", "free", "free_many"):
            monkeypatch.delattr(Zbud, name)
    for index in (second, first, third):
        disk.put(index, MIDDLE)
    new = FIRST_OF_OTHERS + 10
    disk.put(new, SMALL, SMALL, SMALL)
    found = [disk.slot(new + each) for each in range(3)]
    assert found == [replaced[2], replaced[0], replaced[1]]


def test_what_was_replaced_just_now_is_free_for_the_next_page(
    disk: Disk, each_loops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.fill(2)
    put_run(disk.store, disk.pool, 2 * disk.slots, make_run(MIDDLE, 1))
    last = 2 * disk.slots - 1
    replaced = disk.slot(last)
    if each_loops == "compiled":
        monkeypatch.delattr(Zbud, "fill_stack")
    disk.put(last, MIDDLE, SMALL)
    assert disk.slot(last + 1) == replaced


def test_a_block_with_room_that_becomes_empty_is_not_opened_but_goes(disk: Disk) -> None:
    disk.fill(2)
    zbud, family = disk.store.zbud, disk.store.pools[disk.pool].family
    for index in range(1, disk.slots):
        disk.put(index, MIDDLE)
    emptied = disk.slot(0) >> SLOT_SHIFT
    assert list(zbud.blocks_with_room(family, disk.chunks)) == [emptied]
    disk.put(0, MIDDLE, SMALL)
    assert list(zbud.blocks(family))[-1] == disk.slot(1) >> SLOT_SHIFT, "a new one"


def test_the_slot_of_a_page_that_became_zeros_is_free_for_the_next_page(disk: Disk) -> None:
    """Its row goes, too: that is for Python, and a slot is looked for behind it."""
    disk.fill(2)
    last, pages = 2 * disk.slots - 1, [bytes(PAGE_BYTES), make_page(SMALL, 8)]
    put_run(disk.store, disk.pool, last + 1, make_run(MIDDLE, 1))
    replaced = disk.slot(last)
    put_run(disk.store, disk.pool, last, pages)
    assert read(disk.store, disk.pool, last, 2) == pages
    assert disk.slot(last + 1) == replaced
    disk.store.check_invariants()


def put_in_compiled_loops(disk: Disk, family: int, page: bytes) -> tuple[int, bool, int]:
    """Return how many pages were everyday, whether anything is to be noted, and the class that is wanted."""
    store = disk.store
    require_compiled()
    assert store.twin is not None
    page_object = store.pools[disk.pool].find_object(OBJECT)
    assert page_object is not None
    done, stored, wanted = store.twin.loops.put(
        page_object.root, page_object.shift, page_object.prefix, FIRST_OF_OTHERS + 9,
        joined([page]), family, None, store.versions.serial_last, store.versions.serial_limit, True,
    )  # fmt: skip
    return done, stored is not None, wanted


@pytest.mark.parametrize("node", [0, 7, 324, 325, 326, 328, (1 << 32) - 1])
def test_lists_of_blocks_that_lead_nowhere_are_for_python(
    store: Store, pool: PoolId, node: int
) -> None:
    require_compiled()
    disk = Disk(store, pool)
    disk.fill(2)
    disk.put(0, MIDDLE)
    family = store.pools[pool].family
    _, (following, _, _) = store.zbud.lists_of_room
    which = family * CLASSES + disk.chunks
    good = following[which]
    assert good != node
    following[which] = node
    assert put_in_compiled_loops(disk, family, make_page(SMALL)) == (0, False, disk.chunks)
    following[which] = good
    assert put_in_compiled_loops(disk, family, make_page(SMALL)) == (1, True, 0)


def test_families_without_all_classes_are_refused(store: Store, pool: PoolId) -> None:
    require_compiled()
    disk = Disk(store, pool)
    family = store.pools[pool].family
    for no_family in (-1, 5):
        with pytest.raises(ValueError, match="for each class"):
            put_in_compiled_loops(disk, no_family, make_page(SMALL))
    for classes in (store.zbud.lists_of_room[0][family], store.zbud.stacks(family)):
        last = classes.pop()
        with pytest.raises(ValueError, match="for each class"):
            put_in_compiled_loops(disk, family, make_page(SMALL))
        classes.append(last)  # type: ignore[arg-type]
    assert put_in_compiled_loops(disk, family, make_page(SMALL))[0] == 1


def test_a_page_that_lacks_a_row_is_for_python_and_no_block_is_opened_for_it(
    store: Store, pool: PoolId
) -> None:
    require_compiled()
    disk = Disk(store, pool)
    disk.fill(2)
    disk.put(0, MIDDLE)
    family, rows = store.pools[pool].family, store.rows.stack[:]
    store.rows.stack.clear()
    assert put_in_compiled_loops(disk, family, make_page(SMALL)) == (0, False, 0)
    assert not disk.stack
    store.rows.stack.extend(rows)
    assert put_in_compiled_loops(disk, family, make_page(SMALL)) == (1, True, 0)


def test_what_replaced_pages_had_may_be_room_for_those_that_wait(disk: Disk) -> None:
    """Those are tried again when that number changes."""
    disk.fill(2)
    put_run(disk.store, disk.pool, 2 * disk.slots, make_run(MIDDLE, 1))
    before, last = disk.store.room.room_made, 2 * disk.slots - 1
    disk.put(last, MIDDLE, SMALL)
    assert disk.store.room.room_made > before
