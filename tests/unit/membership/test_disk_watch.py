"""A full disk under the cluster file is told when it fills, and when it has room again."""

import pytest
import trio
import trio.testing

from config.errors import ConfigError
from ramsterd.membership.disk_watch import DiskWatch
from tests.helpers.no_threads import no_threads

FULL = ConfigError("cluster.toml", "", "no space left on device", "room")


class Disk:
    """One that may be full, and what was told of it."""

    def __init__(self) -> None:
        self.is_full = False
        self.looks: list[str] = []
        self.looked = trio.Event()
        self.watch = DiskWatch(self._check, on_look=self._on_look)

    def _check(self) -> None:
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
    assert said(caplog) == ["members_unwritten"]
    await disk.look()
    assert said(caplog) == []
    assert disk.looks == ["", str(FULL), str(FULL)]
    disk.is_full = False
    await disk.look()
    assert said(caplog) == ["members_written"]
    assert disk.looks[-1] == ""


async def test_without_a_thread_nothing_new_is_known(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = Disk()
    with no_threads(), trio.move_on_after(60):
        await disk.watch.run()
    assert disk.looks == []
