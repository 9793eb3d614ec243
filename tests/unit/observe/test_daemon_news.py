"""What counters know is told every few seconds of the world, and after each pause of the process."""

import logging
from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ramsterd.host.loop_clock import LoopClock, sleep_until_pause
from ramsterd.observe.daemon_news import DaemonNews
from ramsterd.observe.snapshot import DaemonStatistics
from tests.fakes.quiet_log import QuietLog
from tests.helpers.made_statistics import made_statistics

MADE = made_statistics()


class Node:
    """A node with as many pages at risk as we want."""

    def __init__(self) -> None:
        self.at_risk = 9
        self.looks: list[float] = []
        self.news = DaemonNews(QuietLog(), self.statistics)

    def statistics(self) -> DaemonStatistics:
        self.looks.append(trio.current_time())
        rebuild = replace(MADE.engine.rebuild, pages_at_risk=self.at_risk, is_counting=False)
        nbd = replace(MADE.nbd, errors_total={"EIO": 0})
        return replace(MADE, nbd=nbd, engine=replace(MADE.engine, rebuild=rebuild))


def test_after_a_pause_it_is_told_at_once_and_how_long_it_really_took(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world, node = [1000.0], Node()

    async def pause(seconds: float) -> None:
        before = len(node.looks)
        world[0] += seconds
        await sleep_until_pause(100.0)
        while len(node.looks) == before:
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.news.run)
            await wait_all_tasks_blocked()
            await pause(3.0)
            await pause(60.0)
            node.at_risk = 0
            await pause(60.0)
            assert len(set(node.looks)) == 1, "in no time of the loop"
            nursery.cancel_scope.cancel()

    trio.run(story, clock=LoopClock(lambda: world[0]))
    told = [text for text in caplog.messages if "fewer copies" in text]
    assert told[0].startswith("9 pages have fewer copies than asked; ")
    assert told[1].startswith("no page has fewer copies than asked any more, after 120 s; ")
