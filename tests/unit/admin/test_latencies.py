import random

from ramsterd.admin.latencies import SAMPLES_MAX, Latencies, percentile


def test_without_an_operation_there_are_no_figures() -> None:
    figures = Latencies().figures()
    assert figures == dict.fromkeys(("p50_seconds", "p90_seconds", "p99_seconds", "max_seconds"))


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    samples = [float(each) for each in range(1, 101)]
    assert [percentile(samples, part) for part in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]
    assert percentile([7.0], 0.5) == 7.0
    assert percentile([1.0, 2.0], 0.5) == 1.0


def test_the_longest_is_kept_however_many_there_are() -> None:
    latencies = Latencies()
    for _ in range(10):
        latencies.add(0.001)
    latencies.add(5.0)
    for _ in range(5 * SAMPLES_MAX):
        latencies.add(0.001)
    figures = latencies.figures()
    assert figures["max_seconds"] == 5.0
    assert figures["p99_seconds"] == 0.001
    assert latencies.count == 5 * SAMPLES_MAX + 11


def test_samples_are_bounded_and_stay_spread_over_the_run() -> None:
    """A run that gets slower half way through has the median between both."""
    latencies, rng = Latencies(), random.Random(1)
    count = 20 * SAMPLES_MAX
    for place in range(count):
        latencies.add((1.0 if place < count * 0.6 else 2.0) + rng.random() / 100)
        assert len(latencies._samples) < SAMPLES_MAX
    figures = latencies.figures()
    assert figures["p50_seconds"] is not None
    assert 1.0 <= figures["p50_seconds"] < 1.02
    assert figures["p90_seconds"] is not None
    assert 2.0 <= figures["p90_seconds"] < 2.02
