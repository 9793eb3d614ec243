import pytest

from ramsterd.core.arena import FRAME_BYTES, HeapMapping
from ramsterd.core.block_memory import WARM_BYTES_MAX
from ramsterd.core.family import Family
from ramsterd.core.size_classes import (
    CHUNK_BYTES,
    CHUNKS_PER_PAGE,
    FRAMES_OF_CLASS,
    SLOT_SHIFT,
    SLOTS_OF_CLASS,
)
from ramsterd.core.zbud import Zbud

MIB = 1 << 20
OURS = Family.OWN_PERSISTENT


def make_zbud(budget_bytes: int = MIB) -> Zbud:
    return Zbud(HeapMapping, budget_bytes=budget_bytes, budget_bytes_max=2 * MIB)


def take(zbud: Zbud, chunks: int, family: Family = OURS, row: int = 9) -> int:
    """Take a slot as the put path does."""
    stack = zbud.stacks(family)[chunks]
    location = stack.pop() if stack else zbud.refill(family, chunks)
    if location:
        zbud.slot_rows[location] = row
    zbud.check_invariants()
    return location


def give(zbud: Zbud, locations: list[int]) -> None:
    for location in locations:
        zbud.free(location)
        zbud.check_invariants()


def block_of(location: int) -> int:
    return location >> SLOT_SHIFT


@pytest.mark.parametrize("chunks", range(2, CHUNKS_PER_PAGE + 1))
def test_a_full_block_wastes_at_most_five_per_cent(chunks: int) -> None:
    used = SLOTS_OF_CLASS[chunks] * chunks * CHUNK_BYTES
    assert 0.95 <= used / (FRAMES_OF_CLASS[chunks] * FRAME_BYTES) <= 1


@pytest.mark.parametrize("chunks", [1, 3, 17, 57, 64])
def test_the_slots_of_a_block_lie_side_by_side_within_its_frames(chunks: int) -> None:
    zbud = make_zbud()
    locations = sorted(take(zbud, chunks) for _ in range(SLOTS_OF_CLASS[chunks]))
    assert len({block_of(location) for location in locations}) == 1
    offsets = [zbud.offset(location) for location in locations]
    start = offsets[0]
    assert offsets == [
        start + slot * chunks * CHUNK_BYTES for slot in range(SLOTS_OF_CLASS[chunks])
    ]
    assert offsets[-1] + chunks * CHUNK_BYTES <= start + FRAMES_OF_CLASS[chunks] * FRAME_BYTES
    assert zbud.resident_bytes == FRAMES_OF_CLASS[chunks] * FRAME_BYTES


def test_families_do_not_share_a_block() -> None:
    zbud = make_zbud()
    assert len({block_of(take(zbud, 8, family)) for family in Family}) == len(Family)


def test_a_freed_slot_is_used_again_before_a_new_block_is_made() -> None:
    zbud = make_zbud()
    locations = [take(zbud, 8) for _ in range(3 * SLOTS_OF_CLASS[8])]
    resident_bytes = zbud.resident_bytes
    give(zbud, [locations[2], locations[20]])
    again = {take(zbud, 8), take(zbud, 8)}
    assert again == {locations[2], locations[20]}
    assert zbud.resident_bytes == resident_bytes


def test_a_block_goes_with_its_last_zpage_also_when_it_is_open() -> None:
    zbud = make_zbud()
    full = [take(zbud, 8) for _ in range(SLOTS_OF_CLASS[8])]
    alone = take(zbud, 8)
    give(zbud, [alone])
    assert list(zbud.blocks(OURS)) == [block_of(full[0])]
    give(zbud, full)
    assert zbud.oldest(OURS) is None
    assert zbud.used_bytes == 0


def test_empty_blocks_of_other_classes_do_not_use_up_the_budget() -> None:
    zbud = make_zbud()
    for chunks in range(1, CHUNKS_PER_PAGE + 1):
        give(zbud, [take(zbud, chunks, Family.FOREIGN_PERSISTENT)])
    taken = 0
    while take(zbud, 64):
        taken += 1
    assert taken == MIB // FRAME_BYTES


def test_at_the_budget_the_smallest_larger_slot_will_do() -> None:
    zbud = make_zbud(budget_bytes=(FRAMES_OF_CLASS[40] + FRAMES_OF_CLASS[50]) * FRAME_BYTES)
    larger, _ = take(zbud, 40), take(zbud, 50)
    slot = take(zbud, 30)
    assert block_of(slot) == block_of(larger)
    assert take(zbud, 51) == 0
    give(zbud, [slot])


def test_at_the_budget_a_closed_block_with_room_is_found() -> None:
    zbud = make_zbud(budget_bytes=2 * FRAMES_OF_CLASS[64] * FRAME_BYTES)
    locations = [take(zbud, 64) for _ in range(2 * SLOTS_OF_CLASS[64])]
    assert take(zbud, 30) == 0
    give(zbud, [locations[0]])
    assert take(zbud, 30) == locations[0]
    give(zbud, [locations[-1]])
    assert take(zbud, 30) == locations[-1]


