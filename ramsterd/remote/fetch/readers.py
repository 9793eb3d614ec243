"""Readers: which reads of clients belong together, each reader with its trend.  Bounded, the longest idle goes first."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from ramsterd.core.page import PoolId
from ramsterd.remote.fetch.trend import NEAR_PAGES, Trend

# Objects whose reads are looked at, and readers of each that are told apart: a node with more
# exports under load at a time than this reads ahead for some of them.
OBJECTS_MAX: Final = 64
READERS_PER_OBJECT_MAX: Final = 8
# Of reads that come together: who reads in order has one run or a few, and who does not should not
# pay for it.
RUNS_LOOKED_AT_MAX: Final = 8

Key: TypeAlias = tuple[PoolId, bytes]


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
        # By object, and in each the one that read last in front.
        self._trends: OrderedDict[Key, list[Trend]] = OrderedDict()
        # How many readers made way for others.
        self.forgotten_total = 0

    def __len__(self) -> int:
        return sum(map(len, self._trends.values()))

    def of(self, key: Key, index: int, count: int) -> tuple[Trend | None, list[Trend]]:
        """Return the reader whose read this may be, None if it is the first of a new one, and those that make way for it."""
        trends = self._trends.get(key)
        if trends is None:
            self._trends[key] = [Trend(index, count)]
            if len(self._trends) <= OBJECTS_MAX:
                return None, []
            _, forgotten = self._trends.popitem(last=False)
            self.forgotten_total += len(forgotten)
            return None, forgotten
        self._trends.move_to_end(key)
        trend = _whose(trends, index)
        if trend is not None:
            if trends[0] is not trend:
                trends.remove(trend)
                trends.insert(0, trend)
            return trend, []
        trends.insert(0, Trend(index, count))
        if len(trends) <= READERS_PER_OBJECT_MAX:
            return None, []
        self.forgotten_total += 1
        return None, [trends.pop()]

    def forget_all(self) -> list[Trend]:
        """Return all readers, which are none any more."""
        trends = [trend for trends in self._trends.values() for trend in trends]
        self._trends.clear()
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
