"""How long things took is counted in the bucket whose upper end it does not exceed."""

import itertools
import math

import pytest

from ramsterd.host.latency import LATENCY_BUCKETS, Latency, percentile_end, together


@pytest.mark.parametrize("place", range(len(LATENCY_BUCKETS)))
def test_an_end_belongs_to_its_bucket_and_what_is_longer_to_the_next(place: int) -> None:
    latency = Latency()
    end = LATENCY_BUCKETS[place]
    latency.add(end)
    latency.add(1.01 * end)
    counts = [0] * (len(LATENCY_BUCKETS) + 1)
    counts[place] = counts[place + 1] = 1
    assert latency.statistics().counts == tuple(counts)


def test_nothing_is_too_short_or_too_long_to_be_counted() -> None:
    latency = Latency()
    latency.add(0.0)
    latency.add(3600.0)
    counts = latency.statistics().counts
    assert (counts[0], counts[-1]) == (1, 1)


def test_those_that_left_together_are_counted_at_once() -> None:
    latency = Latency()
    latency.add(0.002, 32)
    counted = latency.statistics()
    assert sum(counted.counts) == 32
    assert counted.seconds_total == pytest.approx(0.064)


def test_the_buckets_are_three_to_a_decade_from_ten_microseconds_to_ten_seconds() -> None:
    assert (LATENCY_BUCKETS[0], LATENCY_BUCKETS[-1]) == (0.00001, 10.0)
    ratios = [above / below for below, above in itertools.pairwise(LATENCY_BUCKETS)]
    assert max(ratios) <= 2.5 + 1e-9
    assert min(ratios) >= 2.0 - 1e-9


def test_a_percentile_is_the_end_of_its_bucket() -> None:
    latency = Latency()
    latency.add(0.00002, 98)
    latency.add(0.002)
    latency.add(3600.0)
    counts = latency.statistics().counts
    assert percentile_end(counts, 0.5) == 0.000025
    assert percentile_end(counts, 0.99) == 0.0025
    assert percentile_end(counts, 1.0) == math.inf
    assert percentile_end([0] * len(counts), 0.99) is None
    with pytest.raises(ValueError, match="3 buckets, expected 20"):
        percentile_end([1, 2, 3], 0.99)


def test_histograms_add_up() -> None:
    one, other = Latency(), Latency()
    one.add(0.002, 2)
    other.add(0.002)
    other.add(1.0)
    both = together([one.statistics(), other.statistics()])
    one.add(0.002)
    one.add(1.0)
    assert both.counts == one.statistics().counts
    assert both.seconds_total == pytest.approx(1.006)
