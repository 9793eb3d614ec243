"""The text of metrics is what the library would make, in slices, and not more often than it must."""

from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from ramsterd.observe.exposition import KEPT_SECONDS, OPENMETRICS, PLAIN, SLICE_SAMPLES, Exposition
from ramsterd.observe.metric import counter, gauge

# What Prometheus sends.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
)


class Source(Collector):
    """Many families, and how often they were collected."""

    def __init__(self) -> None:
        self.count = 0

    def collect(self) -> Iterator[Metric]:
        self.count += 1
        for number in range(20):
            samples = [([f"n{each}"], float(each)) for each in range(30)]
            yield gauge(f"some_{number}", 'A "text".', ["node"], samples)
            yield counter(f"turns_{number}", "Another.", ["node"], [(["é\\\n"], self.count)])


class Steps(trio.abc.Instrument):
    """How many tasks had a turn."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text; version=\r\n1.x; escaping=no", OPENMETRICS),
    ],
)
async def test_the_text_is_that_of_the_library(accept: str, content_type: str) -> None:
    generate: Any = generate_openmetrics if content_type == OPENMETRICS else generate_latest
    expected = content_type, generate(Source())
    assert await Exposition(Source().collect).text(accept) == expected


async def test_others_have_their_turn_while_it_is_made() -> None:
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    await Exposition(Source().collect).text("")
    trio.lowlevel.remove_instrument(steps)
    assert steps.count >= 20 * 30 // (SLICE_SAMPLES + 30)


async def test_scrapes_at_the_same_time_and_soon_after_share_one_text(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = Source()
    exposition = Exposition(source.collect)
    async with trio.open_nursery() as nursery:
        for accept in ("", PROMETHEUS) * 50:
            nursery.start_soon(exposition.text, accept)
    assert source.count == 2, "one for each format"
    await trio.sleep(0.9 * KEPT_SECONDS)
    _, before = await exposition.text("")
    await trio.sleep(0.2 * KEPT_SECONDS)
    _, after = await exposition.text("")
    assert source.count == 3
    assert before != after


async def test_a_scraper_that_leaves_leaves_the_text_to_the_next() -> None:
    source = Source()
    exposition = Exposition(source.collect)
    with trio.CancelScope() as scope:
        scope.cancel()
        await exposition.text("")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exposition.text, "")
            while not source.count:
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert b"ramster_some_19" in (await exposition.text(""))[1]
