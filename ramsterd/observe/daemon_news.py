"""What only counters know, told to the log: what became of pages, who waits, and how many log lines were left out.

It looks every `NEWS_SECONDS`, and after each pause of the process.
"""

import logging
from collections.abc import Callable
from typing import Final

from config.event_kinds import about
from ramsterd.host.logs.log import Log
from ramsterd.host.loop_clock import sleep_to_turn, world_time
from ramsterd.observe.health_watch import HEALTH_SECONDS
from ramsterd.observe.page_news import PageNews, counts_of
from ramsterd.observe.snapshot import DaemonStatistics
from ramsterd.observe.wait_news import WaitNews

logger = logging.getLogger("ramster.pager")

# A multiple of the time in which health is looked at: one snapshot is enough for both.
NEWS_SECONDS: Final = 2 * HEALTH_SECONDS


class DaemonNews:
    """See the module's text."""

    def __init__(
        self,
        log: Log,
        statistics: Callable[[], DaemonStatistics],
        *,
        look: Callable[[], DaemonStatistics] | None = None,
        clock: Callable[[], float] = world_time,
    ) -> None:
        """Wire it.

        Args:
            log: Where all lines go.
            statistics: Takes a snapshot.
            look: Does so, too, where one of a moment ago is as good; None: takes a new one.
            clock: Monotonic seconds that go on while the process is stopped.
        """
        self._log = log
        self._statistics = statistics
        self._look = look or statistics
        self._clock = clock
        self._pages = PageNews()
        self._waits = WaitNews()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await sleep_to_turn(NEWS_SECONDS)
            self._log.on_time()
            self._tell(self._look())

    def tell_last(self) -> None:
        """Tell what became of pages since the last time, at the end."""
        self._tell(self._statistics(), is_last=True)

    def _tell(self, now: DaemonStatistics, *, is_last: bool = False) -> None:
        at = self._clock()
        news = self._pages.on_counts(counts_of(now), at=at, is_last=is_last)
        news += self._waits.on_waits(now.pager.unreachable_waits, at=at)
        for each in news:
            extra = about(each.kind, export=each.export, pool=each.pool)
            logger.log(each.level, "%s", each.text, extra=extra)
