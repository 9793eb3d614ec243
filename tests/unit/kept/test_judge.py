"""One page of a kept memory, and each thing that may be wrong with it."""

from collections.abc import Callable
from typing import Final

import pytest

from ramsterd.core.block_columns import pack_block, unpack_block
from ramsterd.core.codec import encode_page
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import put_zpages
from ramsterd.core.leaving import begin_leaving, end_leaving, keep_leaving
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool, owner_pool, program_pool
from ramsterd.core.rows import (
    ADDRESS,
    HALVES_PER_ROW,
    HOLDERS,
    LOCATION,
    PACKED,
    QUARTERS_PER_ROW,
    SERIAL,
    WORDS_PER_ROW,
)
from ramsterd.core.size_classes import CHUNK_BYTES, SLOT_SHIFT
from ramsterd.core.store import Store
from ramsterd.core.table_words import HOLE, LOST
from ramsterd.kept.judge import Judgement, judge
from ramsterd.kept.repair import repair
from ramsterd.kept.suspects import LEFT_BY_CRASH, Fault
from tests.helpers import columns
from tests.helpers.kept_image import KeptImage
from tests.helpers.made_pages import joined, make_fill, make_page, make_run, make_store

DISK: Final = PoolKind.PERSISTENT
OBJECT: Final = b""
A, B, STRANGER = 1, 2, 9
# Of these pages the first is looked at: here, at a holder, in both places, and in a pool of each kind.
LOCAL, REMOTE, CLEAN, CACHED, FILL, FOREIGN, FOREIGN_CACHED = range(7)


class Kept:
    """An image of a store with a block of pages of each kind."""

    def __init__(self) -> None:
        store = make_store()
        disk = store.new_pool(DISK, export_pool("disk"))
        cache = store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
        for index, zbytes in ((0, 500), (100, 900), (200, 1300)):
            assert store.put(disk, OBJECT, index, joined(make_run(zbytes, 4, index))) == 4
        assert store.put(disk, OBJECT, 300, joined([make_fill(7)])) == 1
        assert store.put(cache, OBJECT, 0, joined(make_run(700, 4))) == 4
        blocks = list(store.zbud.blocks(Family.OWN_PERSISTENT))
        remote = begin_leaving(store.versions, blocks[1])
        assert end_leaving(store.versions, remote, A, B) == []
        clean = begin_leaving(store.versions, blocks[2])
        assert keep_leaving(store.versions, clean, A, B) == []
        foreign = [store.new_pool(kind, owner_pool(2, 1)) for kind in PoolKind]
        for pool in foreign:
            put_foreign(pool, range(5, 9), store=store)
        self.handles = [
            (disk, 0), (disk, 100), (disk, 200), (cache, 0), (disk, 300), (foreign[0], 5), (foreign[1], 5),
        ]  # fmt: skip
        self.image = KeptImage(store, holders={A, B})
        self.image.check()

    def address(self, page: int) -> int:
        pool, index = self.handles[page]
        page_object = self.image.store.pools[pool].objects[OBJECT]
        return self.image.store.table.find(page_object, index, 1)[0]

    def row(self, page: int) -> int:
        return self.image.entries[self.address(page)]

    def location(self, page: int) -> int:
        return self.image.rows.cast("I")[self.row(page) * HALVES_PER_ROW + LOCATION]

    def set_entry(self, page: int, entry: int) -> None:
        self.image.entries[self.address(page)] = entry

    def set_word(self, page: int, place: int, value: int) -> None:
        self.image.rows.cast("Q")[self.row(page) * WORDS_PER_ROW + place] = value

    def set_half(self, page: int, place: int, value: int) -> None:
        self.image.rows.cast("I")[self.row(page) * HALVES_PER_ROW + place] = value

    def set_packed(self, page: int, packed: int) -> None:
        self.image.rows.cast("H")[self.row(page) * QUARTERS_PER_ROW + PACKED] = packed

    def set_holders(self, page: int, *holders: int) -> None:
        for place in range(3):
            holder = holders[place] if place < len(holders) else 0
            self.image.rows.cast("H")[self.row(page) * QUARTERS_PER_ROW + HOLDERS + place] = holder

    def set_slot_row(self, page: int, row: int) -> None:
        self.image.slot_rows[self.location(page)] = row

    def set_block(self, page: int, *, family: Family | None = None, chunks: int = -1) -> None:
        block = self.location(page) >> SLOT_SHIFT
        stamp, old_family, old_chunks = unpack_block(self.image.blocks[block])
        self.image.blocks[block] = pack_block(
            stamp,
            Family(old_family) if family is None else family,
            old_chunks if chunks < 0 else chunks,
        )

    def judge(self) -> Judgement:
        tables = self.image.tables()
        found = judge(tables)
        repair(tables, found)
        again = judge(tables)
        assert not again.faults
        assert not again.repairs
        assert (again.zpages, again.zpage_bytes) == (found.zpages, found.zpage_bytes)
        return found


