"""How long the event loop is blocked: measured by the loop itself, each time that it comes round.

A trio instrument looks at the clock when the loop has heard of its sockets and timers, and again
when all tasks that had something to do are done.  Work that came in between waited until then.  The
cause is the activity that touched most (`core.work`), or the garbage collector, if that took half
of the time.  If neither did much, the process itself had to wait: for a processor, or for memory
that was swapped out.

An operator can act on a long round only, so shorter ones are for debugging; the histogram has them
all.
"""

import gc
import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import trio

from ramsterd.core.work import Work

logger = logging.getLogger("ramster.daemon")

# Upper ends of the histogram; no pass of ours should take more than 20 ms.
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LOG_SECONDS: Final = 0.1
# Clients of NBD wait for seconds before they complain; a machine that others load takes tenths of a
# second away.
WARN_SECONDS: Final = 0.5
assert LOG_SECONDS < WARN_SECONDS
# A machine that is short of memory stalls ten times a second: one line a minute says so, with their
# number.
ONE_LINE: Final = {"lines_max": 1}
COLLECTOR: Final = "freeing its own unused memory (garbage collection)"
# How an operator is told what was touched; the keys are those of `core.work`.
ACTIVITIES: Final = {
    "put": "storing pages of clients",
    "get": "reading pages for clients",
    "zero": "storing pages of zeros",
    "flush": "discarding pages",
    "evict": "evicting cached pages",
    "compact": "compacting its memory",
    "audit": "verifying its pages",
    "send": "sending pages to other nodes",
    "sent": "recording which pages other nodes took",
    "replicate": "choosing pages to copy to other nodes",
    "adopt": "keeping pages here that other nodes held too",
    "install": "bringing pages back from other nodes",
    "find": "looking for pages at other nodes to read ahead",
    "forget": "dropping cached pages at other nodes",
    "owed": "telling other nodes which pages to drop",
    "sweep": "finding the pages that a node held",
    "list": "listing the pages of another node",
    "reconcile": "comparing the pages that another node holds",
    "foreign put": "storing pages of other nodes",
    "foreign get": "reading pages for other nodes",
}
# In fewer units than a millisecond's worth nothing of ours took so long.
_UNITS_MIN: Final = 256


# How the line begins, whatever the cause: they share its budget.
LONG_ROUND: Final = "nobody got an answer for %.1f s: %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStatistics:
    """Rounds of the loop by how long they took.

    `counts[i]` of those up to BUCKETS[i], the last of all others.
    """

    counts: tuple[int, ...]
    seconds_total: float
    longest_seconds: float
    # The activity that touched most in the longest one, in words; empty: none that is counted.
    longest_name: str


class LoopWatch(trio.abc.Instrument):
    """See the module's text."""

    def __init__(
        self,
        work: Work,
        *,
        lingered_seconds: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Watch nothing yet; `lingered_seconds` says how much of a round does not count (`host.poller`)."""
        self._work = work
        self._lingered_seconds = lingered_seconds
        self._clock = clock
        self._counts = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._longest = 0.0
        self._longest_name = ""
        self._began_at = clock()
        self._before: dict[str, int] = {}
        self._collector_began_at = 0.0
        self._collector_seconds = 0.0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch the loop that this is called in."""
        trio.lowlevel.add_instrument(self)
        gc.callbacks.append(self._on_collector)
        try:
            yield
        finally:
            gc.callbacks.remove(self._on_collector)
            trio.lowlevel.remove_instrument(self)

    async def run(self) -> None:
        """Watch until cancelled."""
        with self.installed():
            await trio.sleep_forever()

    def after_io_wait(self, timeout: float) -> None:
        """Note when a round begins."""
        del timeout
        self._before = self._work.snapshot()
        self._collector_seconds = 0.0
        self._began_at = self._clock()

    def before_io_wait(self, timeout: float) -> None:
        """Measure a round that ends."""
        del timeout
        now = self._clock()
        seconds = now - self._began_at - self._lingered_seconds()
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds
        if seconds > self._longest:
            self._longest, self._longest_name = seconds, self._name(seconds)
        if seconds > LOG_SECONDS:
            self._log(seconds)

    def _name(self, seconds: float) -> str:
        if self._collector_seconds > seconds / 2:
            return COLLECTOR
        touched = self._work.most_since(self._before, units_min=_UNITS_MIN)
        return ACTIVITIES[touched] if touched else ""

    def _on_collector(self, phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        del info
        if phase == "start":
            self._collector_began_at = self._clock()
        else:
            self._collector_seconds += self._clock() - self._collector_began_at

    def _log(self, seconds: float) -> None:
        level = logging.WARNING if seconds > WARN_SECONDS else logging.DEBUG
        logger.log(level, LONG_ROUND, seconds, advice(self._name(seconds)), extra=ONE_LINE)

    def statistics(self) -> LoopStatistics:
        """Return a snapshot."""
        return LoopStatistics(
            counts=tuple(self._counts),
            seconds_total=self._seconds,
            longest_seconds=self._longest,
            longest_name=self._longest_name,
        )


def advice(activity: str) -> str:
    """Return the cause of a long round, and what an operator does about it."""
    if activity:
        return f"ramsterd was busy with {activity}; if this repeats, see with `top` what else loads this machine"
    return "ramsterd got no processor, or its memory was swapped out; see with `top` what loads this machine"
