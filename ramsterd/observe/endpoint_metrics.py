"""Metrics of file descriptors, the control socket and the metrics port itself."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.observe.live_feed import VIEWERS_MAX
from ramsterd.observe.metric import by, counter, gauge, one
from ramsterd.observe.snapshot import DaemonStatistics


def endpoint_metrics(now: DaemonStatistics) -> Iterator[Metric]:
    """Yield the families."""
    descriptors = now.descriptors
    yield gauge(
        "descriptors_limit", "File descriptors that the daemon may have.", [],
        one(descriptors.limit),
    )  # fmt: skip
    yield gauge(
        "descriptors_reserved", "File descriptors reserved for links and control; clients get none of them.",
        [], one(descriptors.reserved),
    )  # fmt: skip
    yield gauge(
        "descriptors_lowest_free", "The lowest free file descriptor: about how many are in use.", [],
        one(descriptors.lowest_free),
    )  # fmt: skip
    endpoints = {"control": now.control}
    if now.metrics is not None:
        endpoints["metrics"] = now.metrics.endpoint
    found = {name: each for name, each in endpoints.items() if each is not None}
    yield gauge(
        "endpoint_connections", "Connections at the control socket and at the metrics port.",
        ["endpoint"], by({name: each.connections for name, each in found.items()}),
    )  # fmt: skip
    yield counter(
        "endpoint_accepted_connections", "Connections accepted at the control socket and at the metrics port.",
        ["endpoint"], by({name: each.accepted_connections_total for name, each in found.items()}),
    )  # fmt: skip
    yield counter(
        "endpoint_displaced_connections", "Connections at the control socket and at the metrics port"
        " that were closed to make room for newer connections.", ["endpoint"],
        by({name: each.displaced_connections_total for name, each in found.items()}),
    )  # fmt: skip
    if now.metrics is not None:
        yield counter(
            "metrics_answers", "Answers to HTTP requests at the metrics port, by status.",
            ["status"], by(now.metrics.answers_total),
        )  # fmt: skip
        yield gauge(
            "metrics_viewers", f"Browsers that show the status page now (at most {VIEWERS_MAX}).", [], one(now.metrics.viewers),
        )  # fmt: skip
