import ctypes
import os

import pytest

from ramsterd.core.arena import FRAME_BYTES, HeapMapping, MapMemory, MemfdMapping

MAP_MEMORY = pytest.mark.parametrize("map_memory", [MemfdMapping, HeapMapping])


def resident_frames(mapping: MemfdMapping) -> int:
    return os.fstat(mapping._fd).st_blocks * 512 // FRAME_BYTES


@MAP_MEMORY
def test_a_mapping_is_zeros_and_whole_frames(map_memory: MapMemory) -> None:
    mapping = map_memory("test", FRAME_BYTES + 1)
    assert bytes(mapping.view) == bytes(2 * FRAME_BYTES)


@MAP_MEMORY
def test_released_frames_read_as_zeros_and_their_neighbours_stay(map_memory: MapMemory) -> None:
    mapping = map_memory("test", 3 * FRAME_BYTES)
    mapping.view[:] = b"x" * (3 * FRAME_BYTES)
    mapping.release(FRAME_BYTES, FRAME_BYTES)
    frame = b"x" * FRAME_BYTES
    assert bytes(mapping.view) == frame + bytes(FRAME_BYTES) + frame


def test_a_memfd_costs_what_was_written_and_not_released() -> None:
    mapping = MemfdMapping("test", 1 << 30)
    assert resident_frames(mapping) == 0
    mapping.view[: 4 * FRAME_BYTES] = b"x" * (4 * FRAME_BYTES)
    assert resident_frames(mapping) == 4
    mapping.release(FRAME_BYTES, 2 * FRAME_BYTES)
    assert resident_frames(mapping) == 2


def test_memory_that_is_locked_can_be_released() -> None:
    """A daemon that serves swap calls mlockall; madvise(2) would refuse."""
    mapping = MemfdMapping("test", 2 * FRAME_BYTES)
    mapping.view[:] = b"x" * (2 * FRAME_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    start = ctypes.addressof(ctypes.c_char.from_buffer(mapping.view))
    if libc.mlock(ctypes.c_void_p(start), 2 * FRAME_BYTES):
        pytest.skip("not allowed to lock two frames")
    mapping.release(0, FRAME_BYTES)
    assert resident_frames(mapping) == 1
    assert not any(mapping.view[:FRAME_BYTES])


def test_a_refused_release_is_an_error() -> None:
    mapping = MemfdMapping("test", FRAME_BYTES)
    with pytest.raises(OSError, match="can't release memory"):
        mapping.release(0, -1)


def test_a_mapping_that_the_kernel_refuses_is_an_error_that_names_it() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="can't map 4611686018427387904 bytes for everything"):
        MemfdMapping("everything", 1 << 62)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_mapping_that_is_dropped_closes_its_file() -> None:
    before = len(os.listdir("/proc/self/fd"))
    mapping = MemfdMapping("test", FRAME_BYTES)
    assert len(os.listdir("/proc/self/fd")) > before
    del mapping
    assert len(os.listdir("/proc/self/fd")) == before
