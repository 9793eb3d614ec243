from dataclasses import replace

import pytest

from ramsterd.core import traffic
from ramsterd.core.codec import PACKED_RAW, encode_page
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.rows import FIRST_ROW, FRAME_ROWS
from ramsterd.core.store import Store
from ramsterd.core.zbud import Family
from tests.helpers.made_pages import joined, make_fill, make_page, make_run, make_store

OBJECT = b""
A, B, C = 11, 12, 13


class Node:
    """A store with one persistent pool, and the zpages that its peers keep, by serial."""

    def __init__(self) -> None:
        self.store = make_store()
        self.pool = self.store.new_pool(PoolKind.PERSISTENT, "disk")
        self.zpages: dict[int, bytes] = {}

    def put(self, index: int, pages: list[bytes]) -> None:
        assert self.store.put(self.pool, OBJECT, index, joined(pages)) == len(pages)

    def begin(self) -> traffic.Leaving:
        block = self.store.zbud.oldest(Family.OWN_PERSISTENT)
        assert block is not None
        leaving = traffic.begin_leaving(self.store, block)
        start = 0
        for serial, packed in zip(leaving.serials, leaving.packed, strict=True):
            end = start + (packed & 0x1FFF)
            self.zpages[serial] = leaving.body[start:end]
            start = end
        self.store.check_invariants()
        return leaving

    def remotify(self, *holders: int) -> None:
        """Move the oldest block to its holders."""
        leaving = self.begin()
        assert traffic.end_leaving(self.store, leaving, holders[0]) == []
        for row in leaving.rows:
            self.store.rows.set_holders(row, holders)
        self.store.check_invariants()

    def elsewhere(self, index: int, count: int = 1) -> list[int]:
        """Return the rows of the pages of a run that only peers have."""
        return [row for _, row in self.store.get(self.pool, OBJECT, index, count).elsewhere]

    def fetch(self, row: int) -> bool:
        installed = traffic.install(self.store, row, self.zpages[self.store.rows.serial(row)])
        self.store.check_invariants()
        return installed

    def lose(self, holder: int) -> int:
        """Sweep for a dead holder in small slices."""
        row, lost = 0, 0
        while True:
            swept = traffic.lose_held_by(self.store, holder, row, 3)
            row, lost_here = swept.next_row, swept.lost
            self.store.check_invariants()
            lost += lost_here
            if not row:
                return lost


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_block_that_left_is_elsewhere_and_comes_home(node: Node) -> None:
    run = make_run(1000, 10)
    node.put(0, run)
    node.remotify(A)
    rows = node.elsewhere(0, 10)
    assert len(rows) == 10
    assert node.store.zbud.used_bytes == 0
    assert all(node.fetch(row) for row in rows)
    assert node.store.get(node.pool, OBJECT, 0, 10).pages == run
    assert node.store.statistics().zpages[Family.OWN_CLEAN] == 10
    assert node.store.take_owed() == {}


def test_a_block_that_is_leaving_stays_readable_and_may_stay(node: Node) -> None:
    run = make_run(1000, 10)
    node.put(0, run)
    leaving = node.begin()
    assert node.store.get(node.pool, OBJECT, 0, 10).pages == run
    traffic.return_leaving(node.store, leaving)
    node.store.check_invariants()
    assert node.begin().rows == leaving.rows


def test_a_page_put_again_or_flushed_while_it_leaves_is_overtaken(node: Node) -> None:
    node.put(0, make_run(1000, 4))
    leaving = node.begin()
    node.put(1, [make_page(1000, 99)])
    node.store.flush(node.pool, OBJECT, 2, 1)
    assert traffic.end_leaving(node.store, leaving, A) == leaving.serials[1:3]
    node.store.check_invariants()
    assert len(node.elsewhere(0, 4)) == 2
    assert node.store.get(node.pool, OBJECT, 1, 2).pages == [make_page(1000, 99), None]
    assert node.store.take_owed() == {}


