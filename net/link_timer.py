"""The timer of one link: it ends when the link has to look at its deadlines.

What is sent puts off the next KEEPALIVE.  So a link on which something goes often enough moves its
timer now and then, and its task sleeps on: among many nodes at rest, all these tasks would else wake
up to find that nothing is due.
"""

from typing import Final

import trio

# What is sent moves the timer once this part of its time is over: a busy link moves it seldom.
_POSTPONE_PART: Final = 0.5


class LinkTimer:
    """One task sleeps by it; all else is synchronous."""

    def __init__(self) -> None:
        self._scope = trio.CancelScope()
        self.ends_at = self._postpone_from = float("inf")

    async def sleep(self, deadline: float) -> None:
        """Sleep until then, or until the timer is postponed, or ended."""
        with trio.CancelScope() as self._scope:
            self._set(deadline, trio.current_time())
            await trio.sleep_forever()

    def end(self) -> None:
        """End the sleep: something is due earlier."""
        self._scope.cancel()

    def is_to_be_postponed(self, now: float) -> bool:
        """Whether something that is sent now should move the timer."""
        return now >= self._postpone_from

    def postpone(self, deadline: float, now: float) -> None:
        """Sleep until then."""
        self._set(deadline, now)

    def _set(self, deadline: float, now: float) -> None:
        self._scope.deadline = self.ends_at = deadline
        self._postpone_from = now + (deadline - now) * _POSTPONE_PART
