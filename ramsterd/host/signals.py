"""Signals before the event loop can hear them.  Imports next to nothing: it runs before everything else.

By default SIGHUP ends a process without a word, and so do the signals that the daemon has no use
for.  A SIGHUP that comes before the daemon serves is blocked, which means kept by the kernel, and
heard when it serves: it finds no half started daemon.  The others get a handler that does nothing;
unlike an ignored signal, that is not inherited by a child.  (Python ignores SIGPIPE by itself.)
"""

import signal
from types import FrameType
from typing import Final

# Their default is the end of the process.
USELESS: Final = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGIO,
    signal.SIGPWR,
)


def hold_signals() -> None:
    """Keep SIGHUP for later, and let no useless signal end the process.  Only in the main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # After the event loop's own handler has gone again, in the last moments: nothing is left to
    # reload then.
    for number in (signal.SIGHUP, *USELESS):
        signal.signal(number, do_nothing)


def release_hangup() -> None:
    """Let SIGHUP come, also one that came before."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by going on."""
