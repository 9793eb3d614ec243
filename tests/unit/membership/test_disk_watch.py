"""A disk under the cluster file that is full, or hangs, is told, and so is the end of that."""

import threading

import pytest
import trio
import trio.testing

from config.errors import ConfigError
from ramsterd.membership.disk_watch import HANGS_SECONDS, DiskWatch
from tests.helpers.no_threads import no_threads

HANGS = "the disk of the cluster file has not answered for more than 30 s"
FULL = ConfigError("cluster.toml", "", "no space left on device", "room")


class Disk:
    """One that may be full, and what was told of it."""

    def __init__(self) -> None:
        self.is_full = False
        self.answers = threading.Event()
        self.answers.set()
        self.looks: list[str] = []
        self.looked = trio.Event()
        self.watch = DiskWatch(self._check, on_look=self._on_look)

    def _check(self) -> None:
        assert self.answers.wait(10)
        if self.is_full:
            raise FULL

    def _on_look(self, problem: str) -> None:
        self.looks.append(problem)
        self.looked.set()
        self.looked = trio.Event()

    async def look(self) -> None:
        async with trio.open_nursery() as nursery:
            looked = self.looked
            nursery.start_soon(self.watch.run)
            await looked.wait()
            nursery.cancel_scope.cancel()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [vars(record)["event"]["event"] for record in caplog.records]
    caplog.clear()
    return found


async def test_it_is_said_once_and_known_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    disk = Disk()
    await disk.look()
    assert said(caplog) == []
    disk.is_full = True
    await disk.look()
    assert said(caplog) == ["members_unwritable"]
    await disk.look()
    assert said(caplog) == []
    assert disk.looks == ["", str(FULL), str(FULL)]
    disk.is_full = False
    await disk.look()
    assert said(caplog) == ["members_writable"]
    assert disk.looks[-1] == ""


async def test_a_disk_that_hangs_is_told_once_until_it_answers(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    caplog.set_level("INFO")
    disk = Disk()
    disk.answers.clear()
    async with trio.open_nursery() as nursery:
        began_at, looked = trio.current_time(), disk.looked
        nursery.start_soon(disk.watch.run)
        await looked.wait()
        assert trio.current_time() == began_at + HANGS_SECONDS
        await trio.sleep(10 * HANGS_SECONDS)
        assert said(caplog) == ["members_unwritable"]
        assert disk.looks == [HANGS]
        looked = disk.looked
        disk.answers.set()
        await looked.wait()
        assert said(caplog) == ["members_writable"]
        assert disk.looks == [HANGS, ""]
        nursery.cancel_scope.cancel()


async def test_a_disk_that_answers_after_it_hung_may_be_full(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    disk = Disk()
    disk.is_full = True
    disk.answers.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.watch.run)
        await disk.looked.wait()
        looked = disk.looked
        disk.answers.set()
        await looked.wait()
        nursery.cancel_scope.cancel()
    assert disk.looks == [HANGS, str(FULL)]
    assert said(caplog) == ["members_unwritable"] * 2


async def test_without_a_thread_nothing_new_is_known(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = Disk()
    with no_threads(), trio.move_on_after(60):
        await disk.watch.run()
    assert disk.looks == []
