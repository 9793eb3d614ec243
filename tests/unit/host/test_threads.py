import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import trio

from ramsterd.host import threads
from ramsterd.host.threads import ThreadRefused, keep_threads, run_in_thread, start_thread
from tests.helpers.no_threads import no_threads, refuse


@pytest.fixture(autouse=True)
def none_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread of another test waits for work."""
    monkeypatch.setattr(threads, "_idle", [])


def fail() -> None:
    raise RuntimeError("can't start new thread of a novel")


async def test_a_refused_thread_is_told_as_such() -> None:
    assert await run_in_thread(lambda: 5) == 5
    with no_threads(), pytest.raises(ThreadRefused, match=r"raise TasksMax="):
        await run_in_thread(lambda: 5)
    assert await run_in_thread(lambda: 6) == 6


async def test_what_the_work_raises_is_its_own() -> None:
    with pytest.raises(RuntimeError, match="of a novel"):
        await run_in_thread(fail)


def test_a_call_from_outside_of_trio_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="async context"):
        run_in_thread(fail).send(None)


def test_a_refused_thread_that_is_to_last_is_told_as_such() -> None:
    with no_threads(), pytest.raises(ThreadRefused):
        start_thread(fail, "novel")
    came: list[int] = []
    start_thread(lambda: came.append(1), "short").join(10)
    assert came == [1]


async def test_work_is_done_by_threads_that_were_made_before() -> None:
    keep_threads(2)
    with no_new_threads():
        keep_threads(2)
        # Each waits for the other.
        both = threading.Barrier(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_in_thread, partial(both.wait, 10))
            nursery.start_soon(run_in_thread, partial(both.wait, 10))
        for _ in range(5):
            assert await run_in_thread(threading.get_ident) != threading.get_ident()
        with pytest.raises(ThreadRefused):
            keep_threads(3)


@contextmanager
def no_new_threads() -> Iterator[None]:
    """Refuse every thread in the block but those that wait for work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield


class Held:
    """Work that lasts until it may end."""

    def __init__(self) -> None:
        self.begun, self.may_end, self.ended = (threading.Event() for _ in range(3))

    def __call__(self) -> int:
        self.begun.set()
        assert self.may_end.wait(10)
        self.ended.set()
        return 7


async def test_a_cancellation_waits_for_the_work() -> None:
    work = Held()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_in_thread, work)
            await run_in_thread(work.begun.wait)
            scope.cancel()
            work.may_end.set()
    assert work.ended.is_set()


async def test_a_cancellation_abandons_work_that_may_be_abandoned() -> None:
    work = Held()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run_in_thread, work, abandon_on_cancel=True))
        await run_in_thread(work.begun.wait)
        nursery.cancel_scope.cancel()
    assert not work.ended.is_set()
    work.may_end.set()
    assert await run_in_thread(partial(work.ended.wait, 10)), "it goes on by itself"


async def test_what_is_cancelled_before_it_begins_never_does() -> None:
    work = Held()
    with trio.CancelScope() as scope:
        scope.cancel()
        await run_in_thread(work)
    assert scope.cancelled_caught
    assert not work.begun.is_set()


def test_work_that_outlives_its_loop_ends_by_itself() -> None:
    work = Held()

    async def abandon() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(run_in_thread, work, abandon_on_cancel=True))
            await run_in_thread(work.begun.wait)
            nursery.cancel_scope.cancel()

    trio.run(abandon)
    work.may_end.set()
    assert work.ended.wait(10)
    assert trio.run(run_in_thread, lambda: 5) == 5, "in the next loop"


async def test_a_thread_that_waits_keeps_nothing_of_its_last_work() -> None:
    class Big:
        pass

    big = Big()
    known = weakref.ref(big)
    assert await run_in_thread(partial(id, big))
    with pytest.raises(ValueError, match="of work"):
        await run_in_thread(partial(fail_with, big))
    del big
    # A thread lets go of it once it has answered, and goes on to the next work then.
    await run_in_thread(lambda: None)
    await run_in_thread(lambda: None)
    gc.collect()
    assert known() is None


def fail_with(_: object) -> None:
    raise ValueError("of work")
