"""Writes the state file, in a thread: the loop goes on while the disk takes its time.

A disk may take seconds for an fsync, and on a node that serves its own swap the thread may wait for
memory that only this loop can free.  Until it is done the first writes to blank exports wait, and
nothing else does.
"""

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from config.event_kinds import EventKind, about
from ramsterd.host.threads import ThreadRefused, run_in_thread
from ramsterd.statefile.content import Content
from ramsterd.statefile.folder import StateFolder
from ramsterd.statefile.marks import Marks

logger = logging.getLogger("ramster.state")

# A stop does not wait longer for the disk.  What is not written errs on the safe side: an export
# that is blank now is called lost at the next start.
LAST_WRITE_SECONDS_MAX: Final = 3.0


class StateKeeper:
    """Keeps `marks` in a folder; without one nothing outlives the daemon.  `run` must run.

    At a start the highest incarnation of the incarnations before is `last_incarnation`.
    """

    def __init__(
        self,
        marks: Marks,
        folder: StateFolder | None,
    ) -> None:
        """Wire it.

        Args:
            marks: What is to be kept.
            folder: Where; None: nowhere, and every write ends well at once.
        """
        self.marks = marks
        self._folder = folder
        # Called after each write, when those who waited for it have been told.
        self.on_answered: Callable[[], None] = lambda: None
        self._number = 0
        self._wanted = trio.Event()
        self._ended = trio.Event()
        marks.on_wanted = self._on_wanted

    def _on_wanted(self) -> None:
        self._wanted.set()

    @property
    def last_incarnation(self) -> int:
        """The highest incarnation that was noted; 0: none."""
        return self.marks.last_incarnation

    async def note_incarnation(self, incarnation: int) -> None:
        """Note an incarnation of this node; return when it is on disk.

        Raises:
            OSError: It can't be written now.  It is tried again, and may be there after all.
        """
        self.marks.note_incarnation(incarnation)
        await self.wait_written()

    async def wait_written(self) -> None:
        """Return when the file says all that it should.

        Raises:
            OSError: It can't be written now.
        """
        while not self.marks.is_written:
            await self._ended.wait()
            if (problem := self.marks.statistics().problem) and not self.marks.is_written:
                raise OSError(0, problem)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write once, report that, and go on until cancelled.

        Then write what is still to be written.

        Raises:
            OSError: The first write failed.
        """
        try:
            await self._write_all()
            if not self.marks.is_written:
                raise OSError(0, self.marks.statistics().problem)
            task_status.started()
            while True:
                deadline = self.marks.next_deadline()
                with trio.move_on_at(math.inf if deadline is None else deadline):
                    await self._wanted.wait()
                self._wanted = trio.Event()
                await self._write_all()
        finally:
            self.marks.retry_now()
            with trio.move_on_after(LAST_WRITE_SECONDS_MAX, shield=True):
                await self._write_all()

    async def _write_all(self) -> None:
        while (content := self.marks.next_write(now=trio.current_time())) is not None:
            problem = "given up"
            try:
                problem = await self._write(content)
            finally:
                self.marks.on_written(problem, now=trio.current_time())
                self._ended.set()
                self._ended = trio.Event()
                self.on_answered()

    async def _write(self, content: Content) -> str:
        """Write it; return what went wrong, or an empty text."""
        if self._folder is None:
            return ""
        self._number += 1
        write = partial(self._folder.write, content, self._number)
        had_problem = self.marks.statistics().problem
        try:
            # Given up by a stop, it may yet end well; a later one wins whenever this one ends.
            await run_in_thread(write, abandon_on_cancel=True)
        except (OSError, ThreadRefused) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            problem = f"{self._folder.file}: {reason[:1].lower()}{reason[1:]}"
            if not had_problem:
                logger.warning(
                    "first writes to blank exports are refused: the state file can't be written: %s",
                    problem,
                    extra=about(EventKind.STATE_UNWRITTEN),
                )
            return problem
        if had_problem:
            logger.info(
                "the state file can be written again: first writes are accepted",
                extra=about(EventKind.STATE_WRITTEN),
            )
        return ""
