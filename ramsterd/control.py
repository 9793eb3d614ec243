"""The control socket: one JSON object a line in, one a line out.

    {"command": "status"}   ->   {"ok": true, "result": {…}}   or   {"ok": false, "error": "…"}

Commands are handed in by the daemon.  A line that is no command gets an error and the connection goes on; one
that is too long ends it.  Local, low volume, and readable with socat.
"""

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import trio

from config.reader import show
from ramsterd.sockets import inode_of, listen_unix, remove_socket_file

logger = logging.getLogger("ramster.control")

LINE_BYTES_MAX: Final = 64 * 1024
CONNECTIONS_MAX: Final = 16

Command = Callable[[dict[str, object]], object]


class CommandRefused(Exception):
    """A command can't be carried out; the message is for the operator."""


def answer(line: bytes, commands: Mapping[str, Command]) -> bytes:
    """Return the answer to one line."""
    try:
        request, command = _parse(line, commands)
        reply: dict[str, object] = {"ok": True, "result": command(request)}
    except (CommandRefused, ValueError, RecursionError) as error:
        reply = {"ok": False, "error": str(error)}
    return json.dumps(reply).encode() + b"\n"


def _parse(line: bytes, commands: Mapping[str, Command]) -> tuple[dict[str, object], Command]:
    request = json.loads(line)
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        raise CommandRefused('expected an object such as {"command": "status"}')
    command = commands.get(request["command"])
    if command is None:
        known = ", ".join(sorted(commands))
        raise CommandRefused(f"no command {show(request['command'])}; there are: {known}")
    return request, command


async def serve_control(
    path: Path,
    commands: Mapping[str, Command],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; the socket file is removed at the end.

    Raises:
        SocketPathTaken: Another daemon serves there.
        OSError: The path can't be bound.
    """
    with listen_unix(path) as raw:
        inode = inode_of(path)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(raw))
        limiter = trio.CapacityLimiter(CONNECTIONS_MAX)
        try:
            task_status.started()
            await trio.serve_listeners(partial(_serve_client, commands, limiter), [listener])
        finally:
            remove_socket_file(path, inode)


async def _serve_client(
    commands: Mapping[str, Command], limiter: trio.CapacityLimiter, stream: trio.SocketStream
) -> None:
    try:
        async with stream:
            try:
                limiter.acquire_nowait()
            except trio.WouldBlock:
                # To wait would be to hang without a word, for as long as others keep their connections.
                await stream.send_all(_encode_error(f"{CONNECTIONS_MAX} connections already"))
                return
            try:
                await _answer_lines(commands, stream)
            finally:
                limiter.release()
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        logger.debug("a control client left: %s", error)


def _encode_error(message: str) -> bytes:
    return json.dumps({"ok": False, "error": message}).encode() + b"\n"


async def _answer_lines(commands: Mapping[str, Command], stream: trio.SocketStream) -> None:
    buffered = b""
    async for data in stream:
        buffered += data
        *lines, buffered = buffered.split(b"\n")
        for line in lines:
            await stream.send_all(answer(line, commands))
        if len(buffered) > LINE_BYTES_MAX:
            logger.warning("a control client sent a line over %d bytes", LINE_BYTES_MAX)
            return
