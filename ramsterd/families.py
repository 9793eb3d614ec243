"""Metric families from plain numbers: what all collectors share."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Samples = Iterable[tuple[list[str], float]]


def gauge(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    """Return a gauge `ramster_NAME`."""
    family = GaugeMetricFamily(f"ramster_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def counter(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    """Return a counter `ramster_NAME_total`."""
    family = CounterMetricFamily(f"ramster_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def one(value: float) -> Samples:
    """Return the only sample of a family without labels."""
    return [([], value)]


def by(counts: Mapping[str, float]) -> Samples:
    """Return a sample for each value of the only label."""
    return [([key.lower()], value) for key, value in counts.items()]
