import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from ramsterd.admin.socket import (
    CONNECTIONS_MAX,
    DEFECT,
    LINE_BYTES_MAX,
    SILENCE_SECONDS_MAX,
    CommandRefused,
    ControlServer,
    WaitingCommand,
    answer,
    answer_in_time,
)
from tests.helpers.leftovers import watch_leftovers


def refuse(request: dict[str, object]) -> object:
    raise CommandRefused(f"not {request['what']}")


COMMANDS = {
    "echo": lambda request: request.get("text"),
    "refuse": refuse,
    "much": lambda _: "x" * 10_000_000,
}
ECHO = b'{"command": "echo"}\n'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"command": "echo", "text": [1, null]}', {"ok": True, "result": [1, None]}),
        (b'{"command": "refuse", "what": "now"}', {"ok": False, "error": "not now"}),
    ],
)
def test_command_is_answered(line: bytes, expected: object) -> None:
    assert json.loads(answer(line, COMMANDS)) == expected


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (b"", "Expecting value"),
        (b"status", "Expecting value"),
        (b"\xff\xfe\xfd", "codec"),
        (b"[" * 60_000, "recursion"),
        (b"9" * 5000, "digits"),
        (b'{"command": "\\ud800"}', "expected one of: echo, much, refuse"),
        (b'{"command": 1}', "expected an object"),
        (b'{"command": "' + b"x" * 60_000 + b'"}', "x…, expected one of: echo, much, refuse"),
        (b'["echo"]', "expected an object"),
    ],
)
def test_line_that_is_no_command_gets_an_error(line: bytes, hint: str) -> None:
    reply = answer(line, COMMANDS)
    assert reply.endswith(b"\n")
    assert reply.count(b"\n") == 1
    said = json.loads(reply)
    assert said["ok"] is False
    assert hint in said["error"]
    assert len(reply) < 1000, "no echo of all that was said"


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[ControlServer]:
    server = ControlServer(path, COMMANDS)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        yield server
        nursery.cancel_scope.cancel()


async def ask(stream: trio.SocketStream, line: bytes) -> dict[str, object]:
    await stream.send_all(line)
    received = b""
    while not received.endswith(b"\n"):
        data = await stream.receive_some()
        assert data
        received += data
    reply = json.loads(received)
    assert isinstance(reply, dict)
    return reply


async def test_connection_goes_on_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "c"
    async with served(path), await trio.open_unix_socket(path) as stream:
        assert (await ask(stream, b"nonsense\n"))["ok"] is False
        await stream.send_all(b'{"command": "echo", ')
        assert (await ask(stream, b'"text": 5}\n')) == {"ok": True, "result": 5}
    assert not path.exists()


async def test_line_without_an_end_ends_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "c"
    async with served(path), await trio.open_unix_socket(path) as stream:
        with trio.fail_after(5):
            await stream.send_all(b"x" * LINE_BYTES_MAX)
            try:
                await stream.send_all(b"x")
                assert await stream.receive_some() == b""
            except trio.BrokenResourceError:
                pass


async def test_silent_clients_keep_nobody_out(tmp_path: Path) -> None:
    """The oldest of them gives way: not one that has asked for something."""
    path = tmp_path / "c"
    async with served(path) as server:
        busy = await trio.open_unix_socket(path)
        silent = [await trio.open_unix_socket(path) for _ in range(CONNECTIONS_MAX - 1)]
        while server.statistics().connections < CONNECTIONS_MAX:
            await trio.testing.wait_all_tasks_blocked()
        assert (await ask(busy, ECHO))["ok"]
        for turn in range(3):
            async with await trio.open_unix_socket(path) as late:
                assert (await ask(late, ECHO))["ok"]
                assert await silent[turn].receive_some() == b"", "it gave way"
            silent.append(await trio.open_unix_socket(path))
        assert (await ask(busy, ECHO))["ok"]
        statistics = server.statistics()
        assert statistics.connections <= CONNECTIONS_MAX
        assert statistics.displaced_connections_total >= 3
        for stream in (*silent, busy):
            await stream.aclose()


async def test_a_client_that_is_silent_for_too_long_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = socket.socketpair()
    server = ControlServer(Path("unused"), COMMANDS)
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(ECHO + b"half a line")
        await server._answer_client(ours, lambda: None)
        assert trio.current_time() == pytest.approx(SILENCE_SECONDS_MAX)


async def test_a_client_that_takes_no_answer_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = socket.socketpair()
    commands = {"much": lambda _: "x" * 10_000_000}
    server = ControlServer(Path("unused"), commands)
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(b'{"command": "much"}\n')
        await server._answer_client(ours, lambda: None)
        assert trio.current_time() == pytest.approx(SILENCE_SECONDS_MAX)


Ending = Callable[[Path], Awaitable[None]]


async def leaves(path: Path) -> None:
    async with await trio.open_unix_socket(path) as stream:
        await ask(stream, ECHO)


async def says_nothing(path: Path) -> None:
    async with await trio.open_unix_socket(path):
        pass


async def sends_too_long_a_line(path: Path) -> None:
    async with await trio.open_unix_socket(path) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"x" * (LINE_BYTES_MAX + 1))
            await stream.receive_some()


async def takes_no_answer(path: Path) -> None:
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(ECHO.replace(b"echo", b"much"))
        await trio.testing.wait_all_tasks_blocked()


async def are_too_many(path: Path) -> None:
    streams = [await trio.open_unix_socket(path) for _ in range(CONNECTIONS_MAX + 2)]
    await ask(streams[-1], ECHO)
    for stream in streams:
        await stream.aclose()


@pytest.mark.slow
@pytest.mark.parametrize(
    "ending", [leaves, says_nothing, sends_too_long_a_line, takes_no_answer, are_too_many]
)
async def test_nothing_is_left_of_a_client_that(ending: Ending, tmp_path: Path) -> None:
    async def end_one(server: ControlServer) -> None:
        before = server.statistics().accepted_connections_total
        await ending(path)
        statistics = server.statistics()
        while statistics.connections or statistics.accepted_connections_total == before:
            await trio.testing.wait_all_tasks_blocked()
            statistics = server.statistics()
        await trio.testing.wait_all_tasks_blocked()

    path = tmp_path / "c"
    async with served(path) as server:
        await end_one(server)
        with watch_leftovers() as left:
            for _ in range(10):
                await end_one(server)
    assert not left


def fail(_: dict[str, object]) -> object:
    raise AssertionError("a mistake in ramsterd")


async def wait_and_fail(_: dict[str, object]) -> object:
    raise AssertionError("a mistake in ramsterd")


async def test_a_defect_in_what_only_shows_something_ends_no_daemon(
    caplog: pytest.LogCaptureFixture,
) -> None:
    waits: dict[str, WaitingCommand] = {"health": wait_and_fail}
    nothing: dict[str, WaitingCommand] = {}
    for commands, waiting in (({"health": fail}, nothing), ({}, waits)):
        reply = json.loads(await answer_in_time(b'{"command": "health"}', commands, waiting))
        assert reply == {"ok": False, "error": DEFECT}
    assert caplog.messages == ["a command of an operator failed: health"] * 2
    assert all(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("command", ["memory-set", "node-remove"])
async def test_a_defect_in_what_changes_something_ends_the_daemon(command: str) -> None:
    line = json.dumps({"command": command}).encode()
    with pytest.raises(AssertionError, match="a mistake"):
        await answer_in_time(line, {command: fail}, {})
