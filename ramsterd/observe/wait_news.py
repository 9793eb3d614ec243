"""What the log says of clients that wait for nodes which can't be reached.  Pure.

A wait that is short is no news: nodes are restarted.  One that goes on is said again and again, and
its end is said.
"""

import logging
from collections.abc import Sequence
from typing import Final

from config.event_kinds import EventKind
from ramsterd.observe.news import AGAIN_SECONDS, News
from ramsterd.remote.fetch.unreachable_wait import UnreachableWait

# Longer than a restart with kept memory, and than most suspicions.
NEWS_SECONDS_MIN: Final = 3.0


class WaitNews:
    """Remembers what was said, by export or pool."""

    def __init__(self) -> None:
        # When each may be said again, since when it waits, and what was said last.
        self._said: dict[str, tuple[float, float, UnreachableWait]] = {}

    def on_waits(self, waits: Sequence[UnreachableWait], *, at: float) -> list[News]:
        """Return what is to be said at a time."""
        news = []
        waiting = {each.who: each for each in waits}
        for who, (_, since, wait) in list(self._said.items()):
            if who not in waiting:
                del self._said[who]
                text = f"{who} waits for no node any more, after {at - since:,.0f} s"
                news.append(_news(logging.INFO, EventKind.WAIT_ENDED, text, wait))
        for who, wait in waiting.items():
            again_at, since, _ = self._said.get(who, (at, at - wait.seconds, wait))
            if wait.seconds >= NEWS_SECONDS_MIN and at >= again_at:
                self._said[who] = at + AGAIN_SECONDS, since, wait
                news.append(_news(logging.WARNING, EventKind.WAIT_BEGAN, str(wait), wait))
        return news


def _news(level: int, kind: EventKind, text: str, wait: UnreachableWait) -> News:
    if wait.is_export:
        return News(level, kind, text, export=wait.pool)
    return News(level, kind, text, pool=wait.pool)
