"""Metrics of health: each code with its severities, which are muted, and the failure tolerance."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.health.codes import RULES
from ramsterd.health.machine import HealthStatistics
from ramsterd.observe.metric import gauge, one


def health_metrics(health: HealthStatistics) -> Iterator[Metric]:
    """Yield the families."""
    active = {each.code: each.severity for each in health.codes}
    muted = {each.code for each in health.codes if each.muted_seconds}
    yield gauge(
        "health", "Whether a code of `ramsterctl health` holds with a severity, muted or not.",
        ["code", "severity"],
        [
            ([code.value, severity.name.lower()], float(active.get(code.value) is severity))
            for code, rule in RULES.items()
            for severity in rule.severities
        ],
    )  # fmt: skip
    yield gauge(
        "health_muted", "Whether a code that holds is muted.", ["code"],
        [([code.value], float(code.value in muted)) for code in RULES],
    )  # fmt: skip
    yield gauge(
        "health_failure_tolerance_nodes",
        "How many other nodes may end at once without a page of this node being lost.", [],
        one(health.failure_tolerance_nodes),
    )  # fmt: skip
