"""Latencies of one kind of operation: how many, how long, and the percentiles.  Pure.

Samples are bounded: when there are too many, every second one goes, and from then on only every
second one is kept, and so on.  Those that are kept stay spread evenly over the run.
"""

import math
from typing import Final

SAMPLES_MAX: Final = 1 << 14


class Latencies:
    """Seconds of each operation."""

    def __init__(self) -> None:
        self.count = 0
        self._longest = 0.0
        self._samples: list[float] = []
        self._stride = 1

    def add(self, seconds: float) -> None:
        """An operation took so long."""
        self._longest = max(self._longest, seconds)
        if self.count % self._stride == 0:
            self._samples.append(seconds)
            if len(self._samples) == SAMPLES_MAX:
                del self._samples[1::2]
                self._stride *= 2
        self.count += 1

    def figures(self) -> dict[str, float | None]:
        """Return p50, p90, p99 and the longest in seconds; None where nothing was measured."""
        samples = sorted(self._samples)
        found: dict[str, float | None] = {
            f"p{percent}_seconds": percentile(samples, percent / 100) for percent in (50, 90, 99)
        }
        return {**found, "max_seconds": self._longest if self.count else None}


def percentile(samples: list[float], part: float) -> float | None:
    """Return the value that a part of sorted samples does not exceed (nearest rank)."""
    if not samples:
        return None
    return samples[max(0, math.ceil(part * len(samples)) - 1)]
