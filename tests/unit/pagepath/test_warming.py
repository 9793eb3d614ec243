"""The task that keeps the reserve resident: what it asks of its thread, and what it says."""

import logging
from collections.abc import Callable

import pytest
import trio

from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from ramsterd.host.threads import ThreadRefused
from ramsterd.pagepath.warming import LOOK_SECONDS, REFUSED_SECONDS, keep_warm
from tests.helpers.kept_memory import ScarceMemory
from tests.helpers.made_pages import MIB

LIMITS = StoreLimits(budget_bytes=2 * MIB, budget_bytes_max=2 * MIB, pages_max=1 << 12)


async def do_here(work: Callable[[], bool]) -> bool:
    """Do the work where it is asked for: a virtual clock knows no threads."""
    await trio.lowlevel.checkpoint()
    return work()


async def refuse(_: Callable[[], bool]) -> bool:
    raise ThreadRefused


async def test_a_kernel_that_has_no_memory_is_left_alone_and_asked_again(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ramster.memory")
    memory = ScarceMemory(frames_free=300)
    store = Store(memory, LIMITS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_warm, store.reserve, do_here)
        await trio.sleep(LOOK_SECONDS / 2)
        store.room.set_reserve(MIB)
        memory.frames_free, rest = 100, memory.frames_free
        await trio.sleep(1.5 * REFUSED_SECONDS)
        reserve = store.reserve.statistics()
        assert (reserve.resident_bytes, reserve.refused_total, reserve.is_short) == (0, 2, True)
        memory.frames_free = rest + 100
        await trio.sleep(REFUSED_SECONDS)
        reserve = store.reserve.statistics()
        assert (reserve.resident_bytes, reserve.is_short) == (MIB, False)
        nursery.cancel_scope.cancel()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "the kernel has no memory for the reserve of swap (0 of 1048576 bytes are there); see with `free` what uses it",
        "the kernel has memory for the reserve of swap again",
    ]
    store.check_invariants()


async def test_a_system_without_threads_is_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = Store(ScarceMemory(frames_free=300), LIMITS)
    store.room.set_reserve(MIB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_warm, store.reserve, refuse)
        await trio.sleep(1.5 * REFUSED_SECONDS)
        reserve = store.reserve.statistics()
        assert (reserve.resident_bytes, reserve.refused_total, reserve.is_short) == (0, 2, True)
        nursery.cancel_scope.cancel()
    store.check_invariants()
