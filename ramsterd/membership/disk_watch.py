"""The disk under the cluster file: that it is full is said before a change of the members meets it.

Members change rarely, so a disk that filled up would else be found by the change that can't be
written, which may be months later, at another node.  Only the room is looked at, and whether the
disk answers: a file that may not be written is the wish of an operator, and is told with the
change.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from config.errors import ConfigError
from config.event_kinds import EventKind, about
from ramsterd.host.loop_clock import sleep_to_turn
from ramsterd.host.threads import ThreadRefused, run_in_thread

logger = logging.getLogger("ramster.members")

# A look is one question to the file system, in a thread: a disk that hangs hangs nobody, and is
# asked once.
LOOK_SECONDS: Final = 4.0
# A disk that is busy answers within seconds; one that is gone, or a server of files that is away,
# does not.
HANGS_SECONDS: Final = 30.0
_HANGS: Final = f"the disk of the cluster file has not answered for more than {HANGS_SECONDS:.0f} s"


class DiskWatch:
    """Looks every `LOOK_SECONDS`.  `run` must run."""

    def __init__(self, check: Callable[[], None], *, on_look: Callable[[str], None]) -> None:
        """Wire it.

        Args:
            check: Raises ConfigError if there is no room; may block.
            on_look: Called after each look, and when a look takes too long, with what is wrong, or
                an empty text.
        """
        self._check = check
        self._on_look = on_look
        self._problem = ""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._look()
            await sleep_to_turn(LOOK_SECONDS)

    async def _look(self) -> None:
        problem = ""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_if_it_hangs)
            try:
                await run_in_thread(self._check, abandon_on_cancel=True)
            except ConfigError as error:
                problem = str(error)
            except ThreadRefused:
                # Nothing is known that was not known before.
                nursery.cancel_scope.cancel()
                return
            nursery.cancel_scope.cancel()
        self._tell(problem)

    async def _tell_if_it_hangs(self) -> None:
        await trio.sleep(HANGS_SECONDS)
        self._tell(_HANGS)

    def _tell(self, problem: str) -> None:
        if problem and problem != self._problem:
            logger.warning(
                "the next change of the members can't be written to the cluster file: %s; make room on that disk, or repair it",
                problem,
                extra=about(EventKind.MEMBERS_UNWRITABLE),
            )  # fmt: skip
        elif self._problem and not problem:
            logger.info(
                "the disk of the cluster file answers and has room again",
                extra=about(EventKind.MEMBERS_WRITABLE),
            )
        self._problem = problem
        self._on_look(problem)
