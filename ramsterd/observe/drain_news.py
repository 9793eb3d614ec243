"""What the log says of a drain of this node: that it began, and that it is over.  Pure.

`ramsterctl node drain` may have been typed at any node, and its terminal may be gone by the end.
"""

import logging

from config.event_kinds import EventKind
from config.units import human_count
from ramsterd.observe.news import News


class DrainNews:
    """Remembers since when this node drains, and whether it is empty."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._was_empty = False

    def on_counts(self, *, is_draining: bool, foreign_pages: int, at: float) -> list[News]:
        """Return what is to be said at a time."""
        pages = f"{human_count(foreign_pages)} of other nodes"
        news = []
        if not is_draining:
            if self._since is not None and not self._was_empty:
                text = f"the drain of this node is cancelled: it still has {pages}"
                news.append(News(logging.INFO, EventKind.DRAIN_ENDED, text))
            self._since, self._was_empty = None, False
            return news
        if self._since is None:
            self._since = at
            text = f"this node drains: it gives back {pages}"
            news.append(News(logging.INFO, EventKind.DRAIN_BEGAN, text))
        if not foreign_pages and not self._was_empty:
            text = f"the drain of this node has ended after {at - self._since:,.0f} s: it has no pages of other nodes"
            news.append(News(logging.INFO, EventKind.DRAIN_ENDED, text))
        self._was_empty = not foreign_pages
        return news
