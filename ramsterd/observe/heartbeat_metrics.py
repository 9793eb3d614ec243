"""The families of the failure detector."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from heartbeat.service import HeartbeatStatistics
from heartbeat.statistics import SwimStatistics
from nodemanager.states import NodeState
from ramsterd.observe.metric import by, counter, gauge, one

# What a detector may believe of a node; the other states are the node table's.
BELIEVED = (NodeState.JOINING, NodeState.UP, NodeState.SUSPECT, NodeState.DOWN)


def heartbeat_metrics(now: HeartbeatStatistics) -> Iterator[Metric]:
    """Yield every family of one snapshot."""
    yield from _datagrams(now)
    yield from _probes(now.detector)
    yield from _beliefs(now.detector)
    yield from _health(now.detector)


def _datagrams(now: HeartbeatStatistics) -> Iterator[Metric]:
    yield counter("heartbeat_datagrams", "Datagrams, counted or not.", ["direction"], by({
        "sent": now.sent_total, "received": now.received_total,
    }))  # fmt: skip
    yield counter("heartbeat_bytes", "UDP payload.", ["direction"], by({
        "sent": now.sent_bytes_total, "received": now.received_bytes_total,
    }))  # fmt: skip
    yield counter("heartbeat_errors", "Errors of the network.", ["direction"], by({
        "sent": now.send_errors_total, "received": now.receive_errors_total,
    }))  # fmt: skip
    yield counter("heartbeat_dropped_datagrams", "Datagrams that do not count.", ["reason"], by({
        reason.value.replace(" ", "_"): count for reason, count in now.dropped_total.items()
    }))  # fmt: skip


def _probes(now: SwimStatistics) -> Iterator[Metric]:
    yield counter("heartbeat_probes", "Probes of ours, by how they ended.", ["outcome"], by({
        outcome.value: count for outcome, count in now.probes_total.items()
    }))  # fmt: skip
    yield counter("heartbeat_indirect_probes", "Probes for which helpers are asked.", ["side"], by({
        "asked": now.requests_total, "helped": now.relayed_total,
    }))  # fmt: skip


def _beliefs(now: SwimStatistics) -> Iterator[Metric]:
    yield gauge("heartbeat_members", "Other members, by what is believed.", ["state"], by({
        state.value: now.nodes[state] for state in BELIEVED
    }))  # fmt: skip
    yield counter(
        "heartbeat_accusations", "Failed probes of ours that made a suspect.", [],
        one(now.accusations_total),
    )  # fmt: skip
    yield counter("heartbeat_verdicts", "What others were believed to be.", ["state"], by({
        "suspect": now.suspicions_total, "down": now.downs_total,
    }))  # fmt: skip
    yield counter(
        "heartbeat_cleared_verdicts", "Of those, how many turned out to live.", ["state"],
        by({"suspect": now.suspicions_cleared_total, "down": now.downs_cleared_total}),
    )  # fmt: skip
    yield counter(
        "heartbeat_refutations", "How often we denied being suspect or down.", [],
        one(now.refuted_total),
    )  # fmt: skip


def _health(now: SwimStatistics) -> Iterator[Metric]:
    yield gauge(
        "heartbeat_health_score", "How much we doubt ourselves: 0 is healthy.", [],
        one(now.health_multiplier - 1),
    )  # fmt: skip
    yield gauge(
        "heartbeat_starved", "Whether we ask others to give us nothing.", [], one(now.is_starved)
    )
    yield counter(
        "heartbeat_stalls", "How often we noticed that we had slept.", [], one(now.stalls_total)
    )
