"""Orders to end: signals, and what an operator types.

SIGTERM and SIGINT stop the daemon, SIGHUP has it read its files again.
"""

import logging
import signal
from collections.abc import Callable

import trio

from config.event_kinds import EventKind, about
from ramsterd.host.signals import STOPPING, release_stop
from ramsterd.restart.handover import Handover
from ramsterd.restart.node_memory import NodeMemory

logger = logging.getLogger("ramster.daemon")


class Orders:
    """What an operator types; the first order counts."""

    def __init__(
        self, node: str, handover: Handover, memory: NodeMemory, stopping: trio.Event
    ) -> None:
        self._node = node
        self._handover = handover
        self._memory = memory
        self._stopping = stopping

    def restart(self, restart_id: str) -> None:
        """Become the next process."""
        if not self._stopping.is_set():
            logger.info(
                "node %s restarts: an operator asked for it", self._node,
                extra=about(EventKind.DAEMON_RESTARTING),
            )  # fmt: skip
            self._handover.restart_id = restart_id
            self._stopping.set()

    def stop(self, *, forget: bool) -> None:
        """Stop, and end all pages if they are to be forgotten."""
        if not self._stopping.is_set():
            how = "stops and forgets its pages" if forget else "stops"
            logger.info(
                "node %s %s: an operator asked for it", self._node, how,
                extra=about(EventKind.DAEMON_STOPPING),
            )  # fmt: skip
            self._memory.is_forgotten = forget
            self._stopping.set()


async def follow_signals(
    node: str, stop: Callable[[], object], reload: Callable[[], object]
) -> None:
    """Follow them until cancelled; the first are the orders that came before (`hold_stop`)."""
    with trio.open_signal_receiver(*STOPPING, signal.SIGHUP) as signals:
        release_stop()
        async for number in signals:
            name = signal.Signals(number).name
            if number != signal.SIGHUP:
                extra = about(EventKind.DAEMON_STOPPING)
                logger.info("node %s stops: it received %s", node, name, extra=extra)
                stop()
            else:
                logger.info("node %s reads its files again: it received %s", node, name)
                reload()
