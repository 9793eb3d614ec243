import pytest
from hypothesis import given, strategies as st

from ramsterd.core.arena import FRAME_BYTES
from ramsterd.core.block_columns import pack_block, unpack_block
from ramsterd.core.family import Family
from ramsterd.core.size_classes import CLASSES, FRAMES_OF_CLASS, SLOT_SHIFT, SLOTS_OF_CLASS
from ramsterd.core.zbud import Zbud
from tests.helpers.kept_memory import KeptMemory, ScarceMemory

MIB = 1 << 20


@given(
    stamp=st.integers(0, (1 << 48) - 1),
    family=st.sampled_from(Family),
    chunks=st.integers(1, CLASSES - 1),
)
def test_a_block_is_one_word(stamp: int, family: Family, chunks: int) -> None:
    word = pack_block(stamp, family, chunks)
    assert 0 < word < 1 << 64
    assert unpack_block(word) == (stamp, family, chunks)


def make_zbud(map_memory: KeptMemory | ScarceMemory) -> Zbud:
    return Zbud(map_memory, budget_bytes=MIB, budget_bytes_max=MIB)


def take(zbud: Zbud, chunks: int, family: Family = Family.OWN_PERSISTENT) -> int:
    stack = zbud.stacks(family)[chunks]
    location = stack.pop() if stack else zbud.refill(family, chunks)
    zbud.slot_rows[location] = 9
    return location


def test_the_word_of_a_block_is_there_before_a_zpage_can_be() -> None:
    zbud = make_zbud(KeptMemory())
    block = take(zbud, 7, Family.OWN_EPHEMERAL) >> SLOT_SHIFT
    assert unpack_block(zbud.words[block]) == (1, Family.OWN_EPHEMERAL, 7)


def test_stamps_rise_with_what_makes_a_block_young() -> None:
    zbud = make_zbud(KeptMemory())
    first, second = (take(zbud, chunks) >> SLOT_SHIFT for chunks in (7, 8))
    zbud.change_family(first, Family.OWN_CLEAN)
    zbud.make_newest(second)
    assert unpack_block(zbud.words[first]) == (3, Family.OWN_CLEAN, 7)
    assert unpack_block(zbud.words[second]) == (4, Family.OWN_PERSISTENT, 8)


@pytest.mark.slow
def test_a_block_whose_columns_have_no_room_is_made_once_they_have() -> None:
    memory = ScarceMemory(frames_free=1 << 20)
    zbud = make_zbud(memory)
    for _ in range(31 * SLOTS_OF_CLASS[1]):
        assert take(zbud, 1)
    # A frame has the slots of 32 blocks.
    assert zbud.blocks_count == 32
    memory.frames_free = 1
    assert not zbud.refill(Family.OWN_PERSISTENT, 1)
    zbud.check_invariants()
    assert (zbud.blocks_count, memory.frames_free) == (32, 0)
    memory.frames_free = 1
    assert zbud.refill(Family.OWN_PERSISTENT, 1) >> SLOT_SHIFT == 32
    assert memory.frames_free == 0


def test_a_block_for_which_there_is_no_room_is_refused_and_warm_ones_go_for_it() -> None:
    memory = ScarceMemory(frames_free=2 + FRAMES_OF_CLASS[64])
    zbud = make_zbud(memory)
    location = take(zbud, 64)
    assert not zbud.refill(Family.OWN_EPHEMERAL, 8)
    zbud.check_invariants()
    zbud.free(location)
    assert zbud.memory.warm_bytes
    first = take(zbud, 8)
    assert first
    memory.frames_free = 0
    zbud.free(first)
    assert zbud.memory.warm_bytes == FRAMES_OF_CLASS[8] * FRAME_BYTES
    # Its warm frames are not enough.
    assert not zbud.refill(Family.OWN_PERSISTENT, 64)
    zbud.check_invariants()
    zbud.trim()
    assert (zbud.resident_bytes, memory.frames_free) == (0, FRAMES_OF_CLASS[8])