def put_foreign(pool: PoolId, serials: range, *, store: Store) -> None:
    encoded = [encode_page(make_page(600, serial)) for serial in serials]
    put_zpages(
        store,
        pool,
        *columns.of_zpages(
            serials,
            [checksum for _, _, checksum in encoded],
            [packed for packed, _, _ in encoded],
        ),
        memoryview(b"".join(zpage for _, zpage, _ in encoded)),
    )


FAMILIES: Final = {
    LOCAL: Family.OWN_PERSISTENT,
    REMOTE: Family.OWN_PERSISTENT,
    CLEAN: Family.OWN_PERSISTENT,
    CACHED: Family.OWN_EPHEMERAL,
    FILL: Family.OWN_PERSISTENT,
    FOREIGN: Family.FOREIGN_PERSISTENT,
    FOREIGN_CACHED: Family.FOREIGN_EPHEMERAL,
}
ANY_PAGE: Final = pytest.mark.parametrize("page", FAMILIES)
Damage = Callable[[Kept, int], None]


@ANY_PAGE
@pytest.mark.parametrize(
    ("fault", "damage"),
    [
        (Fault.NO_ROW, lambda kept, page: kept.set_entry(page, (1 << 32) - 1)),
        (Fault.NO_ROW, lambda kept, page: kept.set_entry(page, 4000)),
        (Fault.NO_ROW, lambda kept, page: kept.set_half(page, ADDRESS, 3)),
        (Fault.NO_ROW, lambda kept, page: kept.set_word(page, SERIAL, 0)),
        (Fault.SERIAL, lambda kept, page: kept.set_word(page, SERIAL, 1 << 40)),
        (Fault.ENCODING, lambda kept, page: kept.set_packed(page, 0)),
        (Fault.ENCODING, lambda kept, page: kept.set_packed(page, 0xFFFF)),
    ],
)
def test_a_page_whose_row_says_nothing_sure_is_lost_or_a_hole(
    page: int, fault: Fault, damage: Damage
) -> None:
    """Also if a holder has it: nobody could say whether what it gives is the version that was stored."""
    kept = Kept()
    damage(kept, page)
    found = kept.judge()
    family = FAMILIES[page]
    assert found.faults == {(fault, family): 1}
    assert found.broken == {family: 1}
    is_lost = family is Family.OWN_PERSISTENT
    assert kept.image.entries[kept.address(page)] == (LOST if is_lost else HOLE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept, page: kept.set_half(page, LOCATION, (1 << 32) - 1),
        lambda kept, page: kept.set_half(page, LOCATION, 31),
        lambda kept, page: kept.set_half(page, LOCATION, kept.location(page) | 31),
        lambda kept, page: kept.set_slot_row(page, 4000),
        lambda kept, page: kept.set_block(page, family=Family.OWN_EPHEMERAL),
        lambda kept, page: kept.set_block(page, family=Family.FOREIGN_PERSISTENT),
        lambda kept, page: kept.set_block(page, chunks=0),
        lambda kept, page: kept.set_block(page, chunks=1),
        lambda kept, page: kept.set_packed(page, 3500),
    ],
)
@pytest.mark.parametrize("page", [LOCAL, CLEAN])
def test_a_zpage_that_is_not_in_a_slot_of_its_own_is_where_a_holder_has_it(
    page: int, damage: Damage
) -> None:
    kept = Kept()
    damage(kept, page)
    found = kept.judge()
    assert set(found.faults) == {(Fault.SLOT, Family.OWN_PERSISTENT)}
    if page == LOCAL:
        assert kept.image.entries[kept.address(page)] == LOST
        assert found.broken == {Family.OWN_PERSISTENT: found.faults.total()}
    else:
        assert kept.location(page) == 0
        assert not found.broken
        assert found.holder_pages[A] == found.holder_pages[B] == 8


def test_no_slot_is_anybodys_twice() -> None:
    kept = Kept()
    other = kept.image.entries[kept.address(LOCAL) + 1]
    kept.image.rows.cast("I")[other * HALVES_PER_ROW + LOCATION] = kept.location(LOCAL)
    found = kept.judge()
    assert found.faults == {(Fault.SLOT, Family.OWN_PERSISTENT): 1}
    assert kept.image.entries[kept.address(LOCAL)] == kept.row(LOCAL)
    assert kept.image.entries[kept.address(LOCAL) + 1] == LOST


def test_no_row_is_anybodys_twice() -> None:
    kept = Kept()
    kept.image.entries[kept.address(LOCAL) + 1] = kept.row(LOCAL)
    found = kept.judge()
    assert found.faults == {(Fault.NO_ROW, Family.OWN_PERSISTENT): 1}
    assert kept.image.entries[kept.address(LOCAL) + 1] == LOST


