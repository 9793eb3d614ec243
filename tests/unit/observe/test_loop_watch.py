"""Rounds of the loop, measured on a clock of ours."""

import gc
import logging
import re
from pathlib import Path

import pytest
import trio

import ramsterd
from ramsterd.core.counters import Counters
from ramsterd.core.work import Work
from ramsterd.host.logs.handler import site_of
from ramsterd.observe.loop_watch import ACTIVITIES, BUCKETS, COLLECTOR, LoopWatch


class Loop:
    """A loop that takes as long as it is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.work = Work(Counters())
        self.lingered = 0.0
        self.watch = LoopWatch(
            self.work, lingered_seconds=lambda: self.lingered, clock=lambda: self.now
        )

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


def test_time_in_which_a_task_waited_for_its_client_alone_is_no_stall() -> None:
    loop = Loop()
    loop.lingered = 0.9
    loop.come_round(1.0)
    assert loop.watch.statistics().longest_seconds == pytest.approx(0.1)


def test_the_longest_round_is_told_with_what_touched_most() -> None:
    loop = Loop()
    loop.come_round(0.030, flush=5000, put=32)
    loop.come_round(0.020, evict=9000)
    found = loop.watch.statistics()
    assert found.longest_seconds == pytest.approx(0.030)
    assert found.longest_name == "discarding pages"


def test_a_long_round_is_a_warning_that_names_cause_and_command(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = Loop()
    loop.come_round(0.75, flush=5000)
    assert caplog.text.endswith(
        "nobody got an answer for 0.8 s: ramsterd was busy with discarding pages; "
        "if this repeats, see with `top` what else loads this machine\n"
    )


def test_a_round_that_no_operator_can_correct_is_for_debugging(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    loop = Loop()
    loop.come_round(0.099, flush=5000)
    assert not caplog.records
    loop.come_round(0.4, flush=5000)
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]


def test_rounds_that_are_nobodys_fault_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    loop.come_round(0.6, get=3)
    loop.come_round(0.6, collector_seconds=0.4, get=5000)
    assert "ramsterd got no processor, or its memory was swapped out" in caplog.messages[0]
    assert f"busy with {COLLECTOR}" in caplog.messages[1]


def test_long_rounds_of_all_causes_have_one_line_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = Loop()
    for seconds, units in ((0.6, 5000), (0.7, 0), (0.8, 5000)):
        loop.come_round(seconds, flush=units)
    assert {site_of(record) for record in caplog.records} == {site_of(caplog.records[0])}
    assert {vars(record)["lines_max"] for record in caplog.records} == {1}


def test_every_kind_of_work_has_words_for_an_operator() -> None:
    """`work["flush"] += pages` anywhere in ramsterd needs an entry in ACTIVITIES, and the reverse."""
    counted = {"put", "get"}
    for path in Path(ramsterd.__file__).parent.rglob("*.py"):
        counted |= set(re.findall(r'\.work\["([a-z ]+)"\] \+=', path.read_text()))
    assert counted == set(ACTIVITIES)


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
