"""The loop polls a little before it sleeps (`poll_window` says how long), as an instrument of trio.

A task that serves a socket may poll before it waits (`lingering_at`), if nobody else has anything to
do: then what comes is served at once, without a round of the loop, which costs as much as a request
of one page.

While it polls, other threads of the process run, for each look gives up the lock of the
interpreter, and so do other processes that want the core: behind each look it is offered to them,
and if one takes it polling ends for a while.
"""

import logging
import os
import resource
import select
import time
from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import trio

from ramsterd.host.poll_window import CROWDED_NANOSECONDS, PollWindow

logger = logging.getLogger("ramster.daemon")

# Timers, and tasks that they wake, wait so long for one that lingers, and a pass of it.
LINGER_NANOSECONDS_MAX: Final = 1_000_000

# Returns what is ready (descriptor and events of each), after so many milliseconds at most.
Look: TypeAlias = Callable[[int], list[tuple[int, int]]]


class Loop(NamedTuple):
    """What is needed of trio's loop."""

    epoll: select.epoll
    # The tasks that are to run.
    runnable: Sized


@dataclass(frozen=True, slots=True, kw_only=True)
class PollStatistics:
    """What polling spared, and what it cost."""

    # Waits that something ended while the loop polled, and those that went on as a sleep.
    hit_polls_total: int
    missed_polls_total: int
    # Polls that ended because another process wanted the core.
    crowded_polls_total: int
    polled_seconds_total: float
    # The window now.
    poll_window_seconds: float


class Poller(trio.abc.Instrument):
    """See the module's text."""

    def __init__(
        self,
        microseconds_max: int,
        *,
        cores: int = 0,
        clock: Callable[[], int] = time.perf_counter_ns,
        switches: Callable[[], int] | None = None,
    ) -> None:
        """Wire it.

        Args:
            microseconds_max: The longest window; 0: never.
            cores: How many this process may use; 0: those it has now.  With one nothing that is
                waited for can go on meanwhile, so it does not poll.
            clock: Returns nanoseconds.
            switches: Returns how often another thread got the core that this one would have gone
                on with; None: as the kernel counts it.
        """
        self._window = PollWindow(microseconds_max * 1000)
        self._is_on = microseconds_max > 0 and (cores or len(os.sched_getaffinity(0))) > 1
        self._clock = clock
        self._switches = switches or switches_of_this_thread
        self._loop: Loop | None = None
        self._look: Look | None = None
        # 0: the loop did not wait.
        self._began_at = 0
        # How many tasks run in this round, and until when one of them may linger; 0: none did.
        self._running = 0
        self._linger_until = 0
        # How long they did, of that; and when one began to in vain; 0: none did.
        self._lingered_nanoseconds = 0
        self._lingered_at = 0
        self._hit_polls_total = self._missed_polls_total = self._crowded_polls_total = 0
        self._polled_nanoseconds_total = 0

    async def run(self) -> None:
        """Poll for the loop that this runs in, until cancelled; return at once if that is not to be."""
        if not (self._is_on and self._find_loop()):
            return
        trio.lowlevel.add_instrument(self)
        try:
            await trio.sleep_forever()
        finally:
            trio.lowlevel.remove_instrument(self)

    def _find_loop(self) -> bool:
        if (loop := this_loop()) is None:
            logger.warning(
                "this release of trio (%s) can't be polled: poll_microseconds_max has no effect",
                trio.__version__,
            )
            return False
        self._loop = loop
        self._look = _look_at(loop.epoll.fileno())
        return True

    def lingering_at(self, descriptor: int) -> Callable[[], None] | None:
        """Return what the task that receives from a socket calls before it tries; None: this loop does not poll.

        It returns when there is something, or somebody else has something to do, or the loop would
        sleep.
        """
        if self._loop is None:
            return None
        return partial(self._linger, _look_at(self._loop.epoll.fileno(), descriptor), descriptor)

    def _linger(self, look: Look, descriptor: int) -> None:
        window = self._window.nanoseconds
        if not window or self._running > 1 or self._loop is None or len(self._loop.runnable):
            return
        began_at = self._clock()
        if not self._linger_until:
            self._linger_until = began_at + LINGER_NANOSECONDS_MAX
        elif began_at >= self._linger_until:
            return
        polled_before = self._polled_nanoseconds_total
        ready = self._poll(look, began_at, window)
        self._lingered_nanoseconds += self._polled_nanoseconds_total - polled_before
        # What is for others the loop finds by itself, without polling again.
        is_mine = any(each == descriptor for each, _ in ready)
        self._lingered_at = 0 if is_mine else began_at

    def before_io_wait(self, timeout: float) -> None:
        """See `trio.abc.Instrument`; `timeout` is how many seconds the loop may sleep."""
        lingered_at, self._lingered_at = self._lingered_at, 0
        if timeout <= 0 or self._look is None:
            self._began_at = 0
            return
        self._began_at = lingered_at or self._clock()
        window = self._window.nanoseconds
        # A deadline that is near needs no help.
        if not lingered_at and 0 < window < timeout * 1e9:
            self._poll(self._look, self._began_at, window)

    def after_io_wait(self, timeout: float) -> None:
        """See `trio.abc.Instrument`."""
        del timeout
        self._linger_until = self._lingered_nanoseconds = 0
        self._running = 0 if self._loop is None else len(self._loop.runnable)
        if self._began_at:
            now = self._clock()
            self._window.on_waited(now - self._began_at, now)

    def _poll(self, look: Look, began_at: int, window: int) -> list[tuple[int, int]]:
        """Return what is ready within the window, empty if nothing is or another process wants the core."""
        now, until = began_at, began_at + window
        is_crowded = False
        switches = self._switches()
        while not ((ready := look(0)) or is_crowded or now >= until):
            before = now
            os.sched_yield()
            now = self._clock()
            # An interrupt, or another guest of our host, takes as long, but nobody waited for it.
            if now - before > CROWDED_NANOSECONDS:
                is_crowded = self._switches() != switches
        self._polled_nanoseconds_total += now - began_at
        if is_crowded:
            self._crowded_polls_total += 1
            self._window.on_crowded(now)
        elif ready:
            self._hit_polls_total += 1
        else:
            self._missed_polls_total += 1
        return ready

    def lingered_seconds(self) -> float:
        """Return for how long tasks of this round waited for something to do: nobody else had to wait for that."""
        return self._lingered_nanoseconds / 1e9

    def statistics(self) -> PollStatistics:
        """Return a snapshot."""
        return PollStatistics(
            hit_polls_total=self._hit_polls_total,
            missed_polls_total=self._missed_polls_total,
            crowded_polls_total=self._crowded_polls_total,
            polled_seconds_total=self._polled_nanoseconds_total / 1e9,
            poll_window_seconds=self._window.nanoseconds / 1e9,
        )


def switches_of_this_thread() -> int:
    """Return how often another thread got the core that this one would have gone on with."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def _look_at(*descriptors: int) -> Look:
    """Return a look at what is ready.  That at the descriptor of an epoll takes no event from it."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll.poll


def this_loop() -> Loop | None:
    """Return what trio waits with, and what it runs; None: another release calls them otherwise, for they have no public names."""
    try:
        runner = trio._core._run.GLOBAL_RUN_CONTEXT.runner  # noqa: SLF001  no public name
        return Loop(runner.io_manager._epoll, runner.runq)  # noqa: SLF001  likewise
    except AttributeError:
        return None
