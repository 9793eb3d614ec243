"""What each keeper promises, all of them against the same tests: systemd's store is played, the tmpfs is real."""

import fcntl
import os
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from config.host import FIRST_FILE
from ramsterd.host.fd_store import DescriptorStore, descriptors_from
from ramsterd.kept.keepers.keeper import Keeper, KeeperRefused, MemoryTaken, ProcessKeeper
from ramsterd.kept.keepers.lock import lock_memory
from ramsterd.kept.keepers.systemd_keeper import SystemdKeeper, refusal_of
from ramsterd.kept.keepers.tmpfs_keeper import TmpfsKeeper
from tests.fakes.service_manager import FakeServiceManager
from tests.helpers.descriptors import first_free_descriptor

SHM: Final = Path("/dev/shm")
PAGE: Final = 4096
NAMES: Final = ("super", "arena")
needs_shm = pytest.mark.skipif(
    not os.access(SHM, os.W_OK), reason="there is no tmpfs at /dev/shm that we may write to"
)
# Gives a keeper as a new process has it.
Start = Callable[[], Keeper]


@contextmanager
def memory_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=SHM, prefix="ramster-test-") as folder:
        yield Path(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as path:
        yield path / "memory"


@pytest.fixture(params=["systemd", pytest.param("tmpfs", marks=needs_shm)])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        if request.param == "tmpfs":
            path = stack.enter_context(memory_folder())
            yield lambda: TmpfsKeeper(path, bytes_wanted=PAGE)
            return
        manager = stack.enter_context(FakeServiceManager(tmp_path))
        # A socket that the unit listens on is none of ours.
        manager.stored.append(("nbd.socket", os.memfd_create("other")))
        yield lambda: start_with(manager)


def start_with(manager: FakeServiceManager) -> SystemdKeeper:
    first = first_free_descriptor()
    with manager.started(os.getpid(), first=first) as environ:
        received = descriptors_from(environ, first=first)
    others = [fd for name, fd in received if name == "nbd.socket"]
    keeper = SystemdKeeper(DescriptorStore(environ), received)
    for fd in others:
        os.close(fd)  # still ours to close
    return keeper


def make_all(keeper: Keeper) -> None:
    for name in NAMES:
        fd = keeper.make(name, 2 * PAGE)
        assert os.fstat(fd).st_size == 2 * PAGE
        assert not os.get_inheritable(fd)
        os.pwrite(fd, name.encode(), PAGE)
        os.close(fd)
    keeper.finish()


def contents(found: dict[str, int]) -> dict[str, bytes]:
    texts = {name: os.pread(fd, 100, PAGE).rstrip(b"\0") for name, fd in found.items()}
    for fd in found.values():
        os.close(fd)
    return texts


def test_what_was_made_is_taken_by_the_next_process_and_the_one_after(start: Start) -> None:
    keeper = start()
    assert keeper.take() == {}
    make_all(keeper)
    keeper.close()
    for _ in range(2):
        keeper = start()
        assert contents(keeper.take()) == {name: name.encode() for name in NAMES}
        keeper.close()


def test_what_was_given_up_is_gone_and_may_be_made_again(start: Start) -> None:
    keeper = start()
    make_all(keeper)
    keeper.close()
    keeper = start()
    contents(keeper.take())
    keeper.discard()
    keeper.finish()
    assert contents(keeper.take()) == {}
    keeper.close()
    keeper = start()
    assert keeper.take() == {}
    make_all(keeper)
    keeper.close()
    keeper = start()
    assert set(contents(keeper.take())) == set(NAMES)
    keeper.close()


def test_a_keeper_that_takes_nothing_leaves_no_descriptor(start: Start) -> None:
    keeper = start()
    make_all(keeper)
    keeper.close()
    before = len(os.listdir("/proc/self/fd"))
    start().close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_memory_is_locked_by_one_at_a_time_also_when_others_have_it_open(start: Start) -> None:
    """The manager's own description never closes, so nothing may be locked by that."""
    keeper = start()
    fd = keeper.make("super", PAGE)
    keeper.finish()
    copy = os.dup(fd)
    lock = lock_memory(fd)
    with pytest.raises(MemoryTaken, match="another ramsterd uses the kept memory"):
        lock_memory(copy)
    os.close(lock)
    os.close(lock_memory(copy))
    os.close(fd)
    os.close(copy)
    keeper.close()


def test_who_keeps_nothing_finds_nothing() -> None:
    keeper = ProcessKeeper()
    make_all(keeper)
    keeper.discard()
    assert keeper.take() == {}
    keeper.close()


def test_memory_that_can_not_be_had_is_refused() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(KeeperRefused, match="4096 bytes of memory for arena: Too many open"):
            ProcessKeeper().make("arena", PAGE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# systemd


def test_systemd_keeps_nothing_where_it_is_not() -> None:
    assert "systemd did not start this ramsterd" in refusal_of(DescriptorStore({}), mappings=2)


@pytest.mark.parametrize(
    ("descriptors_max", "says_max", "found"),
    [
        (2, True, ""),
        (1, True, "systemd keeps 1 descriptors of this unit, and 3 are needed: "),
        (0, True, "systemd keeps 0 descriptors of this unit, and 3 are needed: "),
        # As systemd before 254: it is tried.
        (64, False, ""),
        (0, False, "systemd keeps no descriptors of this unit, and 3 are needed: "),
    ],
)
def test_a_unit_that_may_store_too_few_is_told_what_to_set(
    tmp_path: Path, descriptors_max: int, says_max: bool, found: str
) -> None:
    with FakeServiceManager(
        tmp_path, descriptors_max=descriptors_max, says_max=says_max
    ) as manager:
        said = refusal_of(DescriptorStore(manager.environ), mappings=2)
        hint = "set FileDescriptorStoreMax=3 or more in the unit"
        assert said == (found and found + hint)
        DescriptorStore(manager.environ).wait_handled()
        assert manager.stored == [], "what was tried is given up"


def test_a_manager_that_keeps_a_part_of_the_memory_and_does_not_say_so_is_found_out(
    tmp_path: Path,
) -> None:
    """A next start would find mappings missing, and give up all pages."""
    with FakeServiceManager(tmp_path, descriptors_max=2, says_max=False) as manager:
        store = DescriptorStore(manager.environ)
        assert refusal_of(store, mappings=2) == ""
        with pytest.raises(KeeperRefused, match="set FileDescriptorStoreMax=3 or more"):
            make_all(SystemdKeeper(store, []))


def test_a_manager_that_does_not_say_how_many_it_stores_is_tried(tmp_path: Path) -> None:
    """As systemd before 254."""
    with FakeServiceManager(tmp_path, says_max=False) as manager:
        make_all(SystemdKeeper(DescriptorStore(manager.environ), []))
        DescriptorStore(manager.environ).wait_handled()
        assert [name for name, _ in manager.stored] == ["ramster-super", "ramster-arena"]


def test_a_name_that_came_twice_is_not_taken(tmp_path: Path) -> None:
    """Nobody knows which of them is meant: the gates then miss a mapping."""
    with FakeServiceManager(tmp_path) as manager:
        keeper = SystemdKeeper(DescriptorStore(manager.environ), [])
        make_all(keeper)
        make_all(keeper)
        os.close(keeper.make("rows", PAGE))
        keeper.finish()
        again = start_with(manager)
        assert set(contents(again.take())) == {"rows"}
        again.discard()
        again.finish()
        assert manager.stored == []


def test_a_manager_that_has_gone_is_an_error_of_one_line(tmp_path: Path) -> None:
    with FakeServiceManager(tmp_path) as manager:
        keeper = SystemdKeeper(DescriptorStore(manager.environ), [])
        make_all(keeper)
    with pytest.raises(KeeperRefused, match="systemd does not take rows"):
        keeper.make("rows", PAGE)
    with pytest.raises(KeeperRefused, match="systemd does not give up"):
        keeper.discard()
    with pytest.raises(KeeperRefused, match="systemd does not answer"):
        keeper.finish()
    silent = DescriptorStore({"NOTIFY_SOCKET": manager.environ["NOTIFY_SOCKET"]})
    with pytest.raises(KeeperRefused, match="systemd does not answer"):
        refusal_of(silent, mappings=2)


# tmpfs


@needs_shm
def test_the_folder_and_its_files_are_for_nobody_else(folder: Path) -> None:
    keeper = TmpfsKeeper(folder, bytes_wanted=PAGE)
    make_all(keeper)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
    assert {each.name for each in folder.iterdir()} == {"super.memory", "arena.memory"}
    keeper.close()


@needs_shm
def test_two_daemons_that_start_at_once_do_not_share_a_folder(folder: Path) -> None:
    keeper = TmpfsKeeper(folder, bytes_wanted=PAGE)
    with pytest.raises(MemoryTaken, match="another ramsterd uses this folder"):
        TmpfsKeeper(folder, bytes_wanted=PAGE)
    keeper.close()
    TmpfsKeeper(folder, bytes_wanted=PAGE).close()


def test_a_folder_on_a_disk_is_refused(tmp_path: Path) -> None:
    if (
        subprocess.run(
            ["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "tmpfs"
    ):
        pytest.skip("the temporary folder is on a tmpfs itself")
    with pytest.raises(KeeperRefused, match="is not on a tmpfs"):
        TmpfsKeeper(tmp_path / "memory", bytes_wanted=PAGE)


@needs_shm
def test_a_tmpfs_that_is_too_small_is_refused_and_what_we_have_of_it_counts(folder: Path) -> None:
    found = os.statvfs(SHM)
    with pytest.raises(KeeperRefused, match="mount a tmpfs with a larger size"):
        TmpfsKeeper(folder, bytes_wanted=found.f_blocks * found.f_frsize + PAGE)
    keeper = TmpfsKeeper(folder, bytes_wanted=PAGE)
    free_before = keeper._free_bytes()
    fd = keeper.make("arena", 1 << 20)
    os.pwrite(fd, bytes(1 << 20), 0)
    os.close(fd)
    assert abs(keeper._free_bytes() - free_before) < 1 << 20
    keeper.close()


@needs_shm
def test_a_tmpfs_that_others_filled_refuses_no_memory_that_is_there(folder: Path) -> None:
    found = os.statvfs(SHM)
    wanted = found.f_blocks * found.f_frsize + PAGE
    keeper = TmpfsKeeper(folder, bytes_wanted=PAGE)
    assert keeper.warning == ""
    os.close(keeper.make("arena", PAGE))
    keeper.close()
    with pytest.raises(KeeperRefused, match="mount a tmpfs with a larger size"):
        TmpfsKeeper(folder, bytes_wanted=wanted)
    (folder / FIRST_FILE).touch(0o600)
    keeper = TmpfsKeeper(folder, bytes_wanted=wanted)
    assert keeper.warning.startswith(f"{folder} has room for ")
    assert keeper.warning.endswith(
        ": remove what others have there, or mount it with a larger size"
    )
    keeper.close()


@needs_shm
@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_that_others_may_use_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(KeeperRefused, match="nobody else may have a right to it"):
        TmpfsKeeper(folder, bytes_wanted=PAGE)


@needs_shm
def test_a_folder_that_is_none_or_a_link_is_refused(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(KeeperRefused, match="is no folder, or a link to one"):
        TmpfsKeeper(folder, bytes_wanted=PAGE)
    folder.unlink()
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "elsewhere")
    with pytest.raises(KeeperRefused, match="is no folder, or a link to one"):
        TmpfsKeeper(folder, bytes_wanted=PAGE)
    with pytest.raises(KeeperRefused, match="can't be used: no such file"):
        TmpfsKeeper(folder.parent / "missing" / "memory", bytes_wanted=PAGE)


@needs_shm
@pytest.mark.root
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(KeeperRefused, match="belongs to user 12345"):
        TmpfsKeeper(folder, bytes_wanted=PAGE)


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def replace_by_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/passwd")


@needs_shm
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.chmod(0o640), "nobody else may have a right"),
        (lambda file: os.link(file, file.with_suffix(".other")), "no file that only we have"),
        (replace_by_pipe, "no file that only we have"),
        (replace_by_link, "can't be opened"),
    ],
)
def test_a_file_that_is_not_ours_alone_is_not_taken(
    folder: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    keeper = TmpfsKeeper(folder, bytes_wanted=PAGE)
    make_all(keeper)
    before = len(os.listdir("/proc/self/fd"))
    spoil(folder / "super.memory")
    with pytest.raises(KeeperRefused, match=reason):
        keeper.take()
    assert len(os.listdir("/proc/self/fd")) == before
    keeper.close()


@needs_shm
def test_files_of_others_are_left_alone(folder: Path) -> None:
    keeper = TmpfsKeeper(folder, bytes_wanted=PAGE)
    (folder / "notes.txt").write_text("mine")
    make_all(keeper)
    with pytest.raises(MemoryTaken, match=r"super\.memory is there already"):
        keeper.make("super", PAGE)
    keeper.discard()
    assert [each.name for each in folder.iterdir()] == ["notes.txt"]
    keeper.close()


# A process that ends as it likes.

_WRITER: Final = """
import os, signal, sys
from pathlib import Path
from ramsterd.kept.keepers.tmpfs_keeper import TmpfsKeeper
fd = TmpfsKeeper(Path(sys.argv[1]), bytes_wanted=4096).make("arena", 8192)
os.pwrite(fd, b"written", 4096)
os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_shm
def test_what_a_killed_process_wrote_is_there_and_unlocked(folder: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", _WRITER, folder], timeout=60, check=False)
    assert ended.returncode == -9
    keeper = TmpfsKeeper(folder, bytes_wanted=PAGE)
    assert contents(keeper.take()) == {"arena": b"written"}
    keeper.close()


def test_a_lock_is_no_copy_of_a_description(tmp_path: Path) -> None:
    """What flock(2) would grant to each copy of one."""
    fd = os.memfd_create("super")
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(MemoryTaken):
        lock_memory(fd)
    os.close(fd)
