"""Asking a daemon over its control socket.

Without an answer the command ends, with a line that says what to do.
"""

import grp
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from ramsterd.cli.output import EX_UNAVAILABLE, fail

ANSWER_SECONDS_MAX: Final = 10.0
NO_ARGUMENTS: Final[Mapping[str, object]] = {}

# `ask(socket_path, command, **arguments)` returns a result or ends the process.
Ask: TypeAlias = Callable[..., Any]


class AskFailed(Exception):
    """There is no result; the message is for the operator."""


def ask(socket_path: Path, command: str, **arguments: object) -> Any:
    """Return the result of a command, or end with status 1 and one line that says why there is none."""
    return _ask(socket_path, command, arguments, status=1)


def ask_or_unavailable(socket_path: Path, command: str, **arguments: object) -> Any:
    """Do the same for a command whose status 1 is an answer: without one it ends with EX_UNAVAILABLE."""
    return _ask(socket_path, command, arguments, status=EX_UNAVAILABLE)


def _ask(socket_path: Path, command: str, arguments: Mapping[str, object], *, status: int) -> Any:
    try:
        return try_ask(socket_path, command, **arguments)
    except AskFailed as failed:
        fail(str(failed), status)


def try_ask(socket_path: Path, command: str, **arguments: object) -> Any:
    """Return the result of a command.

    Raises:
        AskFailed: There is none.
    """
    try:
        line = send_command(socket_path, command, arguments)
    except OSError as error:
        raise AskFailed(no_answer(socket_path, error)) from None
    if not line:
        raise AskFailed(
            f"the daemon at {socket_path} closed the connection: look into its log, then repeat the command"
        )
    try:
        answer = json.loads(line)
        result, refusal = (answer["result"], None) if answer["ok"] else (None, answer["error"])
    except (ValueError, TypeError, KeyError):
        raise AskFailed(
            f"the program that answers at {socket_path} is not ramsterd: name the [control] socket with --socket PATH"
        ) from None
    if refusal is not None:
        raise AskFailed(refusal)
    return result


def send_command(
    socket_path: Path,
    command: str,
    arguments: Mapping[str, object] = NO_ARGUMENTS,
    *,
    seconds_max: float = ANSWER_SECONDS_MAX,
) -> bytes:
    """Return the line that a daemon answers to a command, empty if it closed the connection.

    Raises:
        OSError: There is no answer within `seconds_max`.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds_max)
        client.connect(str(socket_path))
        client.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
        with client.makefile("rb") as answers:
            return answers.readline()


def no_answer(path: Path, error: OSError) -> str:
    """Return why the control socket can't be used, and what to do about it."""
    match error:
        case PermissionError():
            return f"no access to {path}: {_who_may(path)}"
        case FileNotFoundError():
            return (
                f"no daemon answers at {path}: there is no such socket. Start ramsterd (`systemctl start ramsterd`), or"
                " name the [control] socket of ramsterd.toml: `ramsterctl --socket PATH …`"
            )
        case ConnectionRefusedError():
            return (
                f"no daemon answers at {path}: the daemon of this socket has ended."
                " Start it again: `systemctl start ramsterd`"
            )
        case _:
            return f"no daemon answers at {path}: {error.strerror or error}"


def _who_may(path: Path) -> str:
    """Return who may use a socket, as far as we may know."""
    try:
        status = path.stat()
    except OSError:
        return f"this user may not enter the folder {path.parent}; run the command as root or as the user of the daemon"
    group = group_name(status.st_gid)
    return (
        f"this socket is for the group {group}; run `sudo usermod -aG {group} $USER` and log in again,"
        " or run the command as root"
    )


def group_name(number: int) -> str:
    """Return the name of a group, or its number if it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
