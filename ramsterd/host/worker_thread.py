"""A thread that is there before it is needed, for work that may wait for the kernel for a long time.

A thread that is started when memory is short waits for memory itself: for its stack.
"""

import contextlib
import queue
from collections.abc import Callable

import outcome
import trio

from ramsterd.host.threads import start_thread


class WorkerThread:
    """Does one thing at a time, outside the loop.  It lasts as long as the process."""

    def __init__(self, name: str) -> None:
        """Start it.

        Raises:
            ThreadRefused: There is none.
        """
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        start_thread(self._run, name)

    def _run(self) -> None:
        while True:
            self._work.get()()

    async def do(self, work: Callable[[], bool]) -> bool:
        """Return what `work` returns, or raise what it raises.

        A cancellation does not wait for it.
        """
        token, task = trio.lowlevel.current_trio_token(), trio.lowlevel.current_task()
        is_waiting = True

        def wake(result: outcome.Outcome[bool]) -> None:
            if is_waiting:
                trio.lowlevel.reschedule(task, result)

        def begin() -> None:
            result = outcome.capture(work)
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(wake, result)

        def abandon(_: object) -> trio.lowlevel.Abort:
            nonlocal is_waiting
            is_waiting = False
            return trio.lowlevel.Abort.SUCCEEDED

        self._work.put(begin)
        done: bool = await trio.lowlevel.wait_task_rescheduled(abandon)
        return done
