"""Keeps the reserve resident (core.reserve), in a thread that may wait for the kernel while the loop goes on."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from config.event_kinds import EventKind, about
from ramsterd.core.reserve import Reserve
from ramsterd.host.loop_clock import sleep_to_turn
from ramsterd.host.threads import ThreadRefused

logger = logging.getLogger("ramster.memory")

# How often it looks what was used up, and how long it leaves a kernel alone that had nothing.
LOOK_SECONDS: Final = 0.5
REFUSED_SECONDS: Final = 5.0

# Does something elsewhere than in the loop: `host.threads.run_in_thread`.
Offload: TypeAlias = Callable[[Callable[[], bool]], Awaitable[bool]]


async def keep_warm(reserve: Reserve, offload: Offload) -> None:
    """Work until cancelled."""
    was_refused = False
    while True:
        work = reserve.next_work()
        if work is None:
            await sleep_to_turn(LOOK_SECONDS)
            continue
        are_resident = False
        try:
            are_resident = await offload(work.populate)
        except ThreadRefused as error:
            # As good as a kernel without memory: it had none for a thread.
            logger.debug("the reserve is not filled: %s", error)
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
            now.resident_bytes, now.wanted_bytes, extra=about(EventKind.RESERVE_STARVED),
        )  # fmt: skip
    else:
        extra = about(EventKind.RESERVE_FILLED)
        logger.info("the kernel has memory for the reserve of swap again", extra=extra)
