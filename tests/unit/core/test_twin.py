"""The compiled loops over a store: what they do not serve, and that they were built of these sources."""

import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ramsterd import compiled
from ramsterd.core.leaving import begin_leaving
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.passes import serve_pass
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.store import Store
from ramsterd.core.table import LEAF_PAGES, PageTable
from ramsterd.core.twin import LAYOUT, Twin
from tests.fakes.nbd_words import write
from tests.helpers.disk import HOLDER, OBJECT, flip_a_bit, put_run, read, row_of, send_copies
from tests.helpers.made_pages import MIB, joined, make_fill, make_page, make_run
from tests.helpers.requirements import require_compiled

ROOT = Path(__file__).parents[3]


@pytest.fixture
def twin(store: Store) -> Twin:
    require_compiled()
    assert store.twin is not None
    return store.twin


def put(twin: Twin, store: Store, pool: PoolId, index: int, pages: list[bytes]) -> int:
    page_object = store.pools[pool].make_object(OBJECT)
    done, needs_slot = twin.put(
        store.pools[pool], page_object, index, memoryview(joined(pages)), takes_slots=True
    )
    assert not needs_slot, "it may take one"
    return done


def test_an_object_or_a_leaf_that_is_not_there_is_for_python(
    twin: Twin, store: Store, pool: PoolId
) -> None:
    assert put(twin, store, pool, 0, make_run(500, 3)) == 0
    put_run(store, pool, 60, make_run(500, 1))
    assert put(twin, store, pool, 61, make_run(500, 8)) == 3


def test_slots_are_found_on_the_way(twin: Twin, store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(500, 1))
    chunks = store.zbud.chunks_of_block[store.versions.block_of(row_of(store, pool, 0))]
    free = len(store.zbud.stacks(store.pools[pool].family)[chunks])
    pages = [*make_run(500, 61), make_page(3000), make_page(2000)]
    assert put(twin, store, pool, 1, pages) == 63 > free > 0
    assert read(store, pool, 0, 64) == [*make_run(500, 1), *pages]
    store.check_invariants()


def test_a_page_for_which_no_row_is_free_is_for_python(
    twin: Twin, store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(500, 1))
    rows = store.rows.stack[:]
    store.rows.stack.clear()
    assert put(twin, store, pool, 1, [make_page(500)]) == 0
    assert put(twin, store, pool, 1, [make_page(3000)]) == 0
    store.rows.stack.extend(rows)
    assert put(twin, store, pool, 1, [make_page(500), make_page(3000)]) == 2
    store.check_invariants()


def test_a_page_that_needs_a_slot_and_may_take_none_is_nobodys(
    twin: Twin, store: Store, pool: PoolId
) -> None:
    """Python would not put it either; one that may stay where it is, or is for Python otherwise, is not told so."""
    put_run(store, pool, 0, make_run(500, 4))
    send_copies(store, HOLDER)
    put_run(store, pool, 8, make_run(500, 4))
    put_run(store, pool, 12, [bytes(PAGE_BYTES), make_fill(7)])
    send_copies(store, HOLDER, stays=True)
    put_run(store, pool, 20, make_run(500, 4))
    page_object = store.pools[pool].make_object(OBJECT)

    def put_in_place(index: int, page: bytes) -> tuple[int, bool]:
        return twin.put(store.pools[pool], page_object, index, memoryview(page), takes_slots=False)

    hole, elsewhere, clean, zeros, filled, here = 30, 0, 8, 12, 13, 20
    for index in (hole, elsewhere, clean, zeros, filled):
        assert put_in_place(index, make_page(500)) == (0, True)
        assert put_in_place(index, make_page(PAGE_BYTES)) == (0, True)
    assert put_in_place(here, make_page(500, 9)) == (1, False)
    assert put_in_place(here, make_page(1000)) == (0, True)
    assert put_in_place(1000, make_page(500)) == (0, False)
    begin_leaving(store.versions, store.versions.block_of(row_of(store, pool, here)))
    assert put_in_place(here, make_page(500, 10)) == (0, True)
    assert put_in_place(here, make_fill(3)) == (1, False)
    assert read(store, pool, here, 2) == [make_fill(3), make_page(500, 1)]


def test_where_there_is_no_room_for_a_page_the_put_is_for_python(
    twin: Twin, store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(500, 1))
    store.zbud.set_budget(store.zbud.resident_bytes)
    assert put(twin, store, pool, 1, [make_page(3000)]) == 0
    store.check_invariants()


