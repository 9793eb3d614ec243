"""The control socket: one JSON object a line in, one a line out.

    {"command": "status"}   ->   {"ok": true, "result": {…}}   or   {"ok": false, "error": "…"}

Commands are handed in by the daemon.  A line that is no command gets an error and the connection
goes on; one that is too long ends it, and so does a minute of silence.  Local, low volume, and
readable with socat.

A defect in a command that only shows something ends no daemon.  One in a command that changes
something may have changed half of it, and does.
"""

import json
import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Final

import trio

from config.reader import show
from ramsterd.asking.rights import RIGHTS, Right
from ramsterd.endpoints.connections import Connections, receive_some, send_all
from ramsterd.endpoints.statistics import EndpointStatistics
from ramsterd.frontends.tmem.users import peer_user
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.document import Endpoint
from ramsterd.handover.listening import Listening, listening_unix
from ramsterd.handover.parting import Parting

logger = logging.getLogger("ramster.control")

LINE_BYTES_MAX: Final = 64 * 1024
# The oldest of the user with the most of them gives way to the next.
CONNECTIONS_MAX: Final = 32
# For the next command to come, and for its answer to be taken.
SILENCE_SECONDS_MAX: Final = 60.0
RECEIVE_BYTES: Final = 16 * 1024

Command = Callable[[dict[str, object]], object]
# A command whose answer takes a while; it has a timeout of its own.
WaitingCommand = Callable[[dict[str, object]], Awaitable[object]]
NOTHING_WAITS: Final[Mapping[str, WaitingCommand]] = {}


class CommandRefused(Exception):
    """A command can't be carried out; the message is for the operator."""


DEFECT: Final = (
    "ramsterd failed at this command, and serves pages as before. Please report what its log says:"
    " type `journalctl --unit ramsterd`"
)
# What a line can be wrong in.
REFUSALS: Final = (CommandRefused, ValueError, RecursionError)


def answer(line: bytes, commands: Mapping[str, Command]) -> bytes:
    """Return the answer to one line."""
    try:
        request, name = _parse(line, commands)
        return _done(commands[name](request))
    except REFUSALS as error:
        return _refused(error)


async def answer_in_time(
    line: bytes, commands: Mapping[str, Command], waiting: Mapping[str, WaitingCommand]
) -> bytes:
    """Return the answer to one line, which may be one of the commands that wait."""
    name = ""
    try:
        request, name = _parse(line, [*commands, *waiting])
        if (wait := waiting.get(name)) is not None:
            return _done(await wait(request))
        return _done(commands[name](request))
    except REFUSALS as error:
        return _refused(error)
    except Exception:
        if RIGHTS.get(name) is not Right.LINK:
            raise
        logger.exception("a command of an operator failed: %s", name)
        return _refused(CommandRefused(DEFECT))


def _parse(line: bytes, names: Collection[str]) -> tuple[dict[str, object], str]:
    request = json.loads(line)
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        raise CommandRefused('expected an object such as {"command": "status"}')
    name = request["command"]
    if name not in names:
        raise CommandRefused(
            f"found command {show(name)}, expected one of: {', '.join(sorted(names))}"
        )
    return request, name


def _done(result: object) -> bytes:
    return json.dumps({"ok": True, "result": result}).encode() + b"\n"


def _refused(error: Exception) -> bytes:
    return json.dumps({"ok": False, "error": str(error)}).encode() + b"\n"


class Lines:
    """What came, cut into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def receive_data(self, data: bytes) -> list[bytes]:
        """Return the lines that are whole now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    @property
    def is_too_long(self) -> bool:
        """Whether a line has no end within the limit: nothing more is to be received."""
        return len(self._rest) > LINE_BYTES_MAX


class ControlServer:
    """Serves commands on a Unix socket."""

    def __init__(
        self,
        path: Path,
        commands: Mapping[str, Command],
        *,
        waiting: Mapping[str, WaitingCommand] = NOTHING_WAITS,
        arrival: Arrival | None = None,
    ) -> None:
        """Wire it; `waiting` are commands that take a while, `arrival` is what an earlier process left."""
        self._path = path
        self._arrival = arrival or Arrival()
        self._listening: Listening | None = None
        self._commands = commands
        self._waiting = waiting
        self._connections = Connections(
            "control client", connections_max=CONNECTIONS_MAX, logger=logger
        )

    def statistics(self) -> EndpointStatistics:
        """Return a snapshot."""
        return self._connections.statistics()

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the socket file is removed at the end.

        Raises:
            SocketPathTaken: Another daemon serves there.
            OSError: The path can't be bound.
        """
        with listening_unix(Endpoint.CONTROL, self._path, self._arrival) as self._listening:
            task_status.started()
            await self._connections.serve(self._listening.sock, _user_of, self._answer_client)

    async def come_to_edges(self) -> None:
        """A command is answered as it comes: there is nothing to wait for."""

    def hand_over(self, parting: Parting) -> None:
        """Leave the listening socket to the next process.

        Clients are disconnected, and ask again.
        """
        if self._listening is not None:
            self._listening.hand_over(parting)

    async def _answer_client(self, sock: socket.socket, renew: Callable[[], None]) -> None:
        """Answer lines until the client leaves, is silent, or takes no answer, for too long."""
        lines = Lines()
        while True:
            data = b""
            with trio.move_on_after(SILENCE_SECONDS_MAX) as silence:
                data = await receive_some(sock, RECEIVE_BYTES)
                for line in lines.receive_data(data):
                    renew()
                    await send_all(sock, await answer_in_time(line, self._commands, self._waiting))
            if not data or silence.cancelled_caught:
                return
            if lines.is_too_long:
                logger.warning(
                    "a client of the control socket sent a line of more than %d bytes: it is disconnected",
                    LINE_BYTES_MAX,
                )
                return


def _user_of(sock: socket.socket) -> str:
    return f"user {peer_user(sock)}"
