"""Asking a daemon over its control socket.

Without an answer the command ends, with a line that says what to do.
"""

import grp
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import click

from ramsterd.cli.beside import NotInTime, send_beside
from ramsterd.cli.output import EX_UNAVAILABLE, fail
from ramsterd.cli.printable import printable
from ramsterd.cli.target import Target

ANSWER_SECONDS_MAX: Final = 10.0
# As many questions as a node has under way (ramsterd.asking.asker).
NODES_AT_ONCE: Final = 8
# Several that do not answer take as long, one after the other; those behind them are not asked.
CLUSTER_SECONDS_MAX: Final = 20.0
NO_ARGUMENTS: Final[Mapping[str, object]] = {}

# `ask(target, command, **arguments)` returns a result or ends the process.
Ask: TypeAlias = Callable[..., Any]
# A command with its arguments, as the control socket takes it.
Request: TypeAlias = Mapping[str, object]
# `ask_each(target, requests)` returns a result or an AskFailed of each node that has a request.
AskEach: TypeAlias = Callable[..., list[Any]]


class AskFailed(Exception):
    """There is no result; the message is for the operator."""


def ask(target: Target, command: str, **arguments: object) -> Any:
    """Return the result of a command, or end with status 1 and one line that says why there is none."""
    return _ask(target, command, arguments, status=1)


def ask_or_unavailable(target: Target, command: str, **arguments: object) -> Any:
    """Do the same for a command whose status 1 is an answer: without one it ends with EX_UNAVAILABLE."""
    return _ask(target, command, arguments, status=EX_UNAVAILABLE)


def _ask(target: Target, command: str, arguments: Mapping[str, object], *, status: int) -> Any:
    if target.is_cluster:
        raise click.UsageError(
            "--cluster is for commands that show something: name one node with --node NAME"
        )
    try:
        return try_ask(target, command, **arguments)
    except AskFailed as failed:
        fail(str(failed), status)


def ask_each(
    target: Target,
    requests: Mapping[str, Request],
    *,
    at_once: int = NODES_AT_ONCE,
    seconds_max: float = CLUSTER_SECONDS_MAX,
) -> list[Any]:
    """Return what each node says to its request, asked beside each other: a result, or AskFailed."""
    lines = [
        json.dumps({"command": "ask", "node": node, "request": request}).encode() + b"\n"
        for node, request in requests.items()
    ]
    answers = send_beside(target.socket, lines, at_once=at_once, seconds_max=seconds_max)
    return [
        _result_of_node(target.socket, node, answer, seconds_max)
        for node, answer in zip(requests, answers, strict=True)
    ]


def _result_of_node(
    socket_path: Path, node: str, answer: bytes | OSError, seconds_max: float
) -> Any:
    if isinstance(answer, NotInTime):
        return AskFailed(f"node {node} has not answered within {seconds_max:g} s")
    if isinstance(answer, OSError):
        return AskFailed(no_answer(socket_path, answer))
    try:
        return _passed_on(node, _result_in_line(socket_path, answer))
    except AskFailed as failed:
        return failed


def try_ask(target: Target, command: str, **arguments: object) -> Any:
    """Return the result of a command.

    Raises:
        AskFailed: There is none.
    """
    if not target.node:
        return _result_at(target.socket, command, arguments)
    asked = {"command": command, **arguments}
    passed_on = _result_at(target.socket, "ask", {"node": target.node, "request": asked})
    return _passed_on(target.node, passed_on)


def _passed_on(node: str, passed_on: dict[str, Any]) -> Any:
    """Return the result of another node, which may not move the cursor of a terminal here."""
    otherwise = f"node {node} answered with what is no answer: look whether ramsterd runs there"
    return printable(result_in(passed_on["answer"], otherwise))


def _result_at(socket_path: Path, command: str, arguments: Mapping[str, object]) -> Any:
    try:
        line = send_command(socket_path, command, arguments)
    except OSError as error:
        raise AskFailed(no_answer(socket_path, error)) from None
    return _result_in_line(socket_path, line)


def _result_in_line(socket_path: Path, line: bytes) -> Any:
    if not line:
        raise AskFailed(
            f"the daemon at {socket_path} closed the connection: look into its log, then repeat the command"
        )
    return result_in(
        line,
        f"the program that answers at {socket_path} is not ramsterd: name the [control] socket with --socket PATH",
    )


def result_in(line: bytes | str, otherwise: str) -> Any:
    """Return the result that an answer has.

    Raises:
        AskFailed: It is a refusal, or no answer at all (`otherwise`).
    """
    try:
        answer = json.loads(line)
        result, refusal = (answer["result"], None) if answer["ok"] else (None, answer["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise AskFailed(otherwise) from None
    if refusal is not None:
        raise AskFailed(str(printable(refusal)))
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
        case ConnectionRefusedError() if path.exists() and not path.is_socket():
            what = "a folder" if path.is_dir() else "a file"
            return f"{path} is {what}, and no socket: name the [control] socket with --socket PATH"
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
