"""Readers: which reads of clients belong together, each reader with its trend.  Bounded, the longest idle goes first.

A reader begins with two reads near each other.  One that is near no other is remembered for a
while: who reads at random pays little, and makes nobody go.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ramsterd.core.page import PoolId
from ramsterd.remote.fetch.trend import NEAR_PAGES, Trend

# Objects whose reads are looked at, and readers of each that are told apart: a node with more
# exports under load at a time than this reads ahead for some of them.
OBJECTS_MAX: Final = 64
READERS_PER_OBJECT_MAX: Final = 8
# Reads near no other that are remembered of an object.
SINGLES_MAX: Final = 16
# Of reads that come together: who reads in order has one run or a few, and who does not should not
# pay for it.
RUNS_LOOKED_AT_MAX: Final = 8

Key: TypeAlias = tuple[PoolId, bytes]


@dataclass(slots=True, eq=False)
class Reading:
    """What is known of an object."""

    # The one that read last in front.
    trends: list[Trend] = field(default_factory=list)
    # Of reads that are no reader's: where each began, and behind it; the last one in front.
    singles: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SINGLES_MAX))


def runs_of(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs that pages make up, in their order: as many as are looked at."""
    if isinstance(indexes, range):
        yield indexes.start, len(indexes)
        return
    start = end = indexes[0]
    runs = 1
    for index in indexes:
        if index != end:
            yield start, end - start
            if runs == RUNS_LOOKED_AT_MAX:
                return
            start, runs = index, runs + 1
        end = index + 1
    yield start, end - start


class Readers:
    """See the module's text."""

    def __init__(self) -> None:
        # The object that was read last behind all others.
        self._objects: OrderedDict[Key, Reading] = OrderedDict()
        # How many readers made way for others.
        self.forgotten_total = 0

    def __len__(self) -> int:
        return sum(len(reading.trends) for reading in self._objects.values())

    def of(self, key: Key, index: int, count: int) -> tuple[Trend | None, list[Trend]]:
        """Return the reader whose read this may be, None if there is none yet, and those that make way for it or its object."""
        reading = self._objects.get(key)
        if reading is None:
            reading = self._objects[key] = Reading()
            reading.singles.appendleft((index, index + count))
            return None, self._make_way()
        self._objects.move_to_end(key)
        trends = reading.trends
        trend = _whose(trends, index)
        if trend is not None:
            if trends[0] is not trend:
                trends.remove(trend)
                trends.insert(0, trend)
            return trend, []
        for single in reading.singles:
            if -NEAR_PAGES <= index - single[1] <= NEAR_PAGES:
                reading.singles.remove(single)
                return self._begin(trends, *single)
        reading.singles.appendleft((index, index + count))
        return None, []

    def _begin(self, trends: list[Trend], start: int, end: int) -> tuple[Trend, list[Trend]]:
        """Return a reader that began with a read, and the one that makes way for it."""
        trend = Trend(start, end - start)
        trends.insert(0, trend)
        if len(trends) <= READERS_PER_OBJECT_MAX:
            return trend, []
        self.forgotten_total += 1
        return trend, [trends.pop()]

    def _make_way(self) -> list[Trend]:
        """Return the readers of the object that was read longest ago, if there is one object too many."""
        if len(self._objects) <= OBJECTS_MAX:
            return []
        _, forgotten = self._objects.popitem(last=False)
        self.forgotten_total += len(forgotten.trends)
        return forgotten.trends

    def forget_all(self) -> list[Trend]:
        """Return all readers, which are none any more."""
        trends = [trend for reading in self._objects.values() for trend in reading.trends]
        self._objects.clear()
        return trends


def _whose(trends: list[Trend], index: int) -> Trend | None:
    """Return the reader that was to read here next, or else one that read nearby."""
    near: Trend | None = None
    for trend in trends:
        gap = index - trend.end
        if gap == (trend.stride or 0):
            return trend
        if near is None and -NEAR_PAGES <= gap <= NEAR_PAGES:
            near = trend
    return near
