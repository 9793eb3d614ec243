"""Rounds of the loop, measured on a clock of ours."""

import gc
import logging

import pytest
import trio

from ramsterd.core.counters import Counters
from ramsterd.core.work import Work
from ramsterd.host.logs.handler import site_of
from ramsterd.observe.loop_watch import BUCKETS, COLLECTOR, FEW_LINES, LoopWatch


class Loop:
    """A loop that takes as long as it is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.work = Work(Counters())
        self.watch = LoopWatch(self.work, clock=lambda: self.now)

    def come_round(self, seconds: float, *, collector_seconds: float = 0.0, **touched: int) -> None:
        self.now += 5.0  # waiting is no stall
        self.watch.after_io_wait(0)
        if collector_seconds:
            self.watch._on_collector("start", {})
            self.now += collector_seconds
            self.watch._on_collector("stop", {})
        for name, units in touched.items():
            self.work[name] += units
        self.now += seconds - collector_seconds
        self.watch.before_io_wait(0)


def test_each_round_is_counted_once_in_its_bucket() -> None:
    loop = Loop()
    for seconds in (0.0005, 0.0005, 0.015, 7.0):
        loop.come_round(seconds)
    found = loop.watch.statistics()
    assert found.counts[0] == 2
    assert found.counts[BUCKETS.index(0.02)] == 1
    assert found.counts[-1] == 1
    assert found.seconds_total == pytest.approx(7.016)


def test_the_longest_round_is_told_with_what_touched_most() -> None:
    loop = Loop()
    loop.come_round(0.030, flush=5000, put=32)
    loop.come_round(0.020, evict=9000)
    found = loop.watch.statistics()
    assert found.longest_seconds == pytest.approx(0.030)
    assert found.longest_name == "flush"


def test_a_long_round_is_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    loop.come_round(0.099, flush=5000)
    assert not caplog.messages
    loop.come_round(0.25, flush=5000)
    assert caplog.messages == ["the event loop was blocked for 250 ms: mostly by flush"]


def test_rounds_that_are_nobodys_fault_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    loop.come_round(0.5, get=3)
    loop.come_round(0.5, collector_seconds=0.4, get=5000)
    assert "the machine is short of CPU" in caplog.messages[0]
    assert f"mostly by {COLLECTOR}" in caplog.messages[1]


def test_many_long_rounds_share_a_budget_of_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    for seconds in (0.2, 0.3, 0.4):
        loop.come_round(seconds, flush=5000)
    assert {site_of(record) for record in caplog.records} == {site_of(caplog.records[0])}
    assert {vars(record)["lines_max"] for record in caplog.records} == {FEW_LINES["lines_max"]}


async def test_a_real_loop_is_watched_until_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    watch = LoopWatch(Work(Counters()))
    with watch.installed():
        for _ in range(10):
            await trio.sleep(0.001)
    rounds = sum(watch.statistics().counts)
    assert rounds >= 10
    await trio.sleep(0.001)
    assert sum(watch.statistics().counts) == rounds
    assert watch._on_collector not in gc.callbacks
