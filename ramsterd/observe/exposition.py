"""The text of all metrics: made in slices between which others run, and at most once in a while for each format.

A scrape of a few hundred lines takes milliseconds of the loop, of a cluster of 512 nodes tens of
them, and anybody may ask who reaches the port.  A thread would be no help: it takes the interpreter
from the loop as often.

Two formats are known, the plain text that every scraper reads and OpenMetrics.  The library's own
choice of a format is not asked: it echoes versions that the client names, and trips over some.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import trio
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest as generate_plain
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from ramsterd.host.loop_clock import world_time

# Shorter than any scrape interval that makes sense.
KEPT_SECONDS: Final = 1.0
# Half a millisecond.
SLICE_SAMPLES: Final = 100
PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_END: Final = b"# EOF\n"


class _Some(Collector):
    """The families of one slice, as the library wants them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class Exposition:
    """The present metrics, as text."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Wire it.

        `collect` returns the families of one snapshot, taken when the first is asked for.
        """
        self._collect = collect
        # By format: until when it serves, and the text.
        self._kept: dict[str, tuple[float, bytes]] = {}
        # One makes it, the others wait for that.
        self._lock = trio.Lock()

    async def text(self, accept: str) -> tuple[str, bytes]:
        """Return the format that the client wants most, and the metrics in it."""
        content_type = OPENMETRICS if "application/openmetrics-text" in accept else PLAIN
        async with self._lock:
            until, text = self._kept.get(content_type, (0.0, b""))
            now = world_time()
            if now >= until:
                text = await self._generate(content_type)
                self._kept[content_type] = now + KEPT_SECONDS, text
        return content_type, text

    async def _generate(self, content_type: str) -> bytes:
        pieces = []
        for families in slices(self._collect()):
            if content_type == OPENMETRICS:
                text: bytes = generate_openmetrics(_Some(families))  # type: ignore[no-untyped-call]
                pieces.append(text.removesuffix(_END))
            else:
                pieces.append(generate_plain(_Some(families)))
            await trio.lowlevel.checkpoint()
        if content_type == OPENMETRICS:
            pieces.append(_END)
        return b"".join(pieces)


def slices(families: Iterable[Metric]) -> Iterator[list[Metric]]:
    """Cut what is to be written into pieces of about SLICE_SAMPLES samples."""
    some: list[Metric] = []
    samples = 0
    for family in families:
        some.append(family)
        samples += len(family.samples)
        if samples >= SLICE_SAMPLES:
            yield some
            some, samples = [], 0
    if some:
        yield some
