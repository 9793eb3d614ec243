"""The memory of a node by its config: who keeps it, and which memory counts."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from config.model import MIB, DaemonConfig, KeepMemory, MemoryConfig, NodeConfig
from nodemanager.ids import Incarnation
from ramsterd.kept.keepers.keeper import KeeperRefused, MemoryTaken
from ramsterd.kept.memory import KeptMemory
from ramsterd.pagepath.machines import limits_of
from ramsterd.restart.opening import open_memory
from tests.helpers.kept_folders import kept_folder

NODE = NodeConfig(number=1, name="alpha", address="127.0.0.1")
MEMORY = MemoryConfig(budget=8 * MIB, budget_max=8 * MIB, pages_max=1 << 14)


@pytest.fixture
def folder() -> Iterator[Path]:
    with kept_folder() as path:
        yield path


def opened(
    keep: KeepMemory | Path,
    *,
    memory_id: str = "",
    memory_folder: Path | str = "",
    discard: bool = False,
) -> KeptMemory:
    memory = replace(MEMORY, keep=keep)
    return open_memory(
        DaemonConfig(node="alpha", cluster=Path("none"), memory=memory),
        "lab",
        NODE,
        memory_id=memory_id,
        memory_folder=str(memory_folder),
        environ={},
        received=[],
        now_seconds=5,
        discard=discard,
    )


def leave(folder: Path) -> str:
    """Leave memory as a process that was killed does; return its id."""
    with closing(opened(folder)) as memory:
        memory.make_store(limits_of(MEMORY), Incarnation(7))
        return memory.memory_id.hex()


def test_without_systemd_nobody_keeps_it_and_every_memory_has_a_name_of_its_own() -> None:
    with closing(opened(KeepMemory.AUTO)) as memory, closing(opened(KeepMemory.NOBODY)) as other:
        assert not memory.outlives_process
        assert (memory.incarnation, memory.attaches) == (None, 0)
        assert memory.memory_id != other.memory_id
    with pytest.raises(KeeperRefused, match="NOTIFY_SOCKET"):
        opened(KeepMemory.SYSTEMD)


def test_a_folder_keeps_it_and_the_state_file_says_which_one_counts(folder: Path) -> None:
    memory_id = leave(folder)
    with closing(opened(folder, memory_id=memory_id)) as memory:
        assert (memory.incarnation, memory.attaches) == (7, 1)
        assert memory.outlives_stop
        with pytest.raises(MemoryTaken):
            opened(folder, memory_id=memory_id)
    with closing(opened(folder)) as memory:
        assert memory.attaches == 2, "without a state file the memory's word is taken"
    with closing(opened(folder, memory_id="ab" * 16)) as memory:
        assert "is not of the last run" in memory.given_up
        assert memory.incarnation is None


def test_an_operator_may_discard_it(folder: Path) -> None:
    memory_id = leave(folder)
    with closing(opened(folder, memory_id=memory_id, discard=True)) as memory:
        assert memory.given_up == "an operator has discarded them"
        assert memory.memory_id.hex() != memory_id


@pytest.mark.parametrize("keep", [KeepMemory.AUTO, KeepMemory.NOBODY, Path("other")])
def test_a_start_does_not_leave_pages_behind_in_a_folder(
    folder: Path, keep: KeepMemory | Path
) -> None:
    if isinstance(keep, Path):
        keep = folder / keep
    memory_id = leave(folder)
    found = keep if isinstance(keep, Path) else keep.value
    with pytest.raises(KeeperRefused) as refused:
        opened(keep, memory_id=memory_id, memory_folder=folder)
    assert str(refused.value) == (
        f"found {found}, but the pages of the last run are kept by {folder}, and can't move to another keeper:"
        f' set keep = "{folder}" again; to end these pages, type `ramsterd run --discard-memory`'
    )
    with closing(opened(folder, memory_id=memory_id, memory_folder=folder)) as memory:
        assert memory.incarnation == 7
    with closing(opened(keep, memory_id=memory_id, memory_folder=folder, discard=True)) as memory:
        assert memory.incarnation is None
    assert not list(folder.glob("*.memory")), "what was given up takes no room"


def test_a_folder_by_another_path_is_no_other_folder(folder: Path) -> None:
    memory_id = leave(folder)
    other = folder.parent / "." / ".." / folder.parent.name / folder.name
    with closing(opened(other, memory_id=memory_id, memory_folder=folder)) as memory:
        assert memory.incarnation == 7


def test_only_the_memory_of_the_last_run_counts_in_a_folder_of_before(folder: Path) -> None:
    gone = folder / "gone"
    memory_id = leave(folder)
    for where, name in (
        (folder, "ab" * 16),
        (gone, memory_id),
        (folder / "super.memory", memory_id),
    ):
        with closing(opened(KeepMemory.AUTO, memory_id=name, memory_folder=where)) as memory:
            assert memory.incarnation is None
    (folder / "super.memory").write_bytes(b"cut")
    with closing(opened(KeepMemory.AUTO, memory_id=memory_id, memory_folder=folder)) as memory:
        assert memory.incarnation is None


def test_a_folder_of_before_that_can_not_be_read_may_have_pages(folder: Path) -> None:
    (folder / "super.memory").symlink_to("elsewhere")
    with pytest.raises(KeeperRefused, match=r"has super.memory, which can't be opened: "):
        opened(KeepMemory.AUTO, memory_id="ab" * 16, memory_folder=folder)


def test_memory_that_was_copied_to_another_folder_is_not_left_behind(folder: Path) -> None:
    memory_id = leave(folder)
    with kept_folder() as copied:
        shutil.copytree(folder, copied, dirs_exist_ok=True)
        with closing(opened(copied, memory_id=memory_id, memory_folder=folder)) as memory:
            assert (memory.incarnation, memory.folder) == (7, str(copied))