def test_a_leaving_block_gets_no_zpages_and_keeps_its_memory_until_it_has_left() -> None:
    zbud = make_zbud()
    locations = [take(zbud, 8, row=row) for row in range(10, 15)]
    block = block_of(locations[0])
    zbud.begin_leaving(block)
    zbud.check_invariants()
    assert sorted(zbud.rows(block)) == [10, 11, 12, 13, 14]
    assert block_of(take(zbud, 8)) != block
    used_bytes = zbud.used_bytes
    give(zbud, locations)
    assert zbud.used_bytes == used_bytes
    zbud.end_leaving(block)
    zbud.check_invariants()
    assert zbud.used_bytes == used_bytes - FRAMES_OF_CLASS[8] * FRAME_BYTES


def test_a_block_that_returns_is_the_oldest_and_offers_its_room() -> None:
    zbud = make_zbud()
    locations = [take(zbud, 8) for _ in range(2 * SLOTS_OF_CLASS[8])]
    second = block_of(locations[-1])
    zbud.begin_leaving(second)
    zbud.free(locations[-1])
    zbud.return_leaving(second)
    zbud.check_invariants()
    assert zbud.oldest(OURS) == second
    assert take(zbud, 8) == locations[-1]


def test_a_block_that_returns_empty_is_free() -> None:
    zbud = make_zbud()
    location = take(zbud, 8)
    zbud.begin_leaving(block_of(location))
    zbud.free(location)
    zbud.return_leaving(block_of(location))
    zbud.check_invariants()
    assert zbud.oldest(OURS) is None


@pytest.mark.parametrize("count", [1, SLOTS_OF_CLASS[8]])
def test_a_block_changes_family_with_all_it_holds(count: int) -> None:
    zbud = make_zbud()
    locations = [take(zbud, 8, Family.OWN_CLEAN) for _ in range(count)]
    block = block_of(locations[0])
    zbud.change_family(block, OURS)
    zbud.check_invariants()
    assert list(zbud.blocks(OURS)) == [block]
    assert list(zbud.blocks(Family.OWN_CLEAN)) == []
    assert (block_of(take(zbud, 8)) == block) == (count < SLOTS_OF_CLASS[8])


def test_warm_memory_is_bounded_and_given_to_the_next_block() -> None:
    zbud = make_zbud()
    locations = [take(zbud, 64) for _ in range(MIB // FRAME_BYTES)]
    give(zbud, locations)
    assert zbud.resident_bytes == zbud.statistics().warm_bytes == WARM_BYTES_MAX
    take(zbud, 2)
    take(zbud, 64)
    assert zbud.resident_bytes <= WARM_BYTES_MAX
    zbud.trim()
    zbud.check_invariants()
    assert zbud.resident_bytes == (FRAMES_OF_CLASS[2] + FRAMES_OF_CLASS[64]) * FRAME_BYTES


def test_warm_memory_never_stands_in_the_way_of_a_larger_block() -> None:
    zbud = make_zbud(budget_bytes=FRAMES_OF_CLASS[64] * FRAME_BYTES)
    small = [take(zbud, 2) for _ in range(16 * SLOTS_OF_CLASS[2])]
    assert take(zbud, 64) == 0
    give(zbud, small)
    assert zbud.statistics().warm_bytes == zbud.budget_bytes
    assert take(zbud, 64)


def test_a_warm_block_too_small_for_what_is_asked_stays_warm() -> None:
    zbud = make_zbud(budget_bytes=(FRAMES_OF_CLASS[64] + 1) * FRAME_BYTES)
    take(zbud, 64)
    give(zbud, [take(zbud, 2, Family.OWN_CLEAN)])
    assert take(zbud, 64, Family.OWN_CLEAN) == 0
    assert zbud.statistics().warm_bytes == FRAME_BYTES


def test_a_budget_that_shrinks_keeps_nothing_warm_and_one_that_grows_gives_room() -> None:
    zbud = make_zbud()
    locations = [take(zbud, 64) for _ in range(MIB // FRAME_BYTES)]
    zbud.set_budget(MIB // 2)
    give(zbud, locations[: len(locations) // 4])
    assert zbud.resident_bytes == MIB * 3 // 4
    assert take(zbud, 64) == 0
    zbud.set_budget(2 * MIB)
    assert take(zbud, 64)


def test_every_frame_of_the_largest_budget_can_be_a_block() -> None:
    zbud = make_zbud(budget_bytes=2 * MIB)
    stack = zbud.stacks(OURS)[2]
    blocks = 0
    while zbud.refill(OURS, 2):
        stack.clear()
        blocks += 1
    assert blocks == 2 * MIB // FRAME_BYTES


def test_statistics_count_blocks_by_family() -> None:
    zbud = make_zbud()
    take(zbud, 8)
    take(zbud, 9, Family.OWN_CLEAN)
    take(zbud, 10, Family.OWN_CLEAN)
    statistics = zbud.statistics()
    assert statistics.budget_bytes == MIB
    assert statistics.blocks[OURS] == 1
    assert statistics.blocks[Family.OWN_CLEAN] == 2
    assert statistics.blocks[Family.FOREIGN_EPHEMERAL] == 0