def test_a_foreign_page_with_our_serial_in_our_row_is_not_taken_for_ours(node: Node) -> None:
    """Serials are unique to an owner only; rows are shared."""
    node.put(0, make_run(1000, 1))
    leaving = node.begin()
    node.put(100, [make_fill(each) for each in range(1, FRAME_ROWS - FIRST_ROW)])
    node.store.flush(node.pool, OBJECT, 0, 1)
    foreign = node.store.new_pool(PoolKind.PERSISTENT, "theirs", is_foreign=True)
    [serial] = leaving.serials
    assert put_foreign(node.store, foreign, {serial: make_page(500)}) == 1
    assert node.store.rows.serial(leaving.rows[0]) == serial, "the row was not used again"
    assert traffic.end_leaving(node.store, leaving, A) == [serial]
    node.store.check_invariants()
    packed, _ = traffic.get_zpages(node.store, foreign, [serial])
    assert packed != [0]


def test_what_replaces_or_drops_a_remote_page_owes_its_holders_a_flush(node: Node) -> None:
    node.put(0, make_run(1000, 3))
    node.remotify(A, B)
    node.put(0, [make_page(10)])
    node.store.flush(node.pool, OBJECT, 1, 1)
    node.store.put_zeros(node.pool, OBJECT, 2, 1)
    assert node.store.take_owed() == {A: [1, 2, 3], B: [1, 2, 3]}
    assert node.store.take_owed() == {}


def test_a_page_comes_home_once(node: Node) -> None:
    """Two fetches of one page may be answered."""
    node.put(0, make_run(1000, 1))
    node.remotify(A)
    [row] = node.elsewhere(0)
    assert node.fetch(row)
    assert not node.fetch(row)
    assert node.store.statistics().zpages[Family.OWN_CLEAN] == 1


def test_nothing_comes_home_above_the_watermark(node: Node) -> None:
    node.put(0, make_run(1000, 1))
    node.remotify(A)
    [row] = node.elsewhere(0)
    node.put(1, make_run(PAGE_BYTES, 480))
    assert not node.fetch(row)
    node.store.flush(node.pool, OBJECT, 1, 480)
    assert node.fetch(row)


def test_nothing_comes_home_when_no_block_can_be_made(node: Node) -> None:
    node.put(0, make_run(PAGE_BYTES, 1))
    node.remotify(A)
    [row] = node.elsewhere(0)
    node.store.set_budget(8192)
    assert not node.fetch(row)


def test_clean_copies_are_dropped_for_any_page_of_ours(node: Node) -> None:
    run = make_run(PAGE_BYTES, 64)
    node.put(0, run)
    for _ in range(4):
        node.remotify(A)
    for row in node.elsewhere(0, 64):
        assert node.fetch(row)
    node.put(100, make_run(PAGE_BYTES, 512))
    node.store.check_invariants()
    assert len(node.elsewhere(0, 64)) == 64
    assert node.store.statistics().evicted_total == 0


def test_pages_that_only_a_dead_holder_had_are_lost(node: Node) -> None:
    node.put(0, make_run(1000, 5))
    node.remotify(A)
    assert node.lose(A) == 5
    found = node.store.get(node.pool, OBJECT, 0, 5)
    assert (found.pages, found.lost_count) == ([None] * 5, 5)
    assert node.store.statistics().lost_total == 5
    assert node.store.take_owed() == {}


def test_pages_that_another_holder_has_too_are_not_lost(node: Node) -> None:
    node.put(0, make_run(1000, 5))
    node.remotify(A, B, C)
    assert node.lose(A) == 0
    assert node.lose(C) == 0
    assert [node.store.rows.holders(row) for row in node.elsewhere(0, 5)] == [[B]] * 5
    node.store.flush(node.pool, OBJECT, 0, 1)
    assert node.store.take_owed() == {B: [1]}
    assert node.lose(B) == 4


def test_clean_copies_of_a_dead_holder_are_ours_again(node: Node) -> None:
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
def test_an_adopted_block_has_no_holders_left(node: Node, holders: tuple[int, ...]) -> None:
    node.put(0, make_run(1000, 1))
    node.remotify(*holders)
    [row] = node.elsewhere(0)
    node.fetch(row)
    assert node.lose(A) == 0
    node.store.check_invariants()
    assert node.store.rows.holders(row) == []
    assert node.store.take_owed() == {holder: [1] for holder in holders if holder != A}


