"""Metrics of the failure detector."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from heartbeat.service import HeartbeatStatistics
from heartbeat.statistics import SwimStatistics
from ramsterd.observe.metric import by, counter, gauge, one


def heartbeat_metrics(now: HeartbeatStatistics) -> Iterator[Metric]:
    """Yield every family of one snapshot."""
    yield from _datagrams(now)
    yield from _probes(now.detector)
    yield from _beliefs(now.detector)
    yield from _health(now.detector)


def _datagrams(now: HeartbeatStatistics) -> Iterator[Metric]:
    yield counter(
        "heartbeat_datagrams", "Heartbeat datagrams sent and received.", ["direction"],
        by({"sent": now.sent_datagrams_total, "received": now.received_datagrams_total}),
    )  # fmt: skip
    yield counter(
        "heartbeat_bytes", "UDP payload of heartbeat datagrams.", ["direction"],
        by({"sent": now.sent_bytes_total, "received": now.received_bytes_total}),
    )  # fmt: skip
    yield counter(
        "heartbeat_send_errors", "Heartbeat datagrams that the network refused to send.", [],
        one(now.send_errors_total),
    )  # fmt: skip
    yield counter(
        "heartbeat_receive_errors", "Errors while heartbeat datagrams were received.", [],
        one(now.receive_errors_total),
    )  # fmt: skip
    yield counter(
        "heartbeat_dropped_datagrams", "Received heartbeat datagrams that were dropped, by reason.",
        ["reason"],
        by({
            reason.value.replace(" ", "_"): count
            for reason, count in now.dropped_datagrams_total.items()
        }),
    )  # fmt: skip


def _probes(now: SwimStatistics) -> Iterator[Metric]:
    yield counter(
        "heartbeat_probes", "Probes of this node, by outcome: a direct answer, an answer through"
        " another node (indirect) or over the link, no answer (failed), or no result (unjudged).",
        ["outcome"], by({outcome.value: count for outcome, count in now.probes_total.items()}),
    )  # fmt: skip
    yield counter(
        "heartbeat_indirect_probes", "Indirect probes that this node asked others for, or helped others with.",
        ["side"],
        by({
            "asked": now.asked_indirect_probes_total,
            "helped": now.helped_indirect_probes_total,
        }),
    )  # fmt: skip


def _beliefs(now: SwimStatistics) -> Iterator[Metric]:
    yield gauge(
        "heartbeat_members", "Other members, by state.", ["state"],
        by({state.value: count for state, count in now.members.items()}),
    )  # fmt: skip
    yield counter(
        "heartbeat_accusations", "Failed probes of this node that made another node suspect.", [],
        one(now.accusations_total),
    )  # fmt: skip
    yield counter(
        "heartbeat_suspicions", "Times that this node considered another node suspect.", [],
        one(now.suspicions_total),
    )  # fmt: skip
    yield counter(
        "heartbeat_cleared_suspicions", "Suspicions that were wrong.", [],
        one(now.cleared_suspicions_total),
    )  # fmt: skip
    yield counter(
        "heartbeat_downs", "Times that this node considered another node down.", [],
        one(now.downs_total),
    )  # fmt: skip
    yield counter(
        "heartbeat_cleared_downs", "Nodes considered down that were alive.", [],
        one(now.cleared_downs_total),
    )  # fmt: skip
    yield counter(
        "heartbeat_verdicts", "Changes of the state of other nodes.", [], one(now.verdicts_total)
    )
    yield counter(
        "heartbeat_refutations", "Times that this node denied being suspect or down.", [],
        one(now.refutations_total),
    )  # fmt: skip
    yield counter(
        "heartbeat_stale_news", "News of an incarnation of a node that has ended; this node ignores them.",
        [], one(now.stale_news_total),
    )  # fmt: skip
    yield gauge(
        "heartbeat_gossip_rows", "News that this node still sends to others.", [],
        one(now.gossip_rows),
    )  # fmt: skip


def _health(now: SwimStatistics) -> Iterator[Metric]:
    yield gauge(
        "heartbeat_health_multiplier", "Factor on the timeouts of this node's probes: 1 is healthy.",
        [], one(now.health_multiplier),
    )  # fmt: skip
    yield gauge(
        "heartbeat_starved", "Whether this node is short of CPU, and asks others to send it no pages.",
        [], one(now.is_starved),
    )  # fmt: skip
    yield counter(
        "heartbeat_stalls", "Times that this node noticed a pause of its own failure detector.", [],
        one(now.stalls_total),
    )  # fmt: skip
