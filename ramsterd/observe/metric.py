"""Metric families from plain numbers: what all collectors share."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

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


def histogram(
    name: str, text: str, ends: Sequence[float], counts: Sequence[int], total: float
) -> Metric:
    """Return a histogram `ramster_NAME`: `counts[i]` up to `ends[i]` and above the one before, the last of all others."""
    below = [(str(end), float(sum(counts[: place + 1]))) for place, end in enumerate(ends)]
    family = HistogramMetricFamily(f"ramster_{name}", text)
    family.add_metric([], [*below, ("+Inf", float(sum(counts)))], sum_value=total)
    return family


def one(value: float) -> Samples:
    """Return the only sample of a family without labels."""
    return [([], value)]


def by(counts: Mapping[str, float]) -> Samples:
    """Return a sample for each value of the only label."""
    return [([key.lower()], value) for key, value in counts.items()]
