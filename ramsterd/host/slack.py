"""Slack: timers that may be late are done in a wake-up of the loop that comes anyway.  Pure.

To wake up is most of what a daemon at rest costs: the caches are cold by then, so that a round in
which next to nothing is done takes half a millisecond.  So what has no need to be punctual says
from when on it may be done; the first wake-up after that does it, whatever it is for (a probe, a
datagram, a STATUS).  If none comes within the slack, it has a wake-up of its own.
"""

from typing import Final, Protocol

# A look that is due after some time may be late by this part of it, and by no more than the second.
SLACK_PART: Final = 1.0
SLACK_SECONDS_MAX: Final = 0.5


class Deadline(Protocol):
    """What ends at its deadline: a `trio.CancelScope`."""

    deadline: float


def slack_of(seconds: float) -> float:
    """Return how late something may be that is done every so many seconds."""
    return min(seconds * SLACK_PART, SLACK_SECONDS_MAX)


class Slack:
    """Scopes that may end before their deadlines."""

    def __init__(self) -> None:
        self._due: dict[Deadline, float] = {}

    def add(self, scope: Deadline, due_at: float) -> None:
        """Let a scope end at the first wake-up after `due_at`."""
        self._due[scope] = due_at

    def remove(self, scope: Deadline) -> None:
        """Forget one that was added."""
        del self._due[scope]

    def on_woken(self, now: float) -> None:
        """The loop has slept, and would now end what is due: so is all whose slack has begun."""
        for scope, due_at in self._due.items():
            if due_at <= now < scope.deadline:
                scope.deadline = now
