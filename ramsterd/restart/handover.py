"""The daemon's side of a change of processes: what it took over at its start, and what it leaves at its end."""

import logging
from collections.abc import Callable, Mapping, Sequence

from config.event_kinds import EventKind, about
from ramsterd.handover.arrival import Arrival, HandoverStatistics
from ramsterd.handover.keeping import Keeping
from ramsterd.handover.parting import Parting
from ramsterd.host.fd_store import DescriptorStore
from ramsterd.host.sd_notify import Notifier
from ramsterd.restart.departure import Departure, Leaving, collect

logger = logging.getLogger("ramster.daemon")


class Handover:
    """See the module's text."""

    def __init__(
        self,
        keeping: Keeping,
        arrival: Arrival,
        *,
        environ: Mapping[str, str],
        notifier: Notifier,
        nanoseconds: Callable[[], int],
    ) -> None:
        """Wire it.

        Args:
            keeping: Whether the next process will have the pages, and which memory this one has.
            arrival: What an earlier process left.
            environ: Says whether there is a service manager that starts the next process.
            notifier: Tells it what happens.
            nanoseconds: Returns CLOCK_MONOTONIC.
        """
        self.keeping = keeping
        self.arrival = arrival
        self._has_manager = DescriptorStore(environ).has_manager
        self._notifier = notifier
        self._nanoseconds = nanoseconds
        # Of the restart that an operator asked for.
        self.restart_id = ""
        arrival.require_memory(keeping.memory_id)

    def statistics(self) -> HandoverStatistics:
        """Return a snapshot."""
        return self.arrival.statistics()

    def finish_arrival(self) -> None:
        """All front ends have taken what is theirs."""
        arrival = self.arrival
        arrival.finish(now_nanoseconds=self._nanoseconds())
        now = arrival.statistics()
        if arrival.problem:
            logger.warning(
                "clients of the last run are disconnected: %s", arrival.problem,
                extra=about(EventKind.CLIENTS_KEPT, connections=0),
            )  # fmt: skip
        if arrival.came:
            logger.info(
                "%d clients of the last run stay connected: they waited for %.2f s; %d are disconnected",
                now.connections_total, now.gap_seconds, now.dropped_connections_total,
                extra=about(EventKind.CLIENTS_KEPT, connections=now.connections_total),
            )  # fmt: skip

    async def depart(
        self, front_ends: Sequence[Leaving], *, seconds_max: float
    ) -> Departure | None:
        """Stop all clients at an edge and collect their sockets.

        None: the next process won't have their pages.

        What still has clients is to be cancelled in the same step.
        """
        is_replacing, keeping = bool(self.restart_id), self.keeping
        has_next = is_replacing or (self._has_manager and keeping.outlives_process)
        if not has_next:
            self._notifier.stopping()
            return None
        paused_at = self._nanoseconds()
        if is_replacing:
            self._notifier.reloading(now_nanoseconds=paused_at)
        else:
            self._notifier.stopping()
        parting = Parting(
            memory_id=self.keeping.memory_id,
            restart_id=self.restart_id,
            paused_at_nanoseconds=paused_at,
        )
        await collect(front_ends, parting, seconds_max=seconds_max)
        logger.info(
            "%d clients wait for the next process, %d are disconnected",
            parting.connections, parting.dropped,
        )  # fmt: skip
        return Departure(parting, is_replacing, tuple(self.keeping.descriptors))
