"""The clock of the daemon's event loop: all deadlines, sleeps and `trio.current_time()` are in `loop_time`.

trio asks its clock how long it may sleep and reads it in each round, so this is the one place where
waiting is measured, for links, requests, puts, gets, front ends and everything else that has a
deadline.  Who judges others by the time that passed for them (the failure detector) takes
`world_time`.
"""

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from config.event_kinds import EventKind, about
from ramsterd.host.loop_time import LoopTime, PauseStatistics
from ramsterd.host.slack import Slack, Turn, slack_of

logger = logging.getLogger("ramster.daemon")

# Turns of one and the same look are further apart than this.
TURN_SECONDS_MIN: Final = 0.01


class LoopClock(trio.abc.Clock):
    """For `trio.run(..., clock=LoopClock())`; `world` is monotonic seconds."""

    def __init__(self, world: Callable[[], float] = time.perf_counter) -> None:
        self._world = world
        self._time = LoopTime(world())
        self._started_at = 0.0
        self.slack = Slack()
        # After how many pauses those who wait were woken.
        self._told_pauses = 0

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""
        self._started_at = self.current_time()

    def run_seconds(self) -> float:
        """Return for how long the loop has run."""
        return self.current_time() - self._started_at

    def current_time(self) -> float:
        """Return the time of the loop."""
        now = self._time.read(self._world())
        if now >= self.slack.due_at:
            self.slack.on_due(now)
        # Only a loop that is always busy hears of it here.
        if self._time.pauses_total != self._told_pauses and not self._time.stands_still:
            self._on_pause()
        return now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """See `trio.abc.Clock`; it is asked when the loop has nothing to do."""
        seconds = self._time.sleep_seconds(self._world(), min(deadline, self.slack.until))
        if self._time.pauses_total == self._told_pauses:
            return seconds
        self._on_pause()
        # Those that were woken run first.
        return 0.0

    def _on_pause(self) -> None:
        self._told_pauses = self._time.pauses_total
        self.slack.wake_all()

    def world_time(self) -> float:
        """Return seconds that go on whether the loop runs or not."""
        return self._world()

    def statistics(self) -> PauseStatistics:
        """Return a snapshot."""
        return self._time.statistics()


def world_time() -> float:
    """Return monotonic seconds that pauses of this process are part of.

    For tests with another clock, its own.
    """
    clock = trio.lowlevel.current_clock()
    return clock.world_time() if isinstance(clock, LoopClock) else clock.current_time()


def monotonic_nanoseconds() -> int:
    """Return CLOCK_MONOTONIC, which is the same for all processes of this machine."""
    return time.monotonic_ns()


def pause_statistics() -> PauseStatistics:
    """Return how often and how long the loop of this run did not run."""
    clock = trio.lowlevel.current_clock()
    if isinstance(clock, LoopClock):
        return clock.statistics()
    return PauseStatistics(pauses_total=0, paused_seconds_total=0.0)


class LoopTimer:
    """What one task sleeps by; all else is synchronous.

    It is no scope of trio: that ends a sleep by an exception, and to enter it, to be cancelled and
    to leave it costs more than most of what is done then.  With another clock than the daemon's it
    is one, without slack: there a wake-up costs nothing.
    """

    def __init__(self) -> None:
        self._turn: Turn | None = None
        self._scope: trio.CancelScope | None = None

    async def sleep(self, due_at: float, until: float) -> None:
        """Sleep to the first round of the loop after `due_at`, but no longer than `until`, or to the end of the next pause."""
        clock = trio.lowlevel.current_clock()
        if not isinstance(clock, LoopClock):
            with trio.CancelScope(deadline=due_at) as self._scope:
                await trio.sleep_forever()
            return
        wake = partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())
        turn = self._turn = Turn(due_at, until, wake)
        slack = clock.slack

        def abort(_: object) -> trio.lowlevel.Abort:
            slack.remove(turn)
            return trio.lowlevel.Abort.SUCCEEDED

        slack.add(turn)
        await trio.lowlevel.wait_task_rescheduled(abort)

    def hasten(self, until: float) -> None:
        """Let a task that sleeps do so no longer than `until`."""
        if self._turn is not None and until < self._turn.until:
            clock = trio.lowlevel.current_clock()
            assert isinstance(clock, LoopClock), "its task sleeps by it"
            clock.slack.hasten(self._turn, until)
        elif self._scope is not None and until < self._scope.deadline:
            self._scope.deadline = until


async def sleep_until_pause(seconds: float) -> None:
    """Sleep, but no longer than to the end of the next pause.

    For what looks at something every few seconds of the world: a daemon that is short of CPU may
    need minutes for as many seconds of the loop.
    """
    await _sleep(seconds, slack_seconds=0.0)


async def _sleep(seconds: float, *, slack_seconds: float) -> None:
    due_at = trio.current_time() + seconds
    await LoopTimer().sleep(due_at, due_at + slack_seconds)


async def sleep_to_turn(seconds: float) -> None:
    """Sleep to the next multiple of `seconds` since the loop started, but no longer than to the end of the next pause.

    For what looks at something again and again: those whose times are multiples of each other look
    in one round of the loop, a little later if it does not wake up then, and a daemon at rest wakes
    up less often.
    """
    clock = trio.lowlevel.current_clock()
    now = clock.run_seconds() if isinstance(clock, LoopClock) else clock.current_time()
    left = seconds - now % seconds
    # Deadlines are rounded: what ends just now was this turn.
    left = left if left > TURN_SECONDS_MIN else left + seconds
    await _sleep(left, slack_seconds=slack_of(seconds))


async def sleep_with_slack(seconds: float) -> None:
    """Sleep, a little longer if the loop does not wake up then, but no longer than to the end of the next pause."""
    await _sleep(seconds, slack_seconds=slack_of(seconds))


async def watch_pauses(on_pause: Callable[[], None]) -> None:
    """Say in the log how long the loop did not run, and call `on_pause` after that, until cancelled."""
    told = pause_statistics()
    while True:
        await sleep_until_pause(math.inf)
        now = pause_statistics()
        if now.pauses_total == told.pauses_total:
            continue
        logger.warning(
            "the system did not run ramsterd for %.1f s: it was stopped, suspended, or short of CPU; no timeout counts this time",
            now.paused_seconds_total - told.paused_seconds_total,
            extra=about(EventKind.DAEMON_PAUSED),
        )
        told = now
        on_pause()
