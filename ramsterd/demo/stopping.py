"""Ctrl-C as an exception that insists, and that never comes at a bad moment.

SIGINT, SIGTERM and SIGHUP raise `Interrupted` wherever the program is, but not inside `held()`:
code that acquires something does it there, and has it on record when the signal comes through.
Python swallows what is raised in a finalizer, and a clean-up on the way may wait for a reply; so a
timer raises again until somebody calls `ignore()`, which is the first thing that the final clean-up
does.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

INSIST_SECONDS: Final = 0.2


class Interrupted(BaseException):
    """A signal asks the program to end.  No `Exception`, so that no handler of faults takes it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)


class Stopping:
    """The signal handlers of the process."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._holds_count = 0
        self._is_ignoring = False

    def install(self) -> None:
        """Take over the signals, also a SIGINT that a shell told its background job to ignore."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    def ignore(self) -> None:
        """Raise nothing from now on, for clean-up must run to its end."""
        self._is_ignoring = True
        signal.setitimer(signal.ITIMER_REAL, 0)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Put a signal off until the end of the block, so that what it acquires is on record."""
        self._holds_count += 1
        try:
            yield
        finally:
            self._holds_count -= 1
        self._raise_unless_held()

    def raise_again(self) -> None:
        """After clean-up: if a signal came, be it during clean-up, end as interrupted."""
        if self._number is not None:
            raise Interrupted(self._number)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._number is None:
            self._number = number
        if not self._is_ignoring:
            signal.setitimer(signal.ITIMER_REAL, INSIST_SECONDS, INSIST_SECONDS)
        self._raise_unless_held()

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        self._raise_unless_held()

    def _raise_unless_held(self) -> None:
        if self._number is not None and not self._holds_count and not self._is_ignoring:
            raise Interrupted(self._number)
