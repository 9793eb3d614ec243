"""How long things took is counted in the bucket whose upper end it does not exceed."""

import itertools

import pytest

from ramsterd.host.latency import LATENCY_BUCKETS, Latency


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