@pytest.mark.parametrize(
    ("holders", "left", "fault"),
    [
        ((A, STRANGER), (A,), Fault.UNKNOWN_HOLDER),
        ((STRANGER, B), (B,), Fault.UNKNOWN_HOLDER),
        ((A, A), (A,), Fault.HOLDER_TWICE),
        ((A, B, B), (A, B), Fault.HOLDER_TWICE),
        ((A, 0, B), (A, B), Fault.HOLDER_TWICE),
    ],
)
def test_a_page_at_peers_is_at_those_that_are_known(
    holders: tuple[int, ...], left: tuple[int, ...], fault: Fault
) -> None:
    kept = Kept()
    kept.set_holders(REMOTE, *holders)
    found = kept.judge()
    assert found.faults == {(fault, Family.OWN_PERSISTENT): 1}
    assert kept.image.rows.cast("H")[kept.row(REMOTE) * 16 + HOLDERS :][:3].tolist() == [
        *left,
        *[0] * (3 - len(left)),
    ]
    assert found.holder_pages == {A: 7 + left.count(A), B: 7 + left.count(B)}


@pytest.mark.parametrize(
    ("holders", "fault"), [((), Fault.NOWHERE), ((STRANGER,), Fault.UNKNOWN_HOLDER)]
)
def test_a_page_that_nobody_has_is_lost(holders: tuple[int, ...], fault: Fault) -> None:
    kept = Kept()
    kept.set_holders(REMOTE, *holders)
    found = kept.judge()
    assert found.faults == {(fault, Family.OWN_PERSISTENT): 1}
    assert kept.image.entries[kept.address(REMOTE)] == LOST


def test_an_ephemeral_page_that_nobody_has_is_a_miss_and_no_damage() -> None:
    """So a crash leaves it when its last holder was just forgotten, or has lost it."""
    kept = Kept()
    kept.set_half(CACHED, LOCATION, 0)
    found = kept.judge()
    assert found.faults == {(Fault.NOWHERE, Family.OWN_EPHEMERAL): 1}
    assert not found.broken
    assert kept.image.entries[kept.address(CACHED)] == HOLE


@pytest.mark.parametrize("page", [LOCAL, CACHED, FILL, FOREIGN, FOREIGN_CACHED])
def test_holders_of_a_page_that_is_ours_alone_are_forgotten(page: int) -> None:
    """So a crash leaves it between noting them and calling the block clean."""
    kept = Kept()
    kept.set_holders(page, A)
    found = kept.judge()
    assert found.faults == {(Fault.HELD_AND_HERE, FAMILIES[page]): 1}
    assert not found.broken
    assert found.holder_pages == {A: 8, B: 8}


def test_a_clean_block_with_a_page_that_no_holder_has_is_ours_alone() -> None:
    """So a crash leaves it in the middle of an adoption."""
    kept = Kept()
    kept.set_holders(CLEAN)
    block = kept.location(CLEAN) >> SLOT_SHIFT
    found = kept.judge()
    assert found.faults == {(Fault.CLEAN_WITHOUT_HOLDER, Family.OWN_PERSISTENT): 1}
    assert not found.broken
    assert unpack_block(kept.image.blocks[block])[1] == Family.OWN_PERSISTENT
    assert found.family_of_block[block] == Family.OWN_PERSISTENT
    assert found.zpages[Family.OWN_CLEAN] == 0
    assert +found.holder_pages == {A: 4, B: 4}


def test_a_page_that_is_same_filled_and_has_a_slot_is_lost() -> None:
    """It is one or the other, and nobody knows which; the slot stays whose it is."""
    kept = Kept()
    kept.set_half(FILL, LOCATION, kept.location(LOCAL))
    found = kept.judge()
    assert found.faults == {(Fault.SLOT, Family.OWN_PERSISTENT): 1}
    assert kept.image.entries[kept.address(FILL)] == LOST
    assert found.slot_zbytes[kept.location(LOCAL)]


def test_a_block_that_is_of_larger_slots_is_good_for_what_is_shorter() -> None:
    """At the budget a zpage takes the smallest larger slot that is free."""
    kept = Kept()
    longest = max(
        kept.image.rows.cast("H")[row * QUARTERS_PER_ROW + PACKED]
        for row in kept.image.store.zbud.rows(kept.location(LOCAL) >> SLOT_SHIFT)
    )
    kept.set_block(LOCAL, chunks=-(-longest // CHUNK_BYTES))
    assert not kept.judge().faults


def test_faults_of_a_crash_are_few() -> None:
    assert {Fault.NO_ROW, Fault.SLOT, Fault.SERIAL}.isdisjoint(LEFT_BY_CRASH)
