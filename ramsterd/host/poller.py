"""The loop polls a little before it sleeps (`poll_window` says how long), as an instrument of trio.

While it polls, other threads of the process run, for each look gives up the lock of the
interpreter, and so do other processes that want the core: behind each look it is offered to them,
and if one takes it polling ends for a while.
"""

import logging
import os
import resource
import select
import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

from ramsterd.host.poll_window import CROWDED_NANOSECONDS, PollWindow

logger = logging.getLogger("ramster.daemon")


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
        self._look: Callable[[int], object] | None = None
        # 0: the loop did not wait.
        self._began_at = 0
        self._hit_polls_total = self._missed_polls_total = self._crowded_polls_total = 0
        self._polled_nanoseconds_total = 0

    async def run(self) -> None:
        """Poll for the loop that this runs in, until cancelled; return at once if that is not to be."""
        if not (self._is_on and self._find_epoll()):
            return
        trio.lowlevel.add_instrument(self)
        try:
            await trio.sleep_forever()
        finally:
            trio.lowlevel.remove_instrument(self)

    def _find_epoll(self) -> bool:
        if (epoll := epoll_of_this_loop()) is None:
            logger.warning(
                "this release of trio (%s) can't be polled: poll_microseconds_max has no effect",
                trio.__version__,
            )
            return False
        # A look at the descriptor of the epoll takes no event from it.
        poll = select.poll()
        poll.register(epoll, select.POLLIN)
        self._look = poll.poll
        return True

    def before_io_wait(self, timeout: float) -> None:
        """See `trio.abc.Instrument`; `timeout` is how many seconds the loop may sleep."""
        if timeout <= 0 or self._look is None:
            self._began_at = 0
            return
        self._began_at = self._clock()
        window = self._window.nanoseconds
        # A deadline that is near needs no help.
        if 0 < window < timeout * 1e9:
            self._poll(self._look, self._began_at + window)

    def after_io_wait(self, timeout: float) -> None:
        """See `trio.abc.Instrument`."""
        del timeout
        if self._began_at:
            now = self._clock()
            self._window.on_waited(now - self._began_at, now)

    def _poll(self, look: Callable[[int], object], until: int) -> None:
        now = self._began_at
        is_crowded = False
        switches = self._switches()
        while not ((is_ready := look(0)) or is_crowded or now >= until):
            before = now
            os.sched_yield()
            now = self._clock()
            # An interrupt, or another guest of our host, takes as long, but nobody waited for it.
            if now - before > CROWDED_NANOSECONDS:
                is_crowded = self._switches() != switches
        self._polled_nanoseconds_total += now - self._began_at
        if is_crowded:
            self._crowded_polls_total += 1
            self._window.on_crowded(now)
        elif is_ready:
            self._hit_polls_total += 1
        else:
            self._missed_polls_total += 1

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


def epoll_of_this_loop() -> select.epoll | None:
    """Return what trio waits with; None: another release calls it otherwise, for it has no public name."""
    try:
        runner = trio._core._run.GLOBAL_RUN_CONTEXT.runner  # noqa: SLF001  no public name
        epoll = runner.io_manager._epoll  # noqa: SLF001  no public name
    except AttributeError:
        return None
    return epoll
