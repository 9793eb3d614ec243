"""Signals that are orders: SIGTERM and SIGINT to stop, SIGHUP to read the files again."""

import logging
import signal
from collections.abc import Callable

import trio

logger = logging.getLogger("ramster.daemon")


async def follow_signals(
    node: str, stop: Callable[[], object], reload: Callable[[], object]
) -> None:
    """Follow them until cancelled."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            name = signal.Signals(number).name
            if number != signal.SIGHUP:
                logger.info("node %s stops: it received %s", node, name)
                stop()
            else:
                logger.info("node %s reads its files again: it received %s", node, name)
                reload()
