import ctypes
import os
import tempfile
from pathlib import Path
from typing import Final

import pytest

from ramsterd.core.arena import FRAME_BYTES, FileMapping, HeapMapping, MapMemory, MemfdMapping

SHM: Final = Path("/dev/shm")
MAP_MEMORY = pytest.mark.parametrize("map_memory", [MemfdMapping, HeapMapping])


def resident_frames(mapping: FileMapping) -> int:
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


def test_a_mapping_of_a_file_has_what_the_file_has_and_grows_it() -> None:
    fd = os.memfd_create("test")
    os.write(fd, b"kept")
    mapping = FileMapping(os.dup(fd), "test", 2 * FRAME_BYTES)
    assert bytes(mapping.view[:5]) == b"kept\0"
    assert os.fstat(fd).st_size == 2 * FRAME_BYTES
    again = FileMapping(fd, "test", FRAME_BYTES)
    mapping.view[0] = ord("K")
    assert bytes(again.view[:4]) == b"Kept"
    assert os.fstat(fd).st_size == 2 * FRAME_BYTES


def test_what_was_reserved_is_resident_and_as_it_was() -> None:
    mapping = MemfdMapping("test", 4 * FRAME_BYTES)
    mapping.view[FRAME_BYTES] = 7
    assert not mapping.needs_reserve
    assert mapping.reserve(FRAME_BYTES, 2 * FRAME_BYTES)
    assert resident_frames(mapping) == 2
    assert mapping.view[FRAME_BYTES] == 7


@pytest.mark.skipif(not os.access(SHM, os.W_OK), reason="there is no tmpfs at /dev/shm")
def test_a_full_file_system_has_no_room_to_reserve() -> None:
    with tempfile.TemporaryFile(dir=SHM) as file:
        found = os.statvfs(SHM)
        too_much = (found.f_blocks + 1) * found.f_frsize
        mapping = FileMapping(os.dup(file.fileno()), "test", too_much, needs_reserve=True)
        assert not mapping.reserve(0, too_much)
        assert resident_frames(mapping) == 0
        assert mapping.reserve(0, FRAME_BYTES)


def test_a_refused_reservation_for_any_other_reason_is_an_error() -> None:
    mapping = MemfdMapping("test", FRAME_BYTES)
    with pytest.raises(OSError, match="can't reserve memory"):
        mapping.reserve(0, -1)


def mapped_frames(mapping: FileMapping) -> int:
    """Return how many frames of a mapping this process has in its page tables (proc(5), smaps)."""
    name = os.readlink(f"/proc/self/fd/{mapping.fileno()}").removesuffix(" (deleted)")
    lines = Path("/proc/self/smaps").read_text().splitlines()
    (at,) = [place for place, line in enumerate(lines) if line.endswith(f"{name} (deleted)")]
    (resident,) = [line for line in lines[at : at + 6] if line.startswith("Rss:")]
    return int(resident.split()[1]) * 1024 // FRAME_BYTES


def test_what_another_process_has_left_is_mapped_and_holes_stay_holes() -> None:
    fd = os.memfd_create("ramster-left")
    os.ftruncate(fd, 64 * FRAME_BYTES)
    for frame in (0, 7, 8, 9, 63):
        os.pwrite(fd, b"x", frame * FRAME_BYTES)
    mapping = FileMapping(fd, "left", 64 * FRAME_BYTES)
    assert mapped_frames(mapping) == 0
    mapping.fault_in()
    # Linux 5.14 and newer.
    assert mapped_frames(mapping) in {0, 5}
    assert resident_frames(mapping) == 5
