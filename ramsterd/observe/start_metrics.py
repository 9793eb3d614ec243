"""The families of this start of the daemon: whether its incarnation is new enough, and when it did not run."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.host.loop_time import PauseStatistics
from ramsterd.membership.incarnation_floors import FloorStatistics
from ramsterd.observe.metric import by, counter, gauge, one


def start_metrics(floors: FloorStatistics, pauses: PauseStatistics) -> Iterator[Metric]:
    """Yield every family of one snapshot."""
    yield counter(
        "incarnation_floors",
        "Refusals by peers that know a newer incarnation of this node, by what came of them.",
        ["outcome"],
        by({outcome.value: count for outcome, count in floors.outcomes_total.items()}),
    )
    yield gauge(
        "restart_needed",
        "Whether a peer refuses this node until ramsterd is started again.",
        [],
        one(floors.newest > 0),
    )
    yield counter(
        "pauses",
        "Times that ramsterd did not run though it would have: stopped, suspended, or without a processor.",
        [],
        one(pauses.pauses_total),
    )
    yield counter(
        "paused_seconds",
        "Length of these pauses; requests, puts and gets do not wait in that time.",
        [],
        one(pauses.paused_seconds_total),
    )
