"""What only counters know, told to the log: what became of pages, who waits, and how many log lines were left out.

It looks every `NEWS_SECONDS`, and after each pause of the process.
"""

import logging
from collections.abc import Callable
from typing import Final

from config.event_kinds import about
from ramsterd.host.logs.log import Log
from ramsterd.host.loop_clock import sleep_until_pause, world_time
from ramsterd.observe.page_news import PageNews, counts_of
from ramsterd.observe.snapshot import DaemonStatistics
from ramsterd.observe.wait_news import WaitNews

logger = logging.getLogger("ramster.pager")

# A snapshot among 12 nodes takes 0.6 ms.
NEWS_SECONDS: Final = 5.0


class DaemonNews:
    """See the module's text."""

    def __init__(
        self,
        log: Log,
        statistics: Callable[[], DaemonStatistics],
        *,
        clock: Callable[[], float] = world_time,
    ) -> None:
        """Wire it; `clock` is monotonic seconds that go on while the process is stopped."""
        self._log = log
        self._statistics = statistics
        self._clock = clock
        self._pages = PageNews()
        self._waits = WaitNews()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await sleep_until_pause(NEWS_SECONDS)
            self._log.on_time()
            self.tell_pages()

    def tell_pages(self, *, is_last: bool = False) -> None:
        """Tell what became of pages since the last time."""
        now, at = self._statistics(), self._clock()
        news = self._pages.on_counts(counts_of(now), at=at, is_last=is_last)
        news += self._waits.on_waits(now.pager.unreachable_waits, at=at)
        for each in news:
            extra = about(each.kind, export=each.export, pool=each.pool)
            logger.log(each.level, "%s", each.text, extra=extra)
