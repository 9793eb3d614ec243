"""Keeps the reserve resident (core.reserve), in a thread that may wait for the kernel while the loop goes on."""

import logging
from typing import Final

import trio

from ramsterd.core.reserve import Reserve
from ramsterd.host.worker_thread import WorkerThread

logger = logging.getLogger("ramster.memory")

# How often it looks what was used up, and how long it leaves a kernel alone that had nothing.
LOOK_SECONDS: Final = 0.5
REFUSED_SECONDS: Final = 5.0


async def keep_warm(reserve: Reserve, thread: WorkerThread) -> None:
    """Work until cancelled."""
    was_refused = False
    while True:
        work = reserve.next_work()
        if work is None:
            await trio.sleep(LOOK_SECONDS)
            continue
        are_resident = False
        try:
            are_resident = await thread.do(work.populate)
        finally:
            reserve.end_work(work, are_resident=are_resident)
        if are_resident == was_refused:
            was_refused = not are_resident
            _say(reserve, was_refused=was_refused)
        if was_refused:
            await trio.sleep(REFUSED_SECONDS)


def _say(reserve: Reserve, *, was_refused: bool) -> None:
    now = reserve.statistics()
    if was_refused:
        logger.warning(
            "the kernel has no memory for the reserve of swap (%d of %d bytes are there); see with `free` what uses it",
            now.resident_bytes, now.wanted_bytes,
        )  # fmt: skip
    else:
        logger.info("the kernel has memory for the reserve of swap again")
