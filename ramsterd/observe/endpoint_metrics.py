"""Metrics of file descriptors, the control socket and the metrics port itself."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.observe.metric import by, counter, gauge, one
from ramsterd.observe.snapshot import DaemonStatistics


def endpoint_metrics(now: DaemonStatistics) -> Iterator[Metric]:
    """Yield the families."""
    descriptors = now.descriptors
    yield gauge(
        "descriptors", "File descriptors that this process may have.", [], one(descriptors.limit)
    )
    yield gauge(
        "descriptors_reserved", "Of these, kept for links and control; clients get none of them.", [],
        one(descriptors.reserved),
    )  # fmt: skip
    yield gauge(
        "descriptors_in_use", "File descriptors below the lowest that is free.", [],
        one(descriptors.lowest_free),
    )  # fmt: skip
    endpoints = {"control": now.control}
    if now.metrics is not None:
        endpoints["metrics"] = now.metrics.endpoint
    found = {name: each for name, each in endpoints.items() if each is not None}
    yield gauge(
        "endpoint_connections", "Clients of the control socket and of the metrics port.", ["endpoint"],
        by({name: each.connections for name, each in found.items()}),
    )  # fmt: skip
    yield counter(
        "endpoint_accepted_connections", "Connections to these, ever.", ["endpoint"],
        by({name: each.connections_total for name, each in found.items()}),
    )  # fmt: skip
    yield counter(
        "endpoint_displaced_connections", "Connections closed to make room for newer ones.",
        ["endpoint"], by({name: each.connections_displaced_total for name, each in found.items()}),
    )  # fmt: skip
    if now.metrics is not None:
        yield counter(
            "metrics_answers", "Answers to HTTP requests, by status.", ["status"],
            by(now.metrics.answers_total),
        )  # fmt: skip
