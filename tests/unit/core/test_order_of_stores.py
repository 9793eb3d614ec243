"""A process may end between any two stores: what an attach finds is the page before an operation, or after it."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from ramsterd.core import extents
from ramsterd.core.codec import encode_page
from ramsterd.core.compact import Compactor
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import FOREIGN_OBJECT, put_zpages
from ramsterd.core.leaving import begin_leaving, end_leaving, keep_leaving
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE, PoolId, PoolKind
from ramsterd.core.pool_identity import owner_pool, program_pool
from ramsterd.core.row_sweep import lose_held_by
from ramsterd.core.size_classes import CHUNK_BYTES
from ramsterd.core.table import HOLE, LOST
from tests.helpers import columns
from tests.helpers.crashes import CrashingStore, FoundPage
from tests.helpers.disk import OBJECT, flip_a_bit, row_of, send_copies
from tests.helpers.dropping import drop_run
from tests.helpers.installing import install
from tests.helpers.made_pages import joined, make_fill, make_page, make_run

ONE, OTHER, THIRD = 7, 8, 9
# A page that keeps its leaf, whatever happens to others.
ANCHOR = 63
OLD, NEW = make_page(700, 1), make_page(710, 2)
LARGER = make_page(2000, 3)
RAW = make_page(PAGE_BYTES, 4)
FILLED, OTHER_FILLED = make_fill(5), make_fill(6)


class Node:
    """A crashing store with a pool."""

    def __init__(self, kind: PoolKind = PoolKind.PERSISTENT, *, frames: int = 40) -> None:
        self.crashing = CrashingStore(budget_bytes=frames * 4096)
        self.store = self.crashing.store
        self.pool = self.store.new_pool(kind, program_pool("pool"))
        # An overwrite in place, so that the redo record has what an earlier one has left.
        self.put(ANCHOR, [make_page(3000, 1)])
        self.put(ANCHOR, [make_page(3000, 2)])
        self.put(ANCHOR, [FILLED])

    def put(self, index: int, pages: Sequence[bytes], pool: PoolId | None = None) -> None:
        stored = self.store.put(pool or self.pool, OBJECT, index, joined(list(pages)))
        assert stored == len(pages)

    def row(self, index: int = 0) -> int:
        return row_of(self.store, self.pool, index)

    def check(self, operation: Callable[[], object], *states: FoundPage, index: int = 0) -> None:
        """At any time a page is one of these: at first the first, at last the last."""
        found: list[FoundPage] = []
        for attached in self.crashing.crashes(operation):
            found.append(attached.page(self.pool, OBJECT, index))
            assert found[-1] in states, attached.where
            assert attached.page(self.pool, OBJECT, ANCHOR) == FILLED
        assert (found[0], found[-1]) == (states[0], states[-1])

    def begin(self) -> int:
        block = self.store.zbud.oldest(Family.OWN_PERSISTENT)
        assert block is not None
        return block

    def remotify(self, *holders: int, stays: bool = False) -> None:
        send_copies(self.store, *holders, stays=stays)


def nothing(node: Node) -> FoundPage:
    return HOLE


def zeros(node: Node) -> FoundPage:
    node.put(0, [ZERO_PAGE])
    return ZERO_PAGE


def lost(node: Node) -> FoundPage:
    node.put(0, [OLD])
    node.store.versions.lose(node.row())
    return LOST


def here(node: Node) -> FoundPage:
    node.put(0, [OLD])
    return OLD


def here_with_others(node: Node) -> FoundPage:
    node.put(0, [OLD, *make_run(700, 20)])
    return OLD


def filled(node: Node) -> FoundPage:
    node.put(0, [OTHER_FILLED])
    return OTHER_FILLED


def raw(node: Node) -> FoundPage:
    node.put(0, [make_page(PAGE_BYTES, 77)])
    return make_page(PAGE_BYTES, 77)


def elsewhere(node: Node) -> FoundPage:
    node.put(0, [OLD])
    node.remotify(ONE, OTHER)
    return ONE, OTHER


def copied(node: Node) -> FoundPage:
    node.put(0, [OLD, make_page(700, 9)])
    node.remotify(ONE, THIRD, stays=True)
    return OLD


def leaving(node: Node) -> FoundPage:
    node.put(0, [OLD, make_page(700, 9)])
    begin_leaving(node.store.versions, node.begin())
    return OLD


BEFORE = [nothing, zeros, lost, here, here_with_others, filled, raw, elsewhere, copied, leaving]
before_each = pytest.mark.parametrize("before", BEFORE, ids=lambda each: each.__name__)


@pytest.mark.usefixtures("each_loops")
@before_each
@pytest.mark.parametrize("page", [NEW, LARGER, RAW, FILLED, ZERO_PAGE])
def test_a_put(before: Callable[[Node], FoundPage], page: bytes) -> None:
    node = Node()
    old = before(node)
    states = (old, page) if old != page else (page,)
    node.check(lambda: node.put(0, [page]), *states)


@pytest.mark.slow
@before_each
@pytest.mark.parametrize(
    ("operation", "after"),
    [
        (lambda node: extents.put_zeros(node.store, node.pool, OBJECT, 0, 30), ZERO_PAGE),
        (lambda node: drop_run(node.store, node.pool, OBJECT, 0, 30), HOLE),
    ],
    ids=["zeros", "flush"],
)
def test_a_page_that_ends(
    before: Callable[[Node], FoundPage], operation: Callable[[Node], object], after: FoundPage
) -> None:
    node = Node()
    old = before(node)
    node.check(lambda: operation(node), *((old, after) if old != after else (after,)))


@before_each
def test_a_put_that_is_refused(before: Callable[[Node], FoundPage]) -> None:
    node = Node()
    old = before(node)
    after = LOST if old != HOLE else HOLE
    states = (old, after) if old != after else (after,)
    node.check(lambda: node.store.refuse(node.pool, OBJECT, 0, 1), *states)


@pytest.mark.slow
@pytest.mark.usefixtures("each_loops")
def test_a_run_of_puts_over_pages_of_all_kinds() -> None:
    node = Node()
    old = [OLD, FILLED, RAW, ZERO_PAGE, LARGER, OLD]
    new = [NEW, OLD, FILLED, RAW, ZERO_PAGE, LARGER]
    node.put(0, old)
    for attached in node.crashing.crashes(lambda: node.put(0, new)):
        found = [attached.page(node.pool, OBJECT, index) for index in range(len(old))]
        assert any(found == new[:done] + old[done:] for done in range(len(old) + 1))


@pytest.mark.usefixtures("each_loops")
def test_a_put_into_the_slot_that_a_page_before_it_had() -> None:
    node = Node()
    classes = node.store.zbud.stacks(Family.OWN_PERSISTENT)
    others = 0
    node.put(0, [OLD, LARGER])
    chunks = node.store.zbud.chunks_of_block[node.store.versions.block_of(node.row())]
    while classes[chunks]:
        others += 1
        node.put(1 + others, [make_page(700, 50 + others)])
    slot = node.store.rows.location(node.row())
    old, new = [OLD, LARGER], [make_page(2000, 5), NEW]
    for attached in node.crashing.crashes(lambda: node.put(0, new)):
        found = [attached.page(node.pool, OBJECT, index) for index in range(2)]
        assert found in (old, [new[0], old[1]], new), attached.where
    assert node.store.rows.location(node.row(1)) == slot


@pytest.mark.usefixtures("each_loops")
def test_pages_that_leave() -> None:
    node = Node()
    node.put(0, [OLD, make_page(700, 9)])
    block = begin_leaving(node.store.versions, node.begin())
    node.put(1, [NEW])
    node.check(lambda: end_leaving(node.store.versions, block, ONE, OTHER), OLD, (ONE, OTHER))
    assert node.store.versions.take_owed() == {}


@pytest.mark.usefixtures("each_loops")
def test_pages_that_are_copied() -> None:
    node = Node()
    node.put(0, [OLD, make_page(700, 9)])
    block = begin_leaving(node.store.versions, node.begin())
    rows = block.rows
    node.crashing.store.check_invariants()
    clean = set()
    for attached in node.crashing.crashes(lambda: keep_leaving(node.store.versions, block, ONE)):
        assert attached.page(node.pool, OBJECT, 0) == OLD
        # All pages of a block have copies, or none has.
        held = [attached.holders(row) for row in rows]
        assert held in ([[], []], [[ONE], [ONE]])
        clean.add(bool(held[0]))
    assert clean == {False, True}


def test_copies_that_are_given_up() -> None:
    node = Node()
    node.put(0, [OLD, make_page(700, 9)])
    node.remotify(ONE, OTHER, stays=True)
    node.check(node.store.room.adopt_oldest, OLD)
    assert node.store.rows.holders(node.row()) == []


def test_a_damaged_copy_is_dropped_for_those_at_peers() -> None:
    node = Node()
    node.put(0, [OLD, make_page(700, 9)])
    node.remotify(ONE, OTHER, stays=True)
    flip_a_bit(node.store, node.pool, 0)
    page = make_page(700, 9)
    block = node.store.versions.block_of(node.row())
    node.check(partial(node.store.room.adopt_block, block, dead_holder=OTHER), page, index=1)
    assert node.store.rows.holders(node.row()) == [ONE]


def test_a_damaged_page_that_nobody_else_has() -> None:
    node = Node()
    node.put(0, [OLD, make_page(700, 9)])
    flip_a_bit(node.store, node.pool, 1)
    row = node.row(1)
    node.check(lambda: node.store.versions.on_corrupt(row), OLD)
    assert row_of(node.store, node.pool, 1) == LOST


@pytest.mark.usefixtures("each_loops")
def test_a_copy_that_is_dropped_for_those_at_peers() -> None:
    node = Node()
    node.put(0, [OLD, make_page(700, 9)])
    node.remotify(ONE, OTHER, stays=True)
    block = node.store.versions.block_of(node.row())
    node.check(partial(node.store.room.evict_block, block), OLD, (ONE, OTHER))
    assert node.store.zbud.is_free(block)


def test_a_holder_that_died() -> None:
    node = Node()
    node.put(0, [OLD, make_page(700, 9)])
    node.remotify(ONE, OTHER)
    sweep = partial(lose_held_by, node.store.room, OTHER, 0, 100)
    node.check(sweep, (ONE, OTHER), (ONE,))
    for attached in node.crashing.crashes(lambda: node.store.rows.remove_holder(node.row(), 1)):
        assert attached.page(node.pool, OBJECT, 0) == (ONE,)


def test_a_last_copy_that_is_lost() -> None:
    node = Node()
    node.put(0, [OLD])
    node.remotify(ONE)
    node.check(lambda: node.store.versions.lose(node.row()), (ONE,), LOST)


@pytest.mark.usefixtures("each_loops")
def test_a_page_that_comes_back() -> None:
    node = Node()
    node.put(0, [OLD])
    node.remotify(ONE, OTHER)
    node.put(1, make_run(700, 16, seed=8))  # where it was
    node.remotify(ONE)
    _, zpage, _ = encode_page(OLD)
    node.check(lambda: install(node.store.room, node.row(), zpage), (ONE, OTHER), OLD)
    assert node.store.rows.holders(node.row()) == [ONE, OTHER]


@pytest.mark.usefixtures("each_loops")
def test_a_page_that_comes_back_where_another_is_already() -> None:
    """Into a slot that is ready, which had another page before."""
    node = Node()
    node.put(0, [OLD, *make_run(700, 20, seed=8)])
    node.remotify(ONE, OTHER)
    for index in (3, 4, 5):
        _, zpage, _ = encode_page(make_run(700, 20, seed=8)[index - 1])
        assert install(node.store.room, node.row(index), zpage)
    _, zpage, _ = encode_page(OLD)
    chunks = -(-len(zpage) // CHUNK_BYTES)
    assert node.store.zbud.stacks(Family.OWN_CLEAN)[chunks]
    node.check(lambda: install(node.store.room, node.row(), zpage), (ONE, OTHER), OLD)


@pytest.mark.usefixtures("each_loops")
def test_an_ephemeral_page_that_comes_back() -> None:
    node = Node(PoolKind.EPHEMERAL)
    node.put(0, [OLD])
    block = node.store.zbud.oldest(Family.OWN_EPHEMERAL)
    assert block is not None
    leaving = begin_leaving(node.store.versions, block)
    node.check(lambda: end_leaving(node.store.versions, leaving, ONE), OLD, (ONE,))
    node.put(1, make_run(700, 16, seed=8))  # where it was
    _, zpage, _ = encode_page(OLD)
    node.check(lambda: install(node.store.room, node.row(), zpage), (ONE,), OLD)
    assert node.store.rows.holders(node.row()) == []


@pytest.mark.slow
@pytest.mark.parametrize("is_clean", [False, True])
def test_compaction(is_clean: bool) -> None:
    node = Node()
    pages = make_run(700, 48)
    node.put(0, pages)
    while is_clean and node.store.zbud.oldest(Family.OWN_PERSISTENT):
        node.remotify(ONE, stays=True)
    for index in set(range(48)) - {0, 17, 33}:
        drop_run(node.store, node.pool, OBJECT, index, 1)
    compactor = Compactor(node.store.versions)
    for attached in node.crashing.crashes(lambda: compactor.compact(100)):
        for index in (0, 17, 33):
            assert attached.page(node.pool, OBJECT, index) == pages[index]
    assert compactor.moved_total == 2


@pytest.mark.usefixtures("each_loops")
def test_foreign_pages() -> None:
    node = Node()
    pool = node.store.new_pool(PoolKind.PERSISTENT, owner_pool(3, 1))
    pages = {serial: make_page(700, serial) for serial in (64, 65, 66)}

    def put(*serials: int) -> None:
        encoded = [encode_page(pages[serial]) for serial in serials]
        kept = put_zpages(
            node.store,
            pool,
            *columns.of_zpages(
                serials,
                [checksum for _, _, checksum in encoded],
                [packed for packed, _, _ in encoded],
            ),
            memoryview(b"".join(zpage for _, zpage, _ in encoded)),
        )
        assert kept == len(serials)

    put(64)
    for attached in node.crashing.crashes(lambda: put(65, 66)):
        found = [attached.page(pool, FOREIGN_OBJECT, serial) for serial in pages]
        assert found[0] == pages[64]
        assert found[1:] in ([HOLE, HOLE], [pages[65], HOLE], [pages[65], pages[66]])


@pytest.mark.slow
def test_what_is_evicted_for_a_put_is_gone_before_its_slot_is_used() -> None:
    node = Node(frames=19)
    cache = node.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    node.put(ANCHOR, [FILLED], cache)
    old = make_run(PAGE_BYTES, 16)
    node.put(0, old, cache)
    new = make_run(PAGE_BYTES, 3, seed=5)
    node.put(0, [OLD] * 3)
    for attached in node.crashing.crashes(lambda: node.put(0, new)):
        found = [attached.page(node.pool, OBJECT, index) for index in range(3)]
        assert any(found == new[:done] + [OLD] * (3 - done) for done in range(4))
        cached = [attached.page(cache, OBJECT, index) for index in range(16)]
        assert all(page in (old[index], HOLE) for index, page in enumerate(cached))
    assert node.store.counters.evicted == 16


@pytest.mark.parametrize("copies", [1, 2])
def test_a_clean_block_that_goes_or_stays_for_a_put_over_one_of_its_pages(copies: int) -> None:
    """With one copy that is enough it is evicted; with one that is too few it becomes ours alone."""
    node = Node(frames=19)
    node.store.set_copies(node.pool, copies)
    old = make_run(PAGE_BYTES, 16)
    node.put(0, old)
    node.remotify(ONE, stays=True)
    new, serial, done = make_page(2000, 3), node.store.rows.serial(node.row()), list[int]()
    for attached in node.crashing.crashes(
        lambda: done.append(node.store.put(node.pool, OBJECT, 0, joined([new])))
    ):
        assert attached.page(node.pool, OBJECT, 0) in (old[0], (ONE,), new), attached.where
        assert attached.page(node.pool, OBJECT, 1) in (old[1], (ONE,)), attached.where
    assert done == [1 if copies == 1 else 0]
    if copies == 1:
        assert node.store.versions.take_owed() == {ONE: [serial]}


# Serials.


def test_serials_are_reserved_before_the_first_of_them_and_seldom() -> None:
    node = Node()
    asked: list[int] = []

    def reserve(serial_last: int) -> int:
        asked.append(serial_last)
        return serial_last + 100

    node.store.versions.limit_serials(node.store.versions.serial_last, reserve)
    node.put(0, [OLD])
    first = node.store.rows.serial(node.row())
    assert asked == [first - 1]
    for _ in range(99):
        node.put(0, [FILLED])
    assert asked == [first - 1]
    node.put(0, [OLD])
    assert asked == [first - 1, first + 99]
