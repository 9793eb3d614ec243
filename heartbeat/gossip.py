"""News to be told on, as much as fits each datagram (SWIM, section 4.1).  Pure.

One row a node, its newest; each is told a bounded number of times, those told least come first.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from heartbeat.datagram import Row
from nodemanager.ids import NodeId


@dataclass(slots=True)
class _News:
    row: Row
    order: int
    told: int = 0


class Gossip:
    """A queue of at most one row for each member."""

    def __init__(self, *, multiplier: int, members: int) -> None:
        # So often, times a small factor, and everyone hears of it with high probability (SWIM,
        # section 4.1).
        self._multiplier = multiplier
        self._told_max = multiplier * math.ceil(math.log10(members + 1))
        self._news: dict[NodeId, _News] = {}
        self._order = 0

    def on_members_changed(self, nodes: Collection[NodeId]) -> None:
        """Tell nothing of others than these and ourselves, who are among them."""
        self._told_max = self._multiplier * math.ceil(math.log10(len(nodes) + 1))
        self._news = {
            node: news
            for node, news in self._news.items()
            if node in nodes and news.told < self._told_max
        }

    def __len__(self) -> int:
        return len(self._news)

    def push(self, row: Row) -> None:
        """Tell this, and what was known of that node no more."""
        self._order += 1
        self._news[row.node] = _News(row, self._order)

    def take(self, rows_max: int) -> list[Row]:
        """Return what the next datagram carries, at most so many rows, and count them as told."""
        if not self._news:
            return []
        chosen = sorted(self._news.values(), key=lambda news: (news.told, -news.order))[:rows_max]
        for news in chosen:
            news.told += 1
            if news.told >= self._told_max:
                del self._news[news.row.node]
        return [news.row for news in chosen]

    def check_invariants(self) -> None:
        """Assert that nothing is told for ever."""
        for node, news in self._news.items():
            assert news.row.node == node
            assert news.told < self._told_max
