"""Items in frames: the same as a set, and what is counted is what is resident."""

import os
import random

import pytest

from ramsterd.core.arena import FRAME_BYTES, HeapMapping, MemfdMapping
from ramsterd.core.frames import FramedItems, TableMemory
from ramsterd.core.frames_beside import FramesBeside
from tests.helpers.kept_memory import ScarceMemory

FIRST = 3
SIDE = 100


def make_items(
    *,
    frames: int = 8,
    memory: TableMemory | None = None,
    items_max: int = 0,
    mapping: HeapMapping | None = None,
    beside: FramesBeside | None = None,
) -> FramedItems:
    """Frames of 16 items of 256 bytes."""
    return FramedItems(
        mapping or HeapMapping("items", frames * FRAME_BYTES),
        memory or TableMemory(1 << 30),
        frame_shift=4,
        items_max=items_max or frames << 4,
        first_item=FIRST,
        link_shift=6,
        side_bytes=SIDE,
        beside=beside,
    )


def test_memory_is_counted_up_to_its_bound() -> None:
    memory = TableMemory(100)
    assert memory.take(60)
    assert not memory.take(41)
    assert memory.used_bytes == 60
    assert memory.is_above(0.5)
    assert not memory.is_above(0.6)
    memory.give(20)
    assert memory.take(60)


def test_items_below_the_first_are_never_handed_out() -> None:
    items = make_items(frames=1)
    assert [items.alloc() for _ in range(13)] == list(range(FIRST, 16))
    assert items.alloc() == 0
    assert items.used == 13


def test_there_may_be_less_than_whole_frames() -> None:
    items = make_items(items_max=20)
    found = [items.alloc() for _ in range(17)]
    assert found == list(range(FIRST, 20))
    assert items.alloc() == 0
    for each in found:
        items.free(each)
        items.check_invariants()
    assert items.used == 0


def test_a_frame_used_in_part_is_filled_before_a_new_one_is_taken() -> None:
    items = make_items()
    first = [items.alloc() for _ in range(40)]
    items.free(first[20])
    items.free(first[5])
    while items.stack:
        items.alloc()
    assert {items.alloc(), items.alloc()} == {first[20], first[5]}


def test_what_is_resident_is_counted_and_bounded() -> None:
    memory = TableMemory(3 * (FRAME_BYTES + SIDE))
    items = make_items(memory=memory)
    found = []
    while item := items.alloc():
        found.append(item)
    assert len(found) == 3 * 16 - FIRST
    assert memory.used_bytes == items.resident_bytes() == 3 * (FRAME_BYTES + SIDE)
    for item in found:
        if item >> 4 == 1:
            items.free(item)
    assert memory.used_bytes == items.resident_bytes() == 2 * (FRAME_BYTES + SIDE)
    assert list(items.live_spans(FIRST, 1000)) == [(FIRST, 16), (32, 48)]
    assert list(items.live_spans(20, 30)) == []
    assert items.alloc() >> 4 == 1, "a frame that was given back may be taken again"
    items.check_invariants()


def test_the_last_frames_go_and_so_does_what_stands_beside_them() -> None:
    items = make_items()
    found = [items.alloc() for _ in range(5 * 16)]
    assert items.high == 6 << 4
    for item in found[: 5 * 16 - 20]:
        items.free(item)
    assert items.high == 6 << 4
    for item in found[5 * 16 - 20 :]:
        items.free(item)
        items.check_invariants()
    assert items.used == 0
    assert items.high == 6 << 4, "the open frame stays"
    assert items.resident_bytes() == 2 * (FRAME_BYTES + SIDE), (
        "with the first, which has the reserved"
    )


def test_frames_go_back_to_the_kernel() -> None:
    mapping = MemfdMapping("items", 64 * FRAME_BYTES)
    items = FramedItems(
        mapping,
        TableMemory(1 << 30),
        frame_shift=4,
        items_max=64 << 4,
        first_item=1,
        link_shift=6,
    )
    found = [items.alloc() for _ in range(50 * 16)]
    for item in found:
        mapping.view[item << 8] = 1
    assert os.fstat(mapping._fd).st_blocks * 512 >= 50 * FRAME_BYTES
    for item in found:
        items.free(item)
    assert os.fstat(mapping._fd).st_blocks * 512 <= 2 * FRAME_BYTES


