"""`ramsterctl restart`: begun once the next start is known to succeed, else refused.

Asking takes several calls: the first begins to check, and each says how that goes.  The check is
another program of this installation, which reads the files as the next start will: so an upgrade
that does not run is found by a program that serves nobody.
"""

import enum
import subprocess
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ramsterd.admin.socket import CommandRefused

CHECK_SECONDS_MAX: Final = 30.0
# Files may change: what was found earlier than this is asked for again.
CHECKED_SECONDS_MAX: Final = 5.0
# Of what the check says; the last lines.
_SAID_CHARACTERS_MAX: Final = 2000


class _State(enum.Enum):
    IDLE = enum.auto()
    CHECKING = enum.auto()
    CHECKED = enum.auto()
    RESTARTING = enum.auto()


class Restarter:
    """Does one restart; `run` must run."""

    def __init__(
        self,
        *,
        check: Callable[[], Awaitable[str]],
        new_id: Callable[[], str],
        restart: Callable[[str], None],
    ) -> None:
        """Wire it.

        Args:
            check: Returns why the next start would fail, or an empty text.
            new_id: Names a restart.
            restart: Begins it.
        """
        self._check = check
        self._new_id = new_id
        self._restart = restart
        self._state = _State.IDLE
        self._problem = ""
        self._checked_at = 0.0
        self._id = ""
        self._asked = trio.lowlevel.ParkingLot()

    def ask(self, _: dict[str, object]) -> object:
        """Begin, or say how it stands: checking, or restarting.

        Raises:
            CommandRefused: The next start would fail; nothing has changed.
        """
        if self._state is _State.RESTARTING:
            return {"state": "restarting", "id": self._id}
        if self._state is _State.CHECKED:
            self._state = _State.IDLE
            if trio.current_time() - self._checked_at > CHECKED_SECONDS_MAX:
                return self.ask({})
            if self._problem:
                raise CommandRefused(
                    f"nothing was restarted: the next start of ramsterd would fail: {self._problem}"
                )
            self._state, self._id = _State.RESTARTING, self._new_id()
            self._restart(self._id)
            return {"state": "restarting", "id": self._id}
        if self._state is _State.IDLE:
            self._state = _State.CHECKING
            self._asked.unpark()
        return {"state": "checking"}

    async def run(self) -> None:
        """Check whenever that is asked for, until cancelled."""
        while True:
            await self._asked.park()
            self._problem = await self._check()
            self._checked_at = trio.current_time()
            self._state = _State.CHECKED


async def check_start(command: list[str]) -> str:
    """Run a command that checks the next start; return why that would fail, or an empty text."""
    try:
        with trio.move_on_after(CHECK_SECONDS_MAX):
            done = await trio.run_process(
                command, check=False, stdout=subprocess.DEVNULL, capture_stderr=True
            )
            if done.returncode == 0:
                return ""
            said = (done.stderr or b"").decode(errors="replace").strip()
            return said[-_SAID_CHARACTERS_MAX:] or f"its check ended with status {done.returncode}"
    except OSError as error:
        return f"{command[0]}: {error.strerror or error}"
    return f"its check took longer than {CHECK_SECONDS_MAX:.0f} s"
