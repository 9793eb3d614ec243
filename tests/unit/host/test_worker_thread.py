"""A thread for work that may wait: outcomes, cancellation, and that it is one thread."""

import threading

import pytest
import trio

from ramsterd.host.threads import ThreadRefused
from ramsterd.host.worker_thread import WorkerThread
from tests.helpers.no_threads import no_threads


async def test_work_is_done_outside_of_the_loop_one_after_the_other() -> None:
    worker = WorkerThread("test")
    done: list[tuple[int, str]] = []

    def work(number: int) -> bool:
        done.append((number, threading.current_thread().name))
        return number > 0

    with no_threads():  # it was there before
        assert not await worker.do(lambda: work(0))
        assert await worker.do(lambda: work(1))
    assert done == [(0, "test"), (1, "test")]


async def test_what_the_work_raises_is_raised() -> None:
    def fail() -> bool:
        raise OSError("no memory")

    worker = WorkerThread("test")
    with pytest.raises(OSError, match="no memory"):
        await worker.do(fail)
    assert await worker.do(lambda: True)


async def test_a_cancelled_task_does_not_wait_for_the_kernel() -> None:
    worker = WorkerThread("test")
    may_end, has_begun = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def wait() -> bool:
        token.run_sync_soon(has_begun.set)
        return may_end.wait(10)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.do, wait)
        await has_begun.wait()
        nursery.cancel_scope.cancel()
    may_end.set()
    assert await worker.do(lambda: True), "it goes on"


def test_a_loop_may_end_before_the_work() -> None:
    worker = WorkerThread("test")
    may_end = threading.Event()

    async def leave() -> None:
        with trio.move_on_after(0.01):
            await worker.do(lambda: may_end.wait(10))

    trio.run(leave)
    may_end.set()

    async def go_on() -> bool:
        return await worker.do(lambda: True)

    assert trio.run(go_on)


def test_a_thread_that_is_refused_is_said() -> None:
    with no_threads(), pytest.raises(ThreadRefused):
        WorkerThread("test")
