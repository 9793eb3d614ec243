"""How long things took, counted in buckets: the histogram that all latencies share.  Pure.

This module reads no clock: callers know the seconds already.
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

# Upper ends in seconds, three to a decade: a quantile read from them is off by a factor of 2.5 at
# most, and is exact enough to tell memory (tens of microseconds) from a peer (hundreds) from a peer
# that is slow.  Below 10 us nothing is answered over a socket; what takes more than 10 s is in the
# last bucket, and so late that how late matters no more.  More ends would cost series: each end is
# one for every histogram of every node.
LATENCY_BUCKETS: Final = (
    0.00001, 0.000025, 0.00005,
    0.0001, 0.00025, 0.0005,
    0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05,
    0.1, 0.25, 0.5,
    1.0, 2.5, 5.0,
    10.0,
)  # fmt: skip
assert all(below < above for below, above in itertools.pairwise(LATENCY_BUCKETS))


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStatistics:
    """One histogram: `counts[i]` took up to LATENCY_BUCKETS[i], the last longer than all of them."""

    counts: tuple[int, ...]
    seconds_total: float


def together(parts: Iterable[LatencyStatistics]) -> LatencyStatistics:
    """Return one histogram of several."""
    parts = list(parts)
    counts = tuple(map(sum, zip(*(each.counts for each in parts), strict=True)))
    return LatencyStatistics(counts=counts, seconds_total=sum(each.seconds_total for each in parts))


def percentile_end(counts: Sequence[int], part: float) -> float | None:
    """Return the end of the bucket that a part of all falls below, infinite for the last; None: nothing is counted."""
    if len(counts) != len(LATENCY_BUCKETS) + 1:
        raise ValueError(f"{len(counts)} buckets, expected {len(LATENCY_BUCKETS) + 1}")
    wanted = part * sum(counts)
    for end, count in zip((*LATENCY_BUCKETS, math.inf), itertools.accumulate(counts), strict=True):
        if count and count >= wanted:
            return end
    return None


class Latency:
    """Counts of one kind of thing, by how long it took."""

    __slots__ = ("_counts", "_seconds")

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BUCKETS) + 1)
        self._seconds = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        """Count some that took so long, each of them."""
        self._counts[bisect_left(LATENCY_BUCKETS, seconds)] += count
        self._seconds += seconds * count

    def statistics(self) -> LatencyStatistics:
        """Return a snapshot."""
        return LatencyStatistics(counts=tuple(self._counts), seconds_total=self._seconds)
