"""Who keeps the memory of a node, by its config and by the manager that has started it."""

import os
from pathlib import Path

import pytest

from config.model import KeepMemory
from ramsterd.host.fd_store import DescriptorStore
from ramsterd.kept.keepers.choosing import check_same_keeper, choose_keeper
from ramsterd.kept.keepers.keeper import Keeper, KeeperRefused
from tests.fakes.service_manager import FakeServiceManager
from tests.helpers.kept_folders import kept_folder

MAPPINGS = 2


def choose(
    keep: KeepMemory | Path,
    manager: FakeServiceManager | None,
    received: list[tuple[str, int]] | None = None,
    *,
    discard: bool = False,
) -> Keeper:
    return choose_keeper(
        keep,
        {} if manager is None else manager.environ,
        received or [],
        mappings=MAPPINGS,
        bytes_wanted=4096,
        discard=discard,
    )


@pytest.mark.parametrize(
    ("keep", "descriptors_max", "says_max", "found"),
    [
        (KeepMemory.AUTO, 64, True, "systemd"),
        (KeepMemory.AUTO, 1, True, ""),
        (KeepMemory.AUTO, 64, False, "systemd"),
        # A unit of before, under a systemd that does not say that it keeps nothing.
        (KeepMemory.AUTO, 0, False, ""),
        (KeepMemory.SYSTEMD, 64, False, "systemd"),
        (KeepMemory.NOBODY, 64, True, ""),
    ],
)
def test_systemd_keeps_memory_if_it_has_room_for_it(
    tmp_path: Path, keep: KeepMemory, descriptors_max: int, says_max: bool, found: str
) -> None:
    with FakeServiceManager(
        tmp_path, descriptors_max=descriptors_max, says_max=says_max
    ) as manager:
        assert choose(keep, manager).description == found


def test_without_systemd_nobody_keeps_memory_unless_that_is_an_error() -> None:
    assert choose(KeepMemory.AUTO, None).description == ""
    with pytest.raises(KeeperRefused, match="systemd did not start"):
        choose(KeepMemory.SYSTEMD, None)


def stored_before(manager: FakeServiceManager) -> list[tuple[str, int]]:
    """Have the manager keep memory from before a change of the config, and return what a start is given."""
    for name in ("ramster-super", "ramster-arena", "nbd.socket"):
        manager.stored.append((name, os.memfd_create("before")))
    return [(name, os.dup(fd)) for name, fd in manager.stored]


def names_left(manager: FakeServiceManager) -> list[str]:
    """Return what the manager has once it has handled everything."""
    DescriptorStore(manager.environ).wait_handled()
    return [name for name, _ in manager.stored]


def test_a_folder_is_refused_while_systemd_has_pages_of_the_last_run(tmp_path: Path) -> None:
    """A change of the config and a restart would end all of them without a word."""
    with FakeServiceManager(tmp_path) as manager, kept_folder() as folder:
        received = stored_before(manager)
        with pytest.raises(KeeperRefused, match='set keep = "systemd" again; to end these pages'):
            choose(folder / "memory", manager, received)
        assert len(names_left(manager)) == 3
        for _, fd in received:
            os.close(fd)


def test_memory_that_is_given_up_does_not_stay_with_systemd(tmp_path: Path) -> None:
    with FakeServiceManager(tmp_path) as manager, kept_folder() as folder:
        received = stored_before(manager)
        choose(folder / "memory", manager, received, discard=True).close()
        assert names_left(manager) == ["nbd.socket"]
        for name, fd in received:
            if name == "nbd.socket":
                os.close(fd)
            else:
                with pytest.raises(OSError, match="Bad file descriptor"):
                    os.fstat(fd)


def test_a_folder_that_is_refused_costs_no_page(tmp_path: Path) -> None:
    """The operator may want the keeper of before back."""
    with FakeServiceManager(tmp_path) as manager:
        received = stored_before(manager)
        with pytest.raises(KeeperRefused, match="no such file or directory"):
            choose(tmp_path / "none" / "memory", manager, received, discard=True)
        assert len(names_left(manager)) == 3
        for _, fd in received:
            os.close(fd)


def test_memory_that_nobody_is_to_keep_ends_with_this_process(tmp_path: Path) -> None:
    with FakeServiceManager(tmp_path) as manager:
        received = stored_before(manager)
        choose(KeepMemory.NOBODY, manager, received).close()
        assert names_left(manager) == ["nbd.socket"]
        os.close(received[2][1])


def test_memory_of_the_program_before_is_kept_by_systemd_from_now_on(tmp_path: Path) -> None:
    """`ramsterctl restart` with a unit that may store descriptors now, or with another keep."""
    received = [("ramster-super", os.memfd_create("before"))]
    with FakeServiceManager(tmp_path) as manager:
        for _ in range(2):
            keeper = choose(KeepMemory.AUTO, manager, received)
            assert [*keeper.take()] == ["super"]
            assert names_left(manager) == ["ramster-super"]
            keeper.close()
    os.close(received[0][1])


@pytest.mark.parametrize(
    ("keep", "keeper", "is_same"),
    [
        (KeepMemory.AUTO, "systemd", True),
        (KeepMemory.AUTO, "", True),
        (KeepMemory.SYSTEMD, "", True),
        (KeepMemory.NOBODY, "systemd", True),
        (Path("/mnt/pages"), "/mnt/pages", True),
        (Path("/mnt/pages"), "/mnt/others", False),
        (Path("/mnt/pages"), "systemd", False),
        (Path("/mnt/pages"), "", False),
        (KeepMemory.AUTO, "/mnt/pages", False),
        (KeepMemory.NOBODY, "/mnt/pages", False),
    ],
)
def test_the_next_program_finds_what_it_inherits_and_what_is_in_the_same_folder(
    keep: KeepMemory | Path, keeper: str, is_same: bool
) -> None:
    if is_same:
        check_same_keeper(keep, keeper)
    else:
        with pytest.raises(KeeperRefused, match=f"found {getattr(keep, 'value', keep)}, but"):
            check_same_keeper(keep, keeper)
