"""What a start finds at its keeper: taken up, given up, or left for an operator; and which files stay open."""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nodemanager.ids import Incarnation
from ramsterd.core.versions import StoreLimits
from ramsterd.kept.keepers.keeper import KeeperRefused, MemoryTaken
from ramsterd.kept.keepers.tmpfs_keeper import TmpfsKeeper
from ramsterd.kept.layout import MAPPINGS, SUPER
from ramsterd.kept.memory import KeptMemory
from ramsterd.kept.opening import Opened, open_kept
from ramsterd.kept.super_page import State
from tests.helpers.kept_folders import kept_folder
from tests.helpers.made_pages import MIB
from tests.helpers.node_memories import IDENTITY

LIMITS = StoreLimits(budget_bytes=MIB, budget_bytes_max=MIB, pages_max=1024)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with the memory of a process that was killed."""
    with kept_folder() as path:
        memory = KeptMemory(
            keeper_of(path), IDENTITY, new_memory_id=lambda: secrets.token_bytes(16), now_seconds=5
        )
        memory.make_store(LIMITS, Incarnation(7))
        memory.close()
        yield path


def keeper_of(folder: Path) -> TmpfsKeeper:
    return TmpfsKeeper(folder, bytes_wanted=4096)


@contextmanager
def opened(folder: Path, **options: object) -> Iterator[Opened]:
    """Open it as a process does, and end that."""
    keeper = keeper_of(folder)
    identity = replace(IDENTITY, **{k: v for k, v in options.items() if k != "discard"})  # type: ignore[arg-type]
    with ExitStack() as held:
        held.callback(keeper.close)
        found = open_kept(keeper, identity, held, discard=bool(options.get("discard")))
        for fd in found.files.values():
            held.callback(os.close, fd)
        yield found


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_each_start_counts_until_it_has_served(folder: Path) -> None:
    for count in (1, 2):
        with opened(folder) as found:
            assert found.super_page is not None
            live = found.super_page.live
            assert (live.attempts, live.attaches, live.state) == (count, count, State.RUNNING)
            assert found.files.keys() == {SUPER, *MAPPINGS}
            assert not found.was_clean
    with opened(folder) as found:
        assert found.super_page is not None
        found.super_page.write(replace(found.super_page.live, state=State.CLEAN, attempts=0))
    with opened(folder) as found:
        assert found.was_clean


def test_no_memory_is_no_reason(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    for discard in (False, True):
        with opened(folder, discard=discard) as found:
            assert (found.files, found.super_page, found.given_up) == ({}, None, "")


def test_what_is_of_no_use_is_gone_with_its_reason_and_no_file_stays_open(folder: Path) -> None:
    before = open_files()
    with opened(folder, boot_id=b"c" * 16) as found:
        assert found.given_up.startswith("the kept memory is from before a reboot: ")
        assert found.super_page is None
    assert not any(folder.iterdir())
    assert open_files() == before


def test_memory_without_its_first_page_is_of_no_use(folder: Path) -> None:
    (folder / "super.memory").unlink()
    with opened(folder) as found:
        assert found.given_up == "the kept memory is cut off: no super, expected 4096 bytes"


def test_an_operator_may_discard_it(folder: Path) -> None:
    with opened(folder, discard=True) as found:
        assert found.given_up == "an operator has discarded them"
    assert not any(folder.iterdir())


def test_what_others_may_want_is_left_and_the_message_says_what_to_type(folder: Path) -> None:
    page = (folder / "super.memory").read_bytes()
    with pytest.raises(KeeperRefused) as refused, opened(folder, cluster="rack7"):
        pass
    assert str(refused.value) == (
        f"{folder}: the kept memory is of another cluster: 'lab', expected 'rack7';"
        " to start without its pages, type `ramsterd run --discard-memory`"
    )
    assert (folder / "super.memory").read_bytes() == page


def test_a_start_beside_one_that_runs_changes_nothing(folder: Path) -> None:
    with (
        opened(folder) as found,
        pytest.raises(MemoryTaken, match="another ramsterd uses this folder"),
        opened(folder, discard=True),
    ):
        pass
    assert found.super_page is not None
    assert any(folder.iterdir())
