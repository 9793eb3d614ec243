"""How long the loop polls before it sleeps.  Pure.

To be woken on another core costs 40 to 50 microseconds, more than all work on a request, so a loop
that hears the next request soon does better not to sleep.  The window follows what came, as that of
QEMU's event loop does (`poll-max-ns`, `adjust_polling_time` in util/aio-posix.c):

- what comes within the window leaves it as it is;
- what comes later, but within the longest window, makes it twice as long;
- what comes later than that ends it: a long sleep costs one wake-up, and polling would not have
  spared it.  So an idle loop does not poll, nor one whose peer needs the same core to answer.

A loop that gave up its core between two looks, and got it back late, has polled where another
process was waiting for a core.  That ends the window too, and for a while none begins: for twice as
long, if that is found again before as much time has passed without it.
"""

from typing import Final

# The first window, and how it grows: QEMU's figures.
FIRST_NANOSECONDS: Final = 4000
GROWTH: Final = 2
# A look takes two microseconds; behind another process the core is away for tens at least.
CROWDED_NANOSECONDS: Final = 25_000
# How long no window begins then.
PAUSE_NANOSECONDS_MIN: Final = 10_000_000
PAUSE_NANOSECONDS_MAX: Final = 1_280_000_000


class PollWindow:
    """See the module's text; all times are nanoseconds."""

    def __init__(self, nanoseconds_max: int) -> None:
        """Begin without a window; 0 is never."""
        self._nanoseconds_max = nanoseconds_max
        self.nanoseconds = 0
        # How long the last pause was, and when it ended or ends.
        self._pause = 0
        self._paused_until = 0

    def on_waited(self, nanoseconds: int, now: int) -> None:
        """The loop had nothing to do for so long, polling included."""
        if nanoseconds > self._nanoseconds_max:
            self.nanoseconds = 0
        elif nanoseconds > self.nanoseconds and now >= self._paused_until:
            grown = max(FIRST_NANOSECONDS, self.nanoseconds * GROWTH)
            self.nanoseconds = min(grown, self._nanoseconds_max)

    def on_crowded(self, now: int) -> None:
        """Another process wanted the core while the loop polled."""
        self.nanoseconds = 0
        is_again = now < self._paused_until + self._pause
        pause = self._pause * GROWTH if is_again else PAUSE_NANOSECONDS_MIN
        self._pause = min(pause, PAUSE_NANOSECONDS_MAX)
        self._paused_until = now + self._pause
