"""Slack: timers that may be late are done when the loop runs anyway.  Pure.

To wake up is most of what a daemon at rest costs: the caches are cold by then, so that a round in
which next to nothing is done takes a third of a millisecond.  So what has no need to be punctual
says from when on it may be done; the first round of the loop after that does it, whatever woke it
(a probe, a datagram, a STATUS).  If none comes within the slack, it has a wake-up of its own.

A loop that is busy is never late by that.  While one sleeps nothing happens that those who look
could find, but what time alone brings.
"""

from math import inf
from typing import Final, Protocol

# What is done again and again may be late by so many times the time in between, and by no more than
# the second.  A node with peers wakes up each second in any case, to probe one of them.
SLACK_PARTS: Final = 2.0
SLACK_SECONDS_MAX: Final = 1.0


class Deadline(Protocol):
    """What ends at its deadline: a `trio.CancelScope`."""

    deadline: float


def slack_of(seconds: float) -> float:
    """Return how late something may be that is done every so many seconds."""
    return min(seconds * SLACK_PARTS, SLACK_SECONDS_MAX)


class Slack:
    """Scopes that may end before their deadlines."""

    def __init__(self) -> None:
        self._due: dict[Deadline, float] = {}
        # When the next of them may end.
        self.due_at = inf

    def add(self, scope: Deadline, due_at: float) -> None:
        """Let a scope end in the first round of the loop after `due_at`."""
        self._due[scope] = due_at
        self.due_at = min(self.due_at, due_at)

    def remove(self, scope: Deadline) -> None:
        """Forget one that was added, and may have ended."""
        self._due.pop(scope, None)

    def on_due(self, now: float) -> None:
        """The loop runs: what may end by now does."""
        for scope in [scope for scope, due_at in self._due.items() if due_at <= now]:
            del self._due[scope]
            scope.deadline = min(scope.deadline, now)
        self.due_at = min(self._due.values(), default=inf)