def test_any_order_is_what_a_set_says(seed: int) -> None:
    rng = random.Random(seed)
    memory = TableMemory(6 * (FRAME_BYTES + SIDE))
    items = make_items(memory=memory)
    used: set[int] = set()
    is_growing = True
    for _ in range(800):
        if rng.random() < 0.02:
            is_growing = not is_growing
        if rng.random() < (0.7 if is_growing else 0.3):
            item = items.alloc()
            if item:
                assert item not in used
                used.add(item)
            else:
                assert len({each >> 4 for each in used}) == 6
                assert len(used) == 6 * 16 - FIRST
        elif used:
            item = rng.choice(sorted(used))
            used.remove(item)
            items.free(item)
        assert items.used == len(used)
        assert memory.used_bytes == items.resident_bytes()
    items.check_invariants()
    live = {each for span in items.live_spans(0, 1000) for each in range(*span)}
    assert used <= live


def test_what_is_beside_a_few_frames_is_there_as_long_as_one_of_them() -> None:
    memory, mapping = TableMemory(1 << 30), HeapMapping("beside", 4 * FRAME_BYTES)
    items = make_items(memory=memory, beside=FramesBeside(mapping, 1))
    found = [items.alloc() for _ in range(6 * 16 - FIRST)]
    mapping.view[:] = b"x" * len(mapping.view)
    assert memory.used_bytes == items.resident_bytes() == 6 * (FRAME_BYTES + SIDE) + 3 * FRAME_BYTES
    for frame in (2, 3):
        assert mapping.view[FRAME_BYTES] == ord("x")
        for item in found:
            if item >> 4 == frame:
                items.free(item)
    assert mapping.view[FRAME_BYTES] == 0, "it went back to the kernel with the last of them"
    assert memory.used_bytes == items.resident_bytes() == 4 * (FRAME_BYTES + SIDE) + 2 * FRAME_BYTES
    assert items.alloc() >> 4 == 2
    assert memory.used_bytes == items.resident_bytes() == 5 * (FRAME_BYTES + SIDE) + 3 * FRAME_BYTES


def test_a_frame_without_room_for_what_is_beside_it_is_not_taken() -> None:
    memory = TableMemory(3 * FRAME_BYTES + 2 * SIDE)
    items = make_items(memory=memory, beside=FramesBeside(HeapMapping("b", 8 * FRAME_BYTES), 0))
    for _ in range(16 - FIRST):
        assert items.alloc()
    assert items.alloc() == 0
    assert memory.used_bytes == items.resident_bytes() == 2 * FRAME_BYTES + SIDE


def fill(mapping: HeapMapping, items: set[int]) -> None:
    for item in items:
        mapping.view[item << 8 : (item + 1) << 8] = bytes([item % 255 + 1]) * 256


def are_filled(mapping: HeapMapping, items: set[int]) -> bool:
    return all(
        mapping.view[item << 8 : (item + 1) << 8] == bytes([item % 255 + 1]) * 256 for item in items
    )


def flags(items: set[int], count: int) -> bytes:
    return bytes(item in items for item in range(count))


def test_items_that_an_earlier_process_left_go_on() -> None:
    mapping, beside = HeapMapping("items", 8 * FRAME_BYTES), HeapMapping("b", 4 * FRAME_BYTES)
    used = {FIRST, 5, *range(16, 32), 47, 96}
    fill(mapping, {*range(FIRST, 8 * 16)})
    beside.view[:] = b"x" * len(beside.view)
    memory = TableMemory(1 << 30)
    items = make_items(memory=memory, mapping=mapping, beside=FramesBeside(beside, 1))
    items.adopt(flags(used, 8 * 16))
    items.check_invariants()
    assert items.used == len(used)
    assert items.high == 7 << 4
    assert are_filled(mapping, used)
    assert list(items.live_spans(0, 1000)) == [(0, 48), (96, 112)]
    assert memory.used_bytes == items.resident_bytes() == 4 * (FRAME_BYTES + SIDE) + 3 * FRAME_BYTES
    for start, stop in ((48, 96), (112, 128)):
        assert not any(mapping.view[start << 8 : stop << 8]), "free frames went back to the kernel"
    assert [beside.view[each * FRAME_BYTES] for each in range(4)] == [120, 120, 0, 120]
    free = [items.alloc() for _ in range(8 * 16 - FIRST - len(used))]
    assert items.alloc() == 0
    assert {*free} | used == {*range(FIRST, 8 * 16)}
    assert free[:3] == [4, 6, 7], "frames fill up from the lowest item on"
    assert are_filled(mapping, used)


