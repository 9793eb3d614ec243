"""Work that blocks, in a thread.

The system may refuse a thread at any moment (TasksMax= of the unit, a limit on processes, no memory
for its stack).  That is a failure of the work that wanted one, which its caller reports or tries
again; the daemon goes on.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")


class ThreadRefused(Exception):
    """The system starts no more threads for this process; the work was not begun."""

    def __init__(self) -> None:
        super().__init__("no thread can be started; raise TasksMax= in the unit or ulimit -u")


def start_thread(run: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that lasts as long as the process, and that the process does not wait for.

    Raises:
        ThreadRefused: There is none.
    """
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ThreadRefused from error
    return thread


async def run_in_thread(work: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
    """Return what `work` returns, or raise what it raises.

    Args:
        work: Blocks.
        abandon_on_cancel: A cancellation does not wait for the work, which goes on by itself.

    Raises:
        ThreadRefused: It was not begun.
    """
    has_begun = False

    def begin() -> T:
        nonlocal has_begun
        has_begun = True
        return work()

    try:
        return await trio.to_thread.run_sync(begin, abandon_on_cancel=abandon_on_cancel)
    except RuntimeError as error:
        # What the work itself raises is the caller's, and so is a call from outside of trio.
        if has_begun or "new thread" not in str(error):
            raise
        raise ThreadRefused from error