def test_blocks_without_pages_of_the_dead_holder_stay_clean(node: Node) -> None:
    node.put(0, make_run(1000, 1))
    node.remotify(B)
    [row] = node.elsewhere(0)
    node.fetch(row)
    assert node.lose(A) == 0
    assert node.store.statistics().zpages[Family.OWN_CLEAN] == 1


def test_a_page_installed_before_the_sweep_is_kept(node: Node) -> None:
    """The reply was under way when its sender died."""
    node.put(0, make_run(1000, 2))
    node.remotify(A)
    rows = node.elsewhere(0, 2)
    node.fetch(rows[1])
    assert node.lose(A) == 1
    found = node.store.get(node.pool, OBJECT, 0, 2)
    assert (found.pages, found.lost_count) == ([None, make_page(1000, 1)], 1)


def test_a_slice_ends_early_when_much_has_changed(node: Node) -> None:
    node.put(0, make_run(1000, 10))
    node.remotify(A)
    for row in node.elsewhere(0, 4):
        node.fetch(row)
    lost, row, slices = 0, 0, 0
    while True:
        swept = traffic.lose_held_by(node.store, A, row, 1000, pages_max=3)
        lost, row, slices = lost + swept.lost, swept.next_row, slices + 1
        if not row:
            break
    assert (lost, slices) == (6, 3)
    assert node.store.statistics().zpages[Family.OWN_PERSISTENT] == 4


def test_a_clean_copy_of_a_dead_holder_is_not_dropped_before_the_sweep(node: Node) -> None:
    """Whoever buries a holder says so to the store; the sweep may take its time."""
    run = make_run(PAGE_BYTES, 16)
    node.put(0, run)
    node.remotify(A)
    for row in node.elsewhere(0, 16):
        node.fetch(row)
    node.store.unreachable_holders.add(A)
    # As many as there is room for beside these.
    assert node.store.put(node.pool, OBJECT, 100, joined(make_run(PAGE_BYTES, 600))) == 496
    assert node.lose(A) == 0
    assert node.store.get(node.pool, OBJECT, 0, 16).pages == run


def test_a_damaged_copy_here_leaves_its_page_with_fewer_copies(node: Node) -> None:
    """Whoever copies again is told: the page is at its holders alone, and one of them may be gone."""
    node.put(0, make_run(1000, 3))
    node.remotify(A, B)
    rows = node.elsewhere(0, 3)
    for row in rows:
        node.fetch(row)
    store = node.store
    assert store.thinned == []
    store.zbud.arena[store.zbud.offset(store.rows.location(rows[0]))] ^= 1
    store.get(node.pool, OBJECT, 0, 1)
    assert store.thinned == [rows[0]]
    store.zbud.arena[store.zbud.offset(store.rows.location(rows[1]))] ^= 1
    assert node.lose(A) == 0
    assert store.thinned == rows[:2]
    assert store.rows.holders(rows[1]) == [B]
    assert store.rows.holders(rows[2]) == []


# Ephemeral pages.


def send_ephemeral(node: Node, holder: int) -> None:
    block = node.store.zbud.oldest(Family.OWN_EPHEMERAL)
    assert block is not None
    leaving = traffic.begin_leaving(node.store, block)
    for serial, row in zip(leaving.serials, leaving.rows, strict=True):
        start = node.store.zbud.offset(node.store.rows.location(row))
        zbytes = node.store.rows.packed(row) & 0x1FFF
        node.zpages[serial] = bytes(node.store.zbud.arena[start : start + zbytes])
    assert traffic.end_leaving(node.store, leaving, holder) == []
    node.store.check_invariants()


@pytest.fixture
def cache() -> Node:
    """Return a node whose only pool is ephemeral."""
    node = Node()
    node.store.destroy_pool(node.pool)
    node.pool = node.store.new_pool(PoolKind.EPHEMERAL, "cache")
    return node


