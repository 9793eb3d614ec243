"""How long the loop polls before it sleeps.  Pure.

To be woken on another core costs 40 to 50 microseconds, more than all work on a request, so a loop
that hears the next request soon does better not to sleep.  The window follows what came, as that of
QEMU's event loop does (`poll-max-ns`, `adjust_polling_time` in util/aio-posix.c):

- what comes within the window leaves it as it is;
- what comes later, but within the longest window, makes it twice as long;
- what comes later than that ends it: a long sleep costs one wake-up, and polling would not have
  spared it.  So an idle loop does not poll, nor one whose peer needs the same core to answer.
"""

from typing import Final

# The first window, and how it grows: QEMU's figures.
FIRST_NANOSECONDS: Final = 4000
GROWTH: Final = 2


class PollWindow:
    """See the module's text; all times are nanoseconds."""

    def __init__(self, nanoseconds_max: int) -> None:
        """Begin without a window; 0 is never."""
        self._nanoseconds_max = nanoseconds_max
        self.nanoseconds = 0

    def on_waited(self, nanoseconds: int) -> None:
        """The loop had nothing to do for so long, polling included."""
        if nanoseconds > self._nanoseconds_max:
            self.nanoseconds = 0
        elif nanoseconds > self.nanoseconds:
            grown = max(FIRST_NANOSECONDS, self.nanoseconds * GROWTH)
            self.nanoseconds = min(grown, self._nanoseconds_max)
