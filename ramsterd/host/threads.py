"""Work that blocks, in threads that stay.

The system may refuse a thread at any moment (TasksMax= of the unit, a limit on processes, no memory
for its stack).  That is a failure of the work that wanted one, which its caller reports or tries
again; the daemon goes on.

A thread that has done its work waits for the next: so there are as many as ever were at work at the
same time.  Making one takes memory of the kernel, so a daemon makes those that it will need before
memory is short (`keep_threads`).
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

import outcome
import trio
from outcome import Outcome

T = TypeVar("T")

# All of the stack of a thread is in memory once this process locks its memory, and the default is
# 8 MiB.  Python's own limit on recursion is reached first in this much; in 1 MiB it is not, where
# each level is a call from C.
STACK_BYTES: Final = 2 * 1024 * 1024


class ThreadRefused(Exception):
    """The system starts no more threads for this process; the work was not begun."""

    def __init__(self) -> None:
        super().__init__("no thread can be started; raise TasksMax= in the unit or ulimit -u")


def start_thread(run: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that lasts as long as the process, and that the process does not wait for.

    Raises:
        ThreadRefused: There is none.
    """
    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ThreadRefused from error
    return thread


class _Worker(Generic[T]):
    """A thread that does one piece of work after the other."""

    def __init__(self) -> None:
        self._work = SimpleQueue[tuple[Callable[[], T], Callable[[Outcome[T]], None]]]()
        start_thread(self._run, "worker")

    def begin(self, work: Callable[[], T], answer: Callable[[Outcome[T]], None]) -> None:
        """Have some work done, and its outcome told by the thread."""
        self._work.put((work, answer))

    def _run(self) -> None:
        while True:
            # In a call of its own: a thread that waits must keep nothing of its last work.
            self._do_next()

    def _do_next(self) -> None:
        work, answer = self._work.get()
        done = outcome.capture(work)
        # Before the answer: who gets that may have more work.
        _idle.append(self)
        answer(done)


# Any thread appends, and the loop takes: each in one step.
_idle: Final[list[_Worker[Any]]] = []


def keep_threads(count: int) -> None:
    """Have so many threads that wait for work.

    Raises:
        ThreadRefused: There are fewer.
    """
    while len(_idle) < count:
        _idle.append(_Worker())


def wait_in_thread(work: Callable[[], T], seconds_max: float) -> T:
    """Return what `work` returns, or raise what it raises; blocks for so long at most.

    Work that takes longer goes on by itself.

    Raises:
        ThreadRefused: It was not begun.
        TimeoutError: It took longer.
    """
    done = SimpleQueue[Outcome[T]]()
    worker: _Worker[T] = _idle.pop() if _idle else _Worker()
    worker.begin(work, done.put)
    try:
        result: T = done.get(timeout=seconds_max).unwrap()
    except Empty:
        raise TimeoutError from None
    return result


async def run_in_thread(work: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
    """Return what `work` returns, or raise what it raises.

    Args:
        work: Blocks.
        abandon_on_cancel: A cancellation does not wait for the work, which goes on by itself.

    Raises:
        ThreadRefused: It was not begun.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    token, waiting = trio.lowlevel.current_trio_token(), [trio.lowlevel.current_task()]

    def answer(done: Outcome[T]) -> None:
        # What was abandoned may outlive the loop.
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(_wake, waiting, done)

    def abandon(_: object) -> trio.lowlevel.Abort:
        if not abandon_on_cancel:
            return trio.lowlevel.Abort.FAILED
        waiting.clear()
        return trio.lowlevel.Abort.SUCCEEDED

    worker: _Worker[T] = _idle.pop() if _idle else _Worker()
    worker.begin(work, answer)
    result: T = await trio.lowlevel.wait_task_rescheduled(abandon)
    return result


def _wake(waiting: list[trio.lowlevel.Task], done: Outcome[object]) -> None:
    if waiting:
        trio.lowlevel.reschedule(waiting.pop(), done)