def test_an_ephemeral_page_that_comes_home_is_no_copy(cache: Node) -> None:
    """Its holder is owed a flush, and it may leave again."""
    run = make_run(1000, 4)
    cache.put(0, run)
    send_ephemeral(cache, A)
    first, *others = cache.elsewhere(0, 4)
    assert cache.fetch(first)
    assert cache.store.get(cache.pool, OBJECT, 0, 1).pages == run[:1]
    zpages = cache.store.statistics().zpages
    assert (zpages[Family.OWN_EPHEMERAL], zpages[Family.OWN_CLEAN]) == (1, 0)
    assert cache.store.take_owed() == {A: [1]}
    send_ephemeral(cache, B)
    assert cache.elsewhere(0, 4) == [first, *others]
    assert cache.lose(A) == 3
    assert cache.elsewhere(0, 4) == [first]


def test_ephemeral_pages_of_a_dead_holder_are_holes(cache: Node) -> None:
    cache.put(0, make_run(1000, 4))
    send_ephemeral(cache, A)
    assert cache.lose(A) == 4
    found = cache.store.get(cache.pool, OBJECT, 0, 4)
    assert (found.pages, found.elsewhere, found.lost_count) == ([None] * 4, [], 0)
    assert cache.store.statistics().lost_total == 0
    assert cache.store.statistics().rows == 0


def test_nothing_is_evicted_for_an_ephemeral_page_that_could_come_home(cache: Node) -> None:
    cache.put(0, make_run(PAGE_BYTES, 16))
    send_ephemeral(cache, A)
    rows = cache.elsewhere(0, 16)
    cache.put(100, make_run(1000, 14))
    cache.store.zbud.budget_bytes = cache.store.zbud.used_bytes
    cache.store.zbud.trim()
    cache.store.limits = replace(cache.store.limits, high_watermark=1.0)
    assert not cache.fetch(rows[0])
    assert cache.store.statistics().evicted_total == 0


# Foreign pages.


def put_foreign(store: Store, pool: PoolId, versions: dict[int, bytes]) -> int:
    encoded = [encode_page(page) for page in versions.values()]
    stored = traffic.put_zpages(
        store,
        pool,
        list(versions),
        [checksum for _, _, checksum in encoded],
        [packed for packed, _, _ in encoded],
        memoryview(b"".join(zpage for _, zpage, _ in encoded)),
    )
    store.check_invariants()
    return stored


def foreign_pool(node: Node, kind: PoolKind) -> PoolId:
    return node.store.new_pool(kind, "theirs", is_foreign=True)


def test_foreign_zpages_are_found_by_serial_until_they_are_flushed(node: Node) -> None:
    pool = foreign_pool(node, PoolKind.PERSISTENT)
    pages = {5: make_page(800), 70: make_page(PAGE_BYTES), 1 << 40: make_page(90)}
    assert put_foreign(node.store, pool, pages) == 3
    assert node.store.flush(pool, traffic.FOREIGN_OBJECT, 5, 1) == 1
    packed, pieces = traffic.get_zpages(node.store, pool, [1 << 40, 5, 6, 70])
    assert packed == [encode_page(make_page(90))[0], 0, 0, PACKED_RAW]
    assert [bytes(piece) for piece in pieces] == [encode_page(make_page(90))[1], pages[70]]
    assert node.store.destroy_pool(pool) == 2


def test_a_pool_without_pages_has_none_to_give(node: Node) -> None:
    pool = foreign_pool(node, PoolKind.PERSISTENT)
    assert traffic.get_zpages(node.store, pool, [1, 2]) == ([0, 0], [])


def test_a_foreign_page_that_comes_twice_is_kept_once(node: Node) -> None:
    pool = foreign_pool(node, PoolKind.PERSISTENT)
    pages = {serial: make_page(800, serial) for serial in range(1, 5)}
    assert put_foreign(node.store, pool, pages) == 4
    assert put_foreign(node.store, pool, pages | {9: make_page(100)}) == 5
    assert node.store.statistics().zpages[Family.FOREIGN_PERSISTENT] == 5