@pytest.mark.parametrize("is_here_too", [False, True])
@pytest.mark.parametrize("holders", [(7,), (7, 9)])
@pytest.mark.parametrize(
    "page", [make_page(500), make_fill(7), bytes(PAGE_BYTES)], ids=["page", "fill", "zeros"]
)
def test_what_holders_have_is_replaced_and_they_are_owed_a_flush(
    twin: Twin, store: Store, pool: PoolId, page: bytes, holders: tuple[int, ...], *, is_here_too: bool
) -> None:  # fmt: skip
    put_run(store, pool, 0, make_run(500, 3))
    serial = store.serial_of(pool, OBJECT, 0)
    send_copies(store, *holders, stays=is_here_too)
    # A block of its class with slots, for what comes.
    put_run(store, pool, 3, make_run(500, 1))
    assert bool(store.rows.location(row_of(store, pool, 0))) == is_here_too
    assert put(twin, store, pool, 0, [page]) == 1
    assert store.versions.take_owed() == {holder: [serial] for holder in holders}
    assert read(store, pool, 0, 1) == ([page] if any(page) else [bytes(PAGE_BYTES)])
    store.check_invariants()


def test_blocks_with_pages_that_no_peer_has_are_noted(
    twin: Twin, store: Store, pool: PoolId
) -> None:
    put_run(store, pool, 0, make_run(500, 1))
    store.track_unsaved(pool)
    unsaved = store.pools[pool].unsaved
    assert unsaved is not None
    unsaved.blocks.clear()
    assert put(twin, store, pool, 1, make_run(500, 2)) == 2
    assert unsaved.blocks == {store.versions.block_of(row_of(store, pool, 1))}
    assert unsaved.serial_last == store.versions.serial_last


def test_a_get_ends_at_a_damaged_page(twin: Twin, store: Store, pool: PoolId) -> None:
    put_run(store, pool, 0, make_run(1000, 3))
    flip_a_bit(store, pool, 1)
    pages: list[bytes | None] = []
    page_object = store.pools[pool].make_object(OBJECT)
    assert twin.get(page_object, 0, 3, pages, []) == 0
    assert pages == make_run(1000, 1)


def test_the_compiled_loops_have_the_numbers_of_python() -> None:
    require_compiled()
    assert compiled.loops is not None
    assert compiled.loops.LAYOUT == LAYOUT


def test_what_is_built_is_told_by_a_sum_of_the_sources() -> None:
    """setup.py can't import the package that it builds, so it has the sum by itself."""
    sources = sorted((ROOT / "ramsterd" / "compiled").glob("*.[ch]"))
    assert compiled.sources_sum() == zlib.crc32(b"".join(each.read_bytes() for each in sources))
    line = next(
        line for line in (ROOT / "setup.py").read_text().splitlines() if line.startswith("SUM")
    )
    assert "zlib.crc32(b" in line


@pytest.mark.parametrize(("value", "is_pure"), [("1", True), ("0", False), ("", False)])
def test_a_variable_chooses_python(value: str, *, is_pure: bool) -> None:
    require_compiled()
    code = "from ramsterd import compiled; print(compiled.WHY_NOT, compiled.loops is None)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
        env={compiled.PURE_VARIABLE: value}, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.split() == ([f"RAMSTER_PURE={value}", "True"] if is_pure else ["False"])


def test_a_leaf_that_a_pass_fills_with_zeros_again_and_again_is_folded_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone then: another look would be at what others have there, or at nothing."""
    require_compiled()
    disk = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    zeros, leaves = bytes(PAGE_BYTES), (0, LEAF_PAGES)
    for first in leaves:
        put_run(store, disk, first, [*make_run(500, 2), *[zeros] * (LEAF_PAGES - 2)])
    folded: list[int] = []
    fold = PageTable.fold

    def noted(table: PageTable, leaf: int) -> None:
        folded.append(leaf)
        fold(table, leaf)

    monkeypatch.setattr(PageTable, "fold", noted)
    places = [first + place for place in (0, 1) for first in leaves]
    said = b"".join(write(place, place * PAGE_BYTES, zeros) for place in places)
    served = serve_pass(
        store, disk, OBJECT, MIB, memoryview(said),
        is_structured=True, is_writable=True, pages_max=len(places),
    )  # fmt: skip
    assert served.writes == len(places)
    assert len(folded) == len(set(folded)) == len(leaves)
    store.check_invariants()
