"""Signals before the event loop can hear them.  Imports next to nothing: it runs before everything else.

By default SIGHUP ends a process without a word, and so do the signals that the daemon has no use
for.  A SIGHUP that comes before the daemon serves is blocked, which means kept by the kernel, and
heard when it serves: it finds no half started daemon.  The others get a handler that does nothing;
unlike an ignored signal, that is not inherited by a child.  (Python ignores SIGPIPE by itself.)

An order to stop that comes while kept memory is taken up is heard as soon as the loop runs.  It is
not the memory that ends such a start, and by default it would look so: after three of them all
pages would be given up.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
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

# What the event loop stops at.
STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_held: list[int] = []


def hold_signals() -> None:
    """Keep SIGHUP for later, and let no useless signal end the process.  Only in the main thread."""
    for number in USELESS:
        signal.signal(number, do_nothing)
    # Last, so that who sees it blocked knows that no other signal ends the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # After the event loop's own handler has gone again, in the last moments: nothing is left to
    # reload then.
    signal.signal(signal.SIGHUP, do_nothing)


def release_hangup() -> None:
    """Let SIGHUP come, also one that came before."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


@contextmanager
def interrupt_ends() -> Iterator[None]:
    """Let Ctrl-C end the process without a word during the block.  Only in the main thread."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def hold_stop() -> None:
    """Keep an order to stop until `release_stop`.  Only in the main thread."""
    for number in STOPPING:
        signal.signal(number, _hold)


def release_stop() -> None:
    """Send the orders that came again, to the handlers that there are now."""
    held = _held[:]
    _held.clear()
    for number in held:
        signal.raise_signal(number)


def _hold(number: int, _frame: FrameType | None) -> None:
    """Handle an order later."""
    _held.append(number)


def do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by going on."""
