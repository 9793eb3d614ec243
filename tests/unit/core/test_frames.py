"""Items in frames: the same as a set, and what is counted is what is resident."""

import os
import random

from ramsterd.core.arena import FRAME_BYTES, HeapMapping, MemfdMapping
from ramsterd.core.frames import FramedItems, TableMemory

FIRST = 3
SIDE = 100


def make_items(
    *, frames: int = 8, memory: TableMemory | None = None, items_max: int = 0
) -> FramedItems:
    """Frames of 16 items of 256 bytes."""
    mapping = HeapMapping("items", frames * FRAME_BYTES)
    return FramedItems(
        mapping,
        memory or TableMemory(1 << 30),
        frame_shift=4,
        items_max=items_max or frames << 4,
        first_item=FIRST,
        link_shift=6,
        side_bytes=SIDE,
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
