"""The keeper writes what the marks want, in a thread, one after the other."""

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from ramsterd.host.threads import run_in_thread
from ramsterd.statefile.content import Content, Record
from ramsterd.statefile.folder import StateFolder, read_state
from ramsterd.statefile.keeper import StateKeeper
from ramsterd.statefile.marks import Marks
from ramsterd.statefile.start import new_generation
from tests.helpers.no_threads import no_threads


def make(folder: StateFolder | None) -> StateKeeper:
    content = Content() if folder is None else read_state(folder.file)
    return StateKeeper(Marks(content, new_generation=new_generation, started_at=1), folder)


@asynccontextmanager
async def running(keeper: StateKeeper) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run)
        yield
        nursery.cancel_scope.cancel()


async def set_mark(keeper: StateKeeper, name: str) -> bool:
    """Wait as a front end does."""
    told, came = list[bool](), trio.Event()

    def done(is_set: bool) -> None:
        told.append(is_set)
        came.set()

    answer = keeper.marks.of(name).wait_set(done)
    if answer is not None:
        return answer
    await came.wait()
    return told[0]


async def test_a_mark_is_on_disk_when_a_front_end_is_told(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    keeper = make(folder)
    async with running(keeper):
        assert read_state(folder.file) == Content()
        assert await set_mark(keeper, "swap0")
        assert list(read_state(folder.file).records) == ["swap0"]
    folder.close()


async def test_an_incarnation_is_on_disk_when_it_was_noted(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    keeper = make(folder)
    assert keeper.last_incarnation == 0
    async with running(keeper):
        await keeper.note_incarnation(7)
        assert read_state(folder.file).last_incarnation == 7
    folder.close()


async def test_without_a_folder_nothing_waits_long_and_nothing_is_kept() -> None:
    keeper = make(None)
    async with running(keeper):
        assert await set_mark(keeper, "swap0")
        await keeper.note_incarnation(7)
    assert make(None).last_incarnation == 0


async def test_a_disk_that_refuses_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    caplog.set_level(logging.INFO)
    folder = FlakyFolder(tmp_path)
    keeper = make(folder)
    async with running(keeper):
        folder.is_broken = True
        assert not await set_mark(keeper, "swap0")
        assert not await set_mark(keeper, "swap0")
        with pytest.raises(OSError, match="no space left on device"):
            await keeper.note_incarnation(5)
        assert caplog.text.count("the state file can't be written") == 1
        folder.is_broken = False
        await keeper.wait_written()
        assert await set_mark(keeper, "swap0")
        assert "the state file can be written again: first writes are accepted" in caplog.text
    folder.close()


async def test_a_thread_that_the_system_refuses_is_told_and_tried_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    folder = StateFolder(tmp_path)
    keeper = make(folder)
    async with running(keeper):
        with no_threads():
            assert not await set_mark(keeper, "swap0")
            assert "no thread can be started" in keeper.marks.statistics().problem
        await keeper.wait_written()
        assert await set_mark(keeper, "swap0")
    folder.close()


async def test_a_daemon_does_not_start_when_its_file_cant_be_written(tmp_path: Path) -> None:
    folder = FlakyFolder(tmp_path)
    folder.is_broken = True
    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="no space left")):
        async with running(make(folder)):
            pass
    folder.close()


async def test_what_is_cleared_just_before_a_stop_is_written(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    keeper = make(folder)
    async with running(keeper):
        assert await set_mark(keeper, "swap0")
        keeper.marks.of("swap0").clear()
    assert read_state(folder.file) == Content()
    folder.close()


async def test_a_stop_gives_up_a_disk_that_hangs_and_writes_the_last_content(
    tmp_path: Path,
) -> None:
    folder = SlowFolder(tmp_path)
    keeper = make(folder)
    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run)
        folder.go_on.clear()
        keeper.marks.of("swap0").wait_set(lambda _: None)
        assert await run_in_thread(partial(folder.hanging.wait, 10))
        nursery.cancel_scope.cancel()
        nursery.start_soon(folder.let_go)
    assert list(read_state(folder.file).records) == ["swap0"]
    folder.close()


class FlakyFolder(StateFolder):
    is_broken = False

    def write(self, content: Content, number: int) -> None:
        if self.is_broken:
            raise OSError(28, "No space left on device")
        super().write(content, number)


class SlowFolder(StateFolder):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go_on = threading.Event()
        self.go_on.set()
        self.hanging = threading.Event()

    def write(self, content: Content, number: int) -> None:
        if not self.go_on.is_set():
            self.hanging.set()
            assert self.go_on.wait(10)
        super().write(content, number)

    async def let_go(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
            self.go_on.set()


def test_a_record_is_small() -> None:
    assert len(new_generation()) == 32
    assert Record(new_generation()) != Record(new_generation())
