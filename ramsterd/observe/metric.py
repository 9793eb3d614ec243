"""Metric families from plain numbers: what all collectors share."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ramsterd.host.latency import LATENCY_BUCKETS, LatencyStatistics

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
    family = HistogramMetricFamily(f"ramster_{name}", text)
    _add_histogram(family, [], ends, counts, total)
    return family


def latencies(
    name: str, text: str, labels: list[str], samples: Iterable[tuple[list[str], LatencyStatistics]]
) -> Metric:
    """Return histograms `ramster_NAME` of one family, with the buckets that all latencies share."""
    family = HistogramMetricFamily(f"ramster_{name}", text, labels=labels)
    for values, value in samples:
        _add_histogram(family, values, LATENCY_BUCKETS, value.counts, value.seconds_total)
    return family


def _add_histogram(
    family: HistogramMetricFamily,
    values: list[str],
    ends: Sequence[float],
    counts: Sequence[int],
    total: float,
) -> None:
    counted = [float(each) for each in accumulate(counts)]
    buckets = [*zip(map(str, ends), counted, strict=False), ("+Inf", counted[-1])]
    family.add_metric(values, buckets, sum_value=total)


def one(value: float) -> Samples:
    """Return the only sample of a family without labels."""
    return [([], value)]


def by(counts: Mapping[str, float]) -> Samples:
    """Return a sample for each value of the only label."""
    return [([key.lower()], value) for key, value in counts.items()]
