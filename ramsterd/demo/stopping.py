"""One Ctrl-C, one exception.

SIGINT, SIGTERM and SIGHUP raise `Interrupted` where the program is, but at most once and never inside `held()`.
So whoever acquires something does it in `held()`, and whoever frees something does it in two nested
`finally`: the first may be interrupted, the second can't be.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupted(BaseException):
    """A signal asks the program to end.  No `Exception`, so that no handler of faults takes it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)


class Stopping:
    """The signal handlers of the process."""

    def __init__(self) -> None:
        self._pending: int | None = None
        self._is_raised = False
        self._holds_count = 0

    def install(self) -> None:
        """Take over the signals, also SIGINT that a shell's background job was told to ignore."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Put a signal off until the end of the block, so that what it acquires is on record."""
        self._holds_count += 1
        try:
            yield
        finally:
            self._holds_count -= 1
        self._raise_pending()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._pending = number
        if not self._holds_count:
            self._raise_pending()

    def _raise_pending(self) -> None:
        if self._pending is not None and not self._is_raised:
            self._is_raised = True
            raise Interrupted(self._pending)
