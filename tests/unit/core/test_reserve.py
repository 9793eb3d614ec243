"""Free memory that is resident before it is needed: how much, for which blocks and tables, and what it costs others."""

import random
from collections.abc import Callable

import pytest

from ramsterd.core.arena import FRAME_BYTES, HeapMapping, MapMemory, MemfdMapping
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.reserve import WORK_BYTES_MAX, ReserveWork
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from tests.helpers.dropping import drop_object
from tests.helpers.kept_memory import ScarceMemory
from tests.helpers.made_pages import MIB

OBJECT = b"disk"


def make_store(map_memory: MapMemory = HeapMapping, *, budget: int = 16 * MIB) -> Store:
    return Store(
        map_memory, StoreLimits(budget_bytes=budget, budget_bytes_max=2 * budget, pages_max=1 << 16)
    )


def make_disk(store: Store) -> PoolId:
    return store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))


def noise(count: int, seed: int = 0) -> memoryview:
    """Return pages that do not compress."""
    return memoryview(random.Random(seed).randbytes(count * PAGE_BYTES))


def half_noise(count: int, seed: int = 0, part: int = 2) -> memoryview:
    """Return pages that compress to about half."""
    rng, length = random.Random(seed), PAGE_BYTES // part
    rest = bytes(PAGE_BYTES - length)
    return memoryview(b"".join(rng.randbytes(length) + rest for _ in range(count)))


def hardly_noise(count: int, seed: int = 0) -> memoryview:
    """Return pages that compress to almost nothing."""
    return half_noise(count, seed, 64)


def fill_reserve(store: Store) -> int:
    """Do all that the reserve wants; return in how many pieces."""
    pieces = 0
    while (work := store.reserve.next_work()) is not None:
        store.reserve.end_work(work, are_resident=work.populate())
        pieces += 1
        assert pieces < 100
    store.check_invariants()
    store.zbud.memory.check_invariants()
    return pieces


def test_without_a_reserve_there_is_nothing_to_do() -> None:
    store = make_store()
    assert store.reserve.next_work() is None
    assert store.reserve.statistics().wanted_bytes == 0


def test_it_is_filled_in_pieces_and_then_left_alone() -> None:
    store = make_store(budget=64 * MIB)
    store.room.set_reserve(10 * MIB)
    assert fill_reserve(store) == 3
    reserve = store.reserve.statistics()
    assert reserve.resident_bytes == reserve.wanted_bytes == 10 * MIB
    assert reserve.tables_bytes > 10 * MIB // PAGE_BYTES * 32
    assert reserve.populated_bytes_total >= 10 * MIB + reserve.tables_bytes
    assert store.zbud.used_bytes == 0, "it is room"
    assert store.reserve.next_work() is None


def test_no_piece_is_larger_than_the_bound() -> None:
    store = make_store(budget=64 * MIB)
    store.room.set_reserve(32 * MIB)
    work = store.reserve.next_work()
    assert work is not None
    assert sum(map(store.zbud.memory.block_bytes, work.blocks)) <= WORK_BYTES_MAX
    store.reserve.end_work(work, are_resident=True)


