"""The families of this start of the daemon: whether its incarnation is new enough, and when it did not run."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.handover.arrival import HandoverStatistics
from ramsterd.host.loop_time import PauseStatistics
from ramsterd.membership.incarnation_floors import FloorStatistics
from ramsterd.observe.metric import by, counter, gauge, one


def start_metrics(
    floors: FloorStatistics, pauses: PauseStatistics, handover: HandoverStatistics
) -> Iterator[Metric]:
    """Yield every family of one snapshot."""
    yield counter(
        "incarnation_floors_heard",
        "Refusals by peers that know a newer incarnation of this node, by what this node did.",
        ["outcome"],
        by({outcome.value: count for outcome, count in floors.heard_total.items()}),
    )
    yield gauge(
        "restart_needed",
        "Whether a peer refuses this node until ramsterd is restarted.",
        [],
        one(floors.newest > 0),
    )
    yield counter(
        "pauses",
        "Times that the system did not run ramsterd: it was stopped, suspended, or short of CPU.",
        [],
        one(pauses.pauses_total),
    )
    yield counter(
        "paused_seconds",
        "Total length of these pauses. No timeout counts this time.",
        [],
        one(pauses.paused_seconds_total),
    )
    yield gauge(
        "handover_connections",
        "Client connections that the last restart left to this process, by what became of them.",
        ["outcome"],
        by(
            {
                "kept": handover.connections_total,
                "dropped": handover.dropped_connections_total,
            }
        ),
    )
    yield gauge(
        "handover_gap_seconds",
        "Time that the clients of these connections waited for this process.",
        [],
        one(handover.gap_seconds),
    )
