"""Slack: timers that may be late are done when the loop runs anyway.  Pure.

To wake up is most of what a daemon at rest costs: the caches are cold by then, so that a round in
which next to nothing is done takes a third of a millisecond.  So what has no need to be punctual
says from when on it may be done; the first round of the loop after that does it, whatever woke it
(a probe, a datagram, a STATUS).  If none comes within the slack, it has a wake-up of its own.

A loop that is busy is never late by that.  While one sleeps nothing happens that those who look
could find, but what time alone brings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

# What is done again and again may be late by so many times the time in between, and by no more than
# the second.  A node with peers wakes up each second in any case, to probe one of them.
SLACK_PARTS: Final = 2.0
SLACK_SECONDS_MAX: Final = 1.0


@dataclass(slots=True, eq=False)
class Turn:
    """What wants to run in the first round of the loop after `due_at`, and at the latest at `until`."""

    due_at: float
    until: float
    wake: Callable[[], None]


def slack_of(seconds: float) -> float:
    """Return how late something may be that is done every so many seconds."""
    return min(seconds * SLACK_PARTS, SLACK_SECONDS_MAX)


class Slack:
    """Those who wait for their turn.  Each is woken once."""

    def __init__(self) -> None:
        self._turns: dict[Turn, None] = {}
        # When the first of them may run, and until when the loop may sleep.
        self.due_at = self.until = inf

    def add(self, turn: Turn) -> None:
        """Let one wait."""
        assert turn.due_at <= turn.until
        self._turns[turn] = None
        self.due_at = min(self.due_at, turn.due_at)
        self.until = min(self.until, turn.until)

    def remove(self, turn: Turn) -> None:
        """Forget one that waits no more."""
        del self._turns[turn]
        self._look()

    def hasten(self, turn: Turn, until: float) -> None:
        """One that waits is to run earlier."""
        turn.until = until
        turn.due_at = min(turn.due_at, until)
        self._look()

    def on_due(self, now: float) -> None:
        """The loop runs: wake those that are due."""
        self._wake([turn for turn in self._turns if turn.due_at <= now])

    def wake_all(self) -> None:
        """Wake all that wait, before their time."""
        self._wake(list(self._turns))

    def _wake(self, turns: list[Turn]) -> None:
        for turn in turns:
            del self._turns[turn]
        self._look()
        for turn in turns:
            turn.wake()

    def _look(self) -> None:
        self.due_at = min((turn.due_at for turn in self._turns), default=inf)
        self.until = min((turn.until for turn in self._turns), default=inf)