def test_without_any_item_left_all_is_free() -> None:
    mapping, memory = HeapMapping("items", 8 * FRAME_BYTES), TableMemory(1 << 30)
    fill(mapping, {*range(FIRST, 8 * 16)})
    items = make_items(memory=memory, mapping=mapping)
    items.adopt(b"")
    items.check_invariants()
    assert (items.used, items.alloc()) == (0, FIRST)
    assert memory.used_bytes == items.resident_bytes() == FRAME_BYTES + SIDE
    assert not any(mapping.view[FRAME_BYTES:])


def test_more_may_be_left_than_the_tables_may_have_now() -> None:
    memory = TableMemory(2 * (FRAME_BYTES + SIDE))
    items = make_items(memory=memory)
    items.adopt(flags({20, 40, 60}, 8 * 16))
    assert memory.used_bytes == 4 * (FRAME_BYTES + SIDE)
    assert [items.alloc() for _ in range(2)] == [FIRST, FIRST + 1]


def test_whatever_is_left_goes_on_as_if_nothing_had_been(seed: int) -> None:
    """Any items in use, the process ends, any items in use."""
    rng = random.Random(seed)
    items_max = rng.choice([8 * 16, 8 * 16 - 5])
    mapping, beside = HeapMapping("items", 8 * FRAME_BYTES), HeapMapping("b", 4 * FRAME_BYTES)
    used: set[int] = set()
    for _ in range(6):
        memory = TableMemory(1 << 30)
        items = make_items(
            memory=memory, mapping=mapping, items_max=items_max, beside=FramesBeside(beside, 1)
        )
        items.adopt(flags(used, items_max))
        for _ in range(rng.randrange(200)):
            if rng.random() < rng.choice([0.3, 0.6]):
                item = items.alloc()
                assert item not in used
                assert item or len(used) == items_max - FIRST
                used |= {item} - {0}
                fill(mapping, {item} - {0})
            elif used:
                item = rng.choice(sorted(used))
                used.remove(item)
                items.free(item)
            assert items.used == len(used)
            assert memory.used_bytes == items.resident_bytes()
            items.check_invariants()
        assert are_filled(mapping, used)


def test_a_frame_is_written_only_where_there_is_room_for_it() -> None:
    scarce, memory = ScarceMemory(5), TableMemory(1 << 30)
    mapping, beside = scarce("items", 8 * FRAME_BYTES), scarce("beside", 4 * FRAME_BYTES)
    items = make_items(memory=memory, mapping=mapping, beside=FramesBeside(beside, 1))
    found = []
    while item := items.alloc():
        found.append(item)
        fill(mapping, {item})
    # Of three frames, and the two beside them.
    assert (len(found), scarce.frames_free) == (3 * 16 - FIRST, 0)
    assert memory.used_bytes == items.resident_bytes() == 3 * (FRAME_BYTES + SIDE) + 2 * FRAME_BYTES
    for item in found:
        if item >> 4 == 1:
            items.free(item)
    assert scarce.frames_free == 1
    assert items.alloc() >> 4 == 1
    mapping.release(7 * FRAME_BYTES, FRAME_BYTES)  # it looks for what was written elsewhere


def test_without_room_for_what_is_beside_it_a_frame_is_given_back() -> None:
    scarce, memory = ScarceMemory(3), TableMemory(1 << 30)
    mapping, beside = scarce("items", 8 * FRAME_BYTES), scarce("beside", 8 * FRAME_BYTES)
    items = make_items(memory=memory, mapping=mapping, beside=FramesBeside(beside, 0))
    assert all(items.alloc() for _ in range(16 - FIRST))
    assert items.alloc() == 0
    assert scarce.frames_free == 1
    assert memory.used_bytes == items.resident_bytes() == 2 * FRAME_BYTES + SIDE


def test_without_room_for_any_frame_there_are_no_items() -> None:
    with pytest.raises(OSError, match="no room for the first frame"):
        make_items(mapping=ScarceMemory(0)("items", 8 * FRAME_BYTES))
