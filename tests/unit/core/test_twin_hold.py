"""The compiled loops over pages of others: what is not everyday, and tables that lie."""

from array import array
from typing import TYPE_CHECKING

import pytest

from ramsterd.core.codec import encode_page
from ramsterd.core.foreign_pages import (
    FOREIGN_OBJECT,
    answer_get,
    drop_ranges,
    next_serials,
    put_zpages,
)
from ramsterd.core.page import INDEX_MAX, PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import owner_pool
from ramsterd.core.size_classes import CLASSES
from ramsterd.core.store import Store
from ramsterd.core.table import HOLE, LEAF_PAGES, LOST, PageObject
from ramsterd.core.twin_hold import RANGE_UNITS, WANTS_ROW, Column, HoldTwin, Room
from tests.helpers import columns
from tests.helpers.made_pages import make_page
from tests.helpers.requirements import require_compiled

if TYPE_CHECKING:
    from ramsterd.compiled._loops import Loops

NO_TREE = 0, 0, 0
NO_BOUND = 1 << 30
PACKED, ZPAGE, CHECKSUM = encode_page(make_page(500, 1))


class Holder:
    """A store with two pages of an owner, in one leaf."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.pools = [store.new_pool(kind, owner_pool(2, 1)) for kind in PoolKind]
        self.pool = store.pools[self.pools[0]]
        assert store.hold_twin is not None
        self.twin: HoldTwin = store.hold_twin
        self.put(1, 2)

    @property
    def loops(self) -> "Loops":
        return self.twin._loops

    @property
    def page_object(self) -> PageObject:
        return self.pool.make_object(FOREIGN_OBJECT)

    def put(self, *serials: int, pool: PoolId | None = None) -> None:
        """Put pages, some of them in Python."""
        zpages = self.zpages(*serials)
        pool = self.pool.pool if pool is None else pool
        assert put_zpages(self.store, pool, *zpages, memoryview(ZPAGE * len(serials))) == len(
            serials
        )
        self.store.check_invariants()

    def zpages(self, *serials: int) -> tuple[Column, Column, Column]:
        count = len(serials)
        return columns.of_zpages(serials, [CHECKSUM] * count, [PACKED] * count)

    def try_to_put(self, *serials: int) -> int:
        """Return how many pages are everyday."""
        body = memoryview(ZPAGE * len(serials))
        done, start = self.twin.put(self.pool, self.page_object, self.zpages(*serials), body, 0, 0)
        assert start == done * len(ZPAGE)
        self.store.check_invariants()
        return done

    def try_to_drop(
        self, *ranges: tuple[int, int], below: int = INDEX_MAX + 1, units_max: int = NO_BOUND
    ) -> int:
        """Return how many ranges are everyday."""
        firsts, lasts = columns.of_ranges(*ranges)
        return drop_ranges(
            self.store, self.pool.pool, firsts, lasts, 0, below=below, units_max=units_max
        )

    def address(self, serial: int) -> int:
        return self.store.table.find(self.page_object, serial, 1)[0]

    def row(self, serial: int) -> int:
        return self.store.table.entries[self.address(serial)]

    def block(self, serial: int) -> int:
        return self.store.versions.block_of(self.row(serial))

    def serials(self) -> list[int]:
        return next_serials(self.store.versions, [self.pool.pool], LEAF_PAGES * 2)[0]

    @property
    def tree(self) -> tuple[int, int, int]:
        return self.page_object.root, self.page_object.shift, self.page_object.prefix

    def put_with(self, room: Room, *serials: int) -> tuple[int, ...]:
        """Put pages with another room; return how many, and what is wanted."""
        body = memoryview(ZPAGE * len(serials))
        done, _, _, _, wanted, *_ = self.loops.put_zpages(
            *self.tree, *self.zpages(*serials), body, 0, 0, room
        )
        return done, wanted

    def drop_with(self, room: Room, *ranges: tuple[int, int]) -> tuple[int, ...]:
        """Drop ranges with another room; return how many, and pages."""
        firsts, lasts = columns.of_ranges(*ranges)
        return self.loops.drop(*self.tree, firsts, lasts, 0, INDEX_MAX, 5, 99, room)[:2]

    def held(self, *serials: int) -> list[bool]:
        answer = answer_get(self.store, (self.pools[0], self.pools[1]), columns.words(serials))
        assert answer is not None
        return [code > 0 for code in memoryview(answer[0]).cast("H")]


@pytest.fixture
def holder(store: Store) -> Holder:
    require_compiled()
    return Holder(store)


# Put.


def test_a_leaf_that_is_not_there_is_for_python(holder: Holder) -> None:
    assert holder.try_to_put(3, 63, 64, 4) == 2
    assert holder.held(3, 63, 64, 4) == [True, True, False, False]


def test_what_is_here_is_left_alone(holder: Holder) -> None:
    before, free = holder.row(1), len(holder.store.rows.stack)
    assert holder.try_to_put(1, 3, 3, 2) == 4
    assert holder.row(1) == before
    assert len(holder.store.rows.stack) == free - 1
    assert holder.store.pages_of(holder.pool.pool) == 3


def test_rows_and_slots_are_found_on_the_way(holder: Holder) -> None:
    rows, stack = holder.store.rows, holder.store.zbud.stacks(holder.pool.family)
    holder.put(*(64 * each for each in range(1, 5)))
    serials = [64 * leaf + each for leaf in range(1, 5) for each in range(1, 64)]
    assert len(rows.stack) < len(serials)
    assert sum(map(len, stack)) < len(serials)
    assert holder.try_to_put(*serials) == len(serials)
    assert all(holder.held(*serials[:128]))


def test_where_there_are_no_rows_the_put_is_for_python(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(holder.store.rows), "refill", lambda _: False)
    stack = holder.store.rows.stack
    left = stack[:]
    stack.clear()
    put = holder.twin.put(
        holder.pool, holder.page_object, holder.zpages(3), memoryview(ZPAGE), 0, 0
    )
    assert put == (0, 0)
    stack.extend(left)
    assert holder.try_to_put(3) == 1


def test_where_there_is_no_room_the_put_is_for_python(holder: Holder) -> None:
    holder.store.zbud.set_budget(holder.store.zbud.resident_bytes)
    free = sum(map(len, holder.store.zbud.stacks(holder.pool.family)))
    assert holder.try_to_put(*range(3, 64)) == free < 61


@pytest.mark.parametrize("packed", [0, 0x1FFF, 0xFFFF, 2 << 13, PAGE_BYTES + 1])
def test_a_length_that_no_zpage_has_is_for_python(holder: Holder, packed: int) -> None:
    zpages = array("Q", [3]), array("Q", [0]), array("H", [packed])
    body = memoryview(bytes(2 * PAGE_BYTES))
    assert holder.twin.put(holder.pool, holder.page_object, zpages, body, 0, 0) == (0, 0)
    holder.store.check_invariants()


def test_no_more_is_read_than_the_body_has(holder: Holder) -> None:
    body = memoryview(ZPAGE + ZPAGE)[:-1]
    done, start = holder.twin.put(holder.pool, holder.page_object, holder.zpages(3, 4), body, 0, 0)
    assert (done, start) == (1, len(ZPAGE))
    for first, at in ((0, len(body) + 1), (9, 0), (2, 0)):
        put = holder.twin.put(holder.pool, holder.page_object, holder.zpages(5, 6), body, first, at)
        assert put == (first, at)


def test_the_shortest_column_counts(holder: Holder) -> None:
    serials, checksums, packed = holder.zpages(3, 4, 5)
    for some in (
        (serials[:1], checksums, packed),
        (serials, checksums[:1], packed),
        (serials, checksums, packed[:1]),
    ):
        body = memoryview(ZPAGE * 3)
        assert holder.twin.put(holder.pool, holder.page_object, some, body, 0, 0)[0] == 1


@pytest.mark.parametrize("serial", [0, INDEX_MAX, INDEX_MAX + 1, (1 << 64) - 1])
def test_a_serial_that_is_nowhere_is_for_python(holder: Holder, serial: int) -> None:
    assert holder.try_to_put(serial) == 0


@pytest.mark.parametrize(("first", "start"), [(-1, 0), (0, -1)])
def test_places_before_the_first_are_refused(holder: Holder, first: int, start: int) -> None:
    with pytest.raises(ValueError, match="places"):
        holder.twin.put(
            holder.pool, holder.page_object, holder.zpages(3), memoryview(ZPAGE), first, start
        )


def test_slots_come_from_the_open_block_and_from_the_oldest_with_room(holder: Holder) -> None:
    family, zbud = holder.pool.family, holder.store.zbud
    stack = zbud.stacks(family)[-(-len(ZPAGE) // 64)]
    holder.put(*range(3, 140))
    while stack:
        holder.put(max(holder.serials()) + 1)
    blocks = [holder.block(serial) for serial in (9, 60, max(holder.serials()))]
    assert len(set(blocks)) == 3
    assert holder.try_to_drop((60, 60), (9, 9), (max(holder.serials()),) * 2) == 3
    first = max(holder.serials()) + 1
    assert holder.try_to_put(first, first + 1, first + 2) == 3
    found = [holder.block(first + each) for each in range(3)]
    assert found == [blocks[2], blocks[1], blocks[0]]


@pytest.mark.parametrize("node", [0, 7, 64, 65, 66, (1 << 32) - 1])
def test_lists_of_blocks_that_lead_nowhere_are_for_python(holder: Holder, node: int) -> None:
    room = holder.twin.room(holder.pool)
    none = room._replace(
        stacks=[[] for _ in range(CLASSES)], open_block=[0] * CLASSES, first_list=0
    )
    chunks = -(-len(ZPAGE) // 64)
    for links in (
        (array("I", [node] * 66), array("I", [chunks] * 66), 65),
        (array("I", [node] * (chunks + 1)), array("I"), 65),
        (array("I"), array("I"), 0),
    ):
        assert holder.put_with(none._replace(blocks=links), 3) == (0, chunks)
    assert holder.try_to_put(3) == 1


def test_frames_of_rows_that_are_none_are_for_python(holder: Holder) -> None:
    room = holder.twin.room(holder.pool)
    links = room.partial
    stack = holder.store.rows.stack
    left = stack[:]
    stack.clear()
    none = array("I"), array("I"), 0
    alone = array("I", [0]), array("I", [0]), 1
    first_row = left[0]
    rooms = [
        ((array("H"), array("I")), links, room.open_frame),
        ((array("H", [9]), array("I")), links, 0),
        ((array("H", [9]), array("I", [0])), none, 0),
        ((array("H", [9]), array("I", [0])), alone, 0),
        ((array("H", [9]), array("I", [0])), alone, (1 << 32) - 1),
        # Partial frame 5, of which nothing is known; and chains that lead out of a frame.
        ((array("H", [9]), array("I", [0])), (array("I", [6, 1, 1, 1, 1, 1, 0]), array("I", [6] * 7), 1), 0),
        ((array("H", [9]), array("I", [1 << 31])), alone, 0),
        ((array("H", [9]), array("I", [200])), alone, 0),
    ]  # fmt: skip
    for frames, partial, open_frame in rooms:
        other = room._replace(frames=frames, partial=partial, open_frame=open_frame)
        assert holder.put_with(other, 3) == (0, WANTS_ROW)
    assert stack == []
    # A chain that is a ring: of row to itself.
    halves = holder.store.rows.view.cast("I")
    halves[first_row * 8 + 4] = first_row
    ring = array("H", [9]), array("I", [first_row])
    assert holder.put_with(room._replace(frames=ring, open_frame=0), 3) == (0, WANTS_ROW)
    halves[first_row * 8 + 4] = 0
    assert stack == []
    stack.extend(left)
    assert holder.try_to_put(3) == 1


def test_a_room_without_all_classes_is_refused(holder: Holder) -> None:
    room = holder.twin.room(holder.pool)
    for short in (
        room._replace(stacks=room.stacks[:-1]),
        room._replace(open_block=room.open_block[:-1]),
    ):
        with pytest.raises(ValueError, match="for each class"):
            holder.put_with(short, 3)
        with pytest.raises(ValueError, match="for each class"):
            holder.drop_with(short, (1, 1))


# Get.


def test_a_page_that_is_in_both_pools_comes_from_the_first(holder: Holder) -> None:
    packed, zpage, checksum = encode_page(make_page(90, 2))
    zpages = columns.of_zpages([2, 7], [checksum] * 2, [packed] * 2)
    assert put_zpages(holder.store, holder.pools[1], *zpages, memoryview(zpage * 2)) == 2
    pools = holder.pools[0], holder.pools[1]
    answer = answer_get(holder.store, pools, columns.words([7, 2, 5, 1]))
    assert answer is not None
    assert memoryview(answer[0]).cast("H").tolist() == [packed, PACKED, 0, PACKED]
    assert answer[1] == zpage + ZPAGE + ZPAGE


def test_more_pages_than_a_frame_may_name_are_for_python(holder: Holder) -> None:
    pools = holder.pools[0], holder.pools[1]
    assert answer_get(holder.store, pools, columns.words(range(1, 129))) is not None
    assert answer_get(holder.store, pools, columns.words(range(1, 130))) is None


def test_serials_that_are_nowhere_are_missing(holder: Holder) -> None:
    assert holder.held(0, INDEX_MAX, INDEX_MAX + 1, (1 << 64) - 1) == [False] * 4


@pytest.mark.parametrize("location", [0, (1 << 32) - 1, 1 << 20])
def test_a_zpage_that_can_stand_nowhere_is_for_python(holder: Holder, location: int) -> None:
    rows, row = holder.store.rows, holder.row(1)
    before = rows.location(row)
    rows.set_location(row, location)
    pools = holder.pools[0], holder.pools[1]
    assert answer_get(holder.store, pools, columns.words([1])) is None
    assert holder.try_to_drop((1, 1)) == 0
    rows.set_location(row, before)
    assert holder.held(1) == [True]


# Drop.


def test_ranges_are_dropped_up_to_a_long_one(holder: Holder) -> None:
    holder.put(3, 100, 150)
    assert holder.try_to_drop((1, 1), (3, 66), (90, 154), (155, 155)) == 2
    assert holder.held(1, 2, 3, 100, 150) == [False, True, False, True, True]
    holder.store.check_invariants()


def test_leaves_without_pages_go_and_at_last_the_object(holder: Holder) -> None:
    holder.put(*range(60, 200))
    assert holder.try_to_drop((60, 120), (121, 180), (181, 199)) == 3
    assert holder.store.pages_of(holder.pool.pool) == 2
    holder.store.check_invariants()
    assert holder.try_to_drop((1, 2)) == 1
    assert holder.pool.objects == {}
    holder.store.check_invariants()
    assert holder.store.statistics().zpages[holder.pool.family] == 0


def test_what_reaches_a_page_that_was_put_since_is_for_python(holder: Holder) -> None:
    assert holder.try_to_drop((1, 1), (2, 5), below=5) == 1
    assert holder.held(1, 2) == [False, True]


def test_it_ends_after_so_many_units_of_work(holder: Holder) -> None:
    before = holder.store.work["flush"]
    ranges = [(each, each) for each in range(1, 50)]
    assert holder.try_to_drop(*ranges, units_max=2 * RANGE_UNITS + 2 + 1) == 3
    assert holder.store.work["flush"] - before == 3 * RANGE_UNITS + 2


@pytest.mark.parametrize("ranges", [(5, 1), (1, 65), (1, INDEX_MAX + 1), (0, (1 << 64) - 1)])
def test_a_range_that_is_none_is_for_python(holder: Holder, ranges: tuple[int, int]) -> None:
    assert holder.try_to_drop(ranges) == 0
    assert holder.try_to_drop(ranges, below=(1 << 64) - 1) == 0
    assert holder.held(1, 2) == [True, True]


def test_rows_that_are_not_an_owners_page_alone_are_for_python(holder: Holder) -> None:
    """Nothing of a range is dropped then."""
    store, row = holder.store, holder.row(2)
    store.rows.set_holders(row, [7])
    assert holder.try_to_drop((1, 2)) == 0
    store.rows.set_holders(row, [])
    address, entries = holder.address(2), store.table.entries
    for entry in (LOST, holder.row(1), (1 << 32) - 1):
        entries[address] = entry
        assert holder.try_to_drop((1, 2)) == 0
    entries[address] = row
    assert holder.held(1, 2) == [True, True]
    assert holder.try_to_drop((1, 2)) == 1


def test_a_row_whose_frame_has_none_is_for_python(holder: Holder) -> None:
    (taken, _), _, _ = holder.store.rows.frames()
    taken[0], before = 0, taken[0]
    assert holder.try_to_drop((1, 1)) == 0
    taken[0] = before
    assert holder.try_to_drop((1, 1)) == 1


def test_a_block_of_no_class_is_for_python(holder: Holder) -> None:
    block = holder.block(1)
    chunks = holder.store.zbud.chunks_of_block
    for none in (CLASSES, 255):
        chunks[block], before = none, chunks[block]
        assert holder.try_to_drop((1, 1)) == 0
        chunks[block] = before
    assert holder.try_to_drop((1, 1)) == 1


def test_columns_of_frames_that_are_too_short_are_not_passed(holder: Holder) -> None:
    room = holder.twin.room(holder.pool)
    for taken, free in ((0, 1), (1, 0)):
        frames = array("H", [9] * taken), array("I", [0] * free)
        assert holder.drop_with(room._replace(frames=frames), (1, 1)) == (0, 0)
    firsts, lasts = columns.of_ranges((1, 1))
    with pytest.raises(ValueError, match="below the first"):
        holder.loops.drop(*holder.tree, firsts, lasts, -1, 9, 5, 99, room)
    assert holder.loops.drop(*NO_TREE, firsts, lasts, 0, 9, 5, 99, room)[:2] == (1, 0)
    assert holder.store.table.entries[holder.address(1)] != HOLE


def test_where_lists_are_broken_python_frees(holder: Holder) -> None:
    """Rows of a full frame, and slots of a full block, which would go on a list."""
    holder.put(*range(3, 400))
    holder.put(*range(400, 440))
    none = array("I"), array("I"), 0
    room = holder.twin.room(holder.pool)._replace(blocks=none, partial=none)
    firsts, lasts = columns.of_ranges((9, 9))
    assert room.frames[0][holder.row(9) >> 7] == 128
    before = holder.row(9), holder.store.rows.location(holder.row(9))
    done, pages, _, freed, rows, slots, leaves = holder.loops.drop(
        *holder.tree, firsts, lasts, 0, INDEX_MAX, 5, 99, room
    )
    assert (done, pages, freed, leaves) == (1, 1, 0, [])
    assert (rows, slots) == ([before[0]], [before[1]])