@pytest.mark.parametrize("pages", [half_noise, noise, hardly_noise])
def test_a_burst_as_large_as_the_reserve_touches_no_frame_that_was_not_resident(
    pages: Callable[[int, int], memoryview],
) -> None:
    """Judged by the kernel: all mappings, and before any page is put."""
    mappings: list[MemfdMapping] = []

    def map_memory(name: str, length: int) -> MemfdMapping:
        mappings.append(MemfdMapping(name, length))
        return mappings[-1]

    store = make_store(map_memory, budget=32 * MIB)
    disk = make_disk(store)
    store.room.set_reserve(4 * MIB)
    fill_reserve(store)
    # One page before: the root of the disk.
    assert store.put(disk, OBJECT, 0, half_noise(1)) == 1
    before = resident_frames(mappings)
    for seed in range(4 * MIB // PAGE_BYTES // 32 - 1):
        assert store.put(disk, OBJECT, 64 + 32 * seed, pages(32, seed)) == 32
    assert not sorted(resident_frames(mappings) - before)[:8]


def resident_frames(mappings: list[MemfdMapping]) -> set[tuple[int, int]]:
    return {
        (number, frame)
        for number, mapping in enumerate(mappings)
        for start, stop in mapping.resident_spans()
        for frame in range(start // FRAME_BYTES, stop // FRAME_BYTES)
    }


def test_what_a_burst_took_is_made_resident_again_below_the_budget() -> None:
    store = make_store()
    store.room.set_reserve(4 * MIB)
    disk = make_disk(store)
    fill_reserve(store)
    stored = store.put(disk, OBJECT, 0, half_noise(1024))
    assert stored == 1024
    assert store.reserve.statistics().resident_bytes < 2 * MIB
    fill_reserve(store)
    assert store.reserve.statistics().resident_bytes == 4 * MIB
    assert store.zbud.resident_bytes <= store.zbud.budget_bytes


def test_at_the_budget_there_is_as_much_as_fits() -> None:
    store = make_store()
    disk = make_disk(store)
    while store.put(disk, OBJECT, store.rows.used, half_noise(32, store.rows.used)) == 32:
        pass
    store.room.set_reserve(4 * MIB)
    fill_reserve(store)
    assert store.zbud.resident_bytes <= store.zbud.budget_bytes
    assert store.reserve.statistics().resident_bytes < 128 << 10
    drop_object(store, disk, OBJECT)
    store.zbud.trim()
    assert store.reserve.statistics().resident_bytes == 4 * MIB, "what goes free is kept"


def test_the_watermarks_leave_room_for_it() -> None:
    store = make_store()
    store.room.set_reserve(4 * MIB)
    limits = store.room.limits
    assert limits.high_watermark == 0.75
    assert limits.low_watermark == pytest.approx(0.85 * 0.75 / 0.92)
    store.room.set_budget(32 * MIB)
    assert store.room.limits.high_watermark == 0.875
    store.room.set_budget(4 * MIB)
    assert store.reserve.wanted_bytes == 2 * MIB, "at most half of the budget"
    assert store.room.limits.high_watermark == 0.5
    store.room.set_reserve(0)
    limits = store.room.limits
    assert (limits.high_watermark, limits.low_watermark) == (0.92, 0.85)


def test_a_kernel_without_memory_is_said_and_asked_again() -> None:
    store = make_store(ScarceMemory(frames_free=100), budget=2 * MIB)
    store.room.set_reserve(MIB)
    work = store.reserve.next_work()
    assert work is not None
    assert not work.populate()
    resident = store.zbud.resident_bytes
    assert resident
    store.reserve.end_work(work, are_resident=False)
    assert store.zbud.resident_bytes == 0
    reserve = store.reserve.statistics()
    assert (reserve.is_short, reserve.refused_total, reserve.resident_bytes) == (True, 1, 0)
    assert store.reserve.next_work() is not None


def test_pages_are_put_while_frames_are_made_resident() -> None:
    """Blocks that are being warmed are nobody's; those behind them are taken meanwhile."""
    store = make_store()
    disk = make_disk(store)
    store.room.set_reserve(2 * MIB)
    work = store.reserve.next_work()
    assert isinstance(work, ReserveWork)
    assert work.blocks
    assert store.put(disk, OBJECT, 0, half_noise(512)) == 512
    store.check_invariants()
    assert not any(store.zbud.is_of(block, 0) for block in work.blocks)  # type: ignore[arg-type]
    store.reserve.end_work(work, are_resident=work.populate())
    fill_reserve(store)
    assert store.get(disk, OBJECT, 0, 512).pages == [
        bytes(page) for page in pages_of(half_noise(512))
    ]


def pages_of(run: memoryview) -> list[memoryview]:
    return [run[start : start + PAGE_BYTES] for start in range(0, len(run), PAGE_BYTES)]


def test_a_smaller_reserve_gives_its_memory_back() -> None:
    store = make_store()
    store.room.set_reserve(4 * MIB)
    fill_reserve(store)
    store.room.set_reserve(MIB)
    store.zbud.trim()
    assert store.zbud.memory.warm_bytes <= MIB
    store.room.set_reserve(0)
    store.zbud.trim()
    assert store.zbud.resident_bytes == 0
    assert store.reserve.next_work() is None
    assert store.reserve.statistics().tables_bytes == 0
