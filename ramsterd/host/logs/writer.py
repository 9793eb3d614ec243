"""The thread that writes log lines.

A write to standard error may block for ever: a pipe that nobody drains, a terminal that was
stopped, a journal that is itself waiting for a page of ours.  So it blocks a thread that nobody
waits for.  Non-blocking writes would not do: the flag belongs to the open file, which others share,
and does nothing for files and disks.

The thread is a daemon thread: a process ends though its write never does.
"""

import os
import select
import threading
from collections.abc import Callable
from typing import Final

from ramsterd.host.logs.line_queue import LineQueue
from ramsterd.host.threads import start_thread

THREAD_NAME: Final = "log"


class LogWriter:
    """Writes what is queued to one file descriptor; any thread may queue."""

    def __init__(
        self, descriptor: int, *, queue: LineQueue, say_dropped: Callable[[int], bytes]
    ) -> None:
        self._descriptor = descriptor
        self._queue = queue
        # Its lock is reentrant: what the collector runs, in the middle of anything, may log.
        self._changed = threading.Condition()
        self._say_dropped = say_dropped
        self._is_closing = False
        self._thread: threading.Thread | None = None
        # Writes that failed, such as to a pipe whose reader is gone; their lines are gone too.
        self.failed_total = 0
        # Taken from the queue and not written yet: as much as the queue may hold, and no more.
        self.writing_bytes = 0

    def start(self) -> None:
        """Start the thread.

        Raises:
            ThreadRefused: The limit of tasks does not allow it.
        """
        self._thread = start_thread(self._run, THREAD_NAME)

    @property
    def _has_ended(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def put(self, entry: bytes) -> None:
        """Queue an entry, which ends in a newline, or count it as dropped.  Never blocks."""
        if self._is_closing and self._has_ended:
            # What Python prints after our end; somebody reads, for the thread has got rid of all it
            # had.
            self._write(entry)
            return
        with self._changed:
            self._queue.put(entry)
            self._changed.notify()

    def close(self, seconds_max: float) -> bool:
        """Write what waits, and end; return whether all of it was written within the bound."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds_max)
        return self._has_ended

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._is_closing:
                    self._changed.wait()
                taken, dropped = self._queue.take()
                if self._is_closing and not taken and not dropped:
                    return
            if dropped:
                taken += self._say_dropped(dropped)
            self._write(taken)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self.writing_bytes = len(rest)
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:  # somebody made the file non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
            except OSError:
                self.failed_total += 1
                break
            else:
                rest = rest[written:]
        self.writing_bytes = 0
