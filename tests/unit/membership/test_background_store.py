"""The loop goes on while the disk takes its time."""

import threading
from dataclasses import replace

import pytest
import trio
import trio.testing

from config.errors import ConfigError
from config.model import ClusterConfig
from ramsterd.membership.background_store import BackgroundStore
from tests.helpers.clusters import cluster_of
from tests.helpers.no_threads import no_threads


def version(number: int) -> ClusterConfig:
    return replace(cluster_of(2), membership_version=number)


class SlowStore:
    """A store in memory whose disk may hang or be full."""

    def __init__(self) -> None:
        self.held = version(0)
        self.written: list[int] = []
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error = ""

    def load(self) -> ClusterConfig:
        return self.held

    def save(self, cluster: ClusterConfig, *, known: ClusterConfig) -> None:
        self.begun.set()
        assert self.may_go_on.wait(10)
        if self.held == cluster:
            return  # as the real one: what a stop gave up may have ended well
        if self.held != known:
            raise ConfigError("f", "", "a change made by hand", "the file as it was read")
        if self.error:
            raise ConfigError("f", "", self.error, "room")
        self.held = cluster
        self.written.append(cluster.membership_version)


class Told:
    """What a store said of its writing."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.came = trio.Event()

    def __call__(self, problem: str) -> None:
        self.problems.append(problem)
        self.came.set()


def new_store() -> tuple[SlowStore, BackgroundStore, Told]:
    slow, told = SlowStore(), Told()
    return slow, BackgroundStore(slow, judge=lambda: None, on_written=told), told


async def test_a_hanging_disk_hangs_nobody_and_the_last_change_is_written() -> None:
    slow, store, told = new_store()
    slow.may_go_on.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        store.save(version(1), known=version(0))
        await trio.to_thread.run_sync(slow.begun.wait, 10)
        # Here the disk hangs, and we go on.
        store.save(version(2), known=version(1))
        store.save(version(3), known=version(2))
        assert slow.written == []
        slow.may_go_on.set()
        with trio.fail_after(10):
            while slow.written != [1, 3]:
                await told.came.wait()
                told.came = trio.Event()
        nursery.cancel_scope.cancel()
    assert told.problems == ["", ""]


async def test_what_is_to_be_written_at_the_stop_is_written() -> None:
    slow, store, _ = new_store()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        await trio.testing.wait_all_tasks_blocked()
        store.save(version(1), known=version(0))
        nursery.cancel_scope.cancel()
    assert slow.written == [1]


async def test_a_full_disk_is_told_and_the_next_change_tries_again() -> None:
    slow, store, told = new_store()
    slow.error = "no space left on device"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        store.save(version(1), known=version(0))
        with trio.fail_after(10):
            await told.came.wait()
        assert told.problems == ["f: found no space left on device, expected room"]
        slow.error, told.came = "", trio.Event()
        store.save(version(2), known=version(1))
        with trio.fail_after(10):
            await told.came.wait()
        nursery.cancel_scope.cancel()
    assert slow.written == [2]
    assert told.problems[1:] == [""]


def test_a_change_by_hand_is_refused_at_once() -> None:
    slow, store, told = new_store()
    slow.held = version(7)
    with pytest.raises(ConfigError, match="by hand"):
        store.save(version(1), known=version(0))
    assert told.problems == []
    assert store.load() == version(7)


def test_a_file_that_may_not_be_written_is_refused_at_once() -> None:
    slow, _, told = new_store()

    def judge() -> None:
        raise ConfigError("f", "", "a read-only file", "a file that may be written")

    store = BackgroundStore(slow, judge=judge, on_written=told)
    with pytest.raises(ConfigError, match="read-only"):
        store.save(version(1), known=version(0))
    assert slow.written == []


async def test_a_thread_that_the_system_refuses_is_told_and_the_next_change_is_written() -> None:
    slow, store, told = new_store()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        with no_threads():
            store.save(version(1), known=version(0))
            await told.came.wait()
        assert "no thread can be started" in told.problems[0]
        told.came = trio.Event()
        store.save(version(2), known=version(1))
        await told.came.wait()
        nursery.cancel_scope.cancel()
    assert slow.written == [2]
    assert told.problems[1:] == [""]