def test_foreign_pages_are_taken_as_far_as_there_is_room(node: Node) -> None:
    node.put(0, make_run(PAGE_BYTES, 512 - 32))
    pool = foreign_pool(node, PoolKind.PERSISTENT)
    pages = {serial: make_page(PAGE_BYTES, serial) for serial in range(100, 140)}
    assert put_foreign(node.store, pool, pages) == 32
    assert put_foreign(node.store, pool, {500: make_page(PAGE_BYTES)}) == 0
    packed, _ = traffic.get_zpages(node.store, pool, list(range(100, 140)))
    assert packed == [PACKED_RAW] * 32 + [0] * 8


def test_foreign_ephemeral_pages_displace_each_other_only(node: Node) -> None:
    cache = node.store.new_pool(PoolKind.EPHEMERAL, "ours")
    assert node.store.put(cache, OBJECT, 0, joined(make_run(PAGE_BYTES, 480))) == 480
    pool = foreign_pool(node, PoolKind.EPHEMERAL)
    pages = {serial: make_page(PAGE_BYTES, serial) for serial in range(1, 200)}
    assert put_foreign(node.store, pool, pages) == 199
    assert None not in node.store.get(cache, OBJECT, 0, 480).pages
    packed, _ = traffic.get_zpages(node.store, pool, [1, 199])
    assert packed == [0, PACKED_RAW]


def test_foreign_pages_are_taken_as_far_as_there_are_leaves() -> None:
    node = Node()
    node.store = make_store(pages_max=10)
    pool = foreign_pool(node, PoolKind.EPHEMERAL)
    sparse = {serial: make_page(100, serial) for serial in range(64, 64 * 40, 64)}
    assert put_foreign(node.store, pool, sparse) == len(sparse)
    kept = foreign_pool(node, PoolKind.PERSISTENT)
    assert put_foreign(node.store, kept, sparse) == 10


def test_a_clean_copy_whose_holder_may_be_dead_is_not_dropped(node: Node) -> None:
    """Nobody knows yet whether the holder lives: what is here may be the last copy."""
    run = make_run(PAGE_BYTES, 16)
    node.put(0, run)
    node.remotify(A)
    for row in node.elsewhere(0, 16):
        assert node.fetch(row)
    node.store.unreachable_holders.add(A)
    assert node.store.evict_some([Family.OWN_CLEAN], 0, 10) == 1
    node.store.check_invariants()
    assert node.elsewhere(0, 16) == []
    assert node.store.zpages[Family.OWN_PERSISTENT] == 16
    assert len(node.store.take_owed()[A]) == 16


def test_the_oldest_clean_block_is_adopted(node: Node) -> None:
    node.put(0, make_run(PAGE_BYTES, 16))
    node.remotify(A, B)
    for row in node.elsewhere(0, 16):
        assert node.fetch(row)
    assert traffic.adopt_oldest(node.store) == 16
    node.store.check_invariants()
    assert {holder: len(owed) for holder, owed in node.store.take_owed().items()} == {A: 16, B: 16}
    assert traffic.adopt_oldest(node.store) == 0


@pytest.mark.parametrize("damaged", [1, 16])
def test_a_damaged_copy_here_is_not_adopted_for_a_good_one_there(node: Node, damaged: int) -> None:
    node.put(0, make_run(PAGE_BYTES, 16))
    node.remotify(A, B)
    rows = node.elsewhere(0, 16)
    for row in rows:
        assert node.fetch(row)
    store = node.store
    for row in rows[:damaged]:
        store.zbud.arena[store.zbud.offset(store.rows.location(row)) + 9] ^= 1
    assert traffic.adopt_oldest(store) == 16 - damaged
    store.check_invariants()
    assert store.counters.corrupt == damaged
    assert node.elsewhere(0, 16) == rows[:damaged]
    owed = store.take_owed()
    assert {holder: len(serials) for holder, serials in owed.items()} == (
        {A: 16 - damaged, B: 16 - damaged} if damaged < 16 else {}
    )
