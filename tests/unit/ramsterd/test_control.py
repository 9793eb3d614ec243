import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ramsterd.control import CONNECTIONS_MAX, LINE_BYTES_MAX, CommandRefused, answer, serve_control


def refuse(request: dict[str, object]) -> object:
    raise CommandRefused(f"not {request['what']}")


COMMANDS = {"echo": lambda request: request.get("text"), "refuse": refuse}


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
        (b'{"command": "\\ud800"}', "there are: echo, refuse"),
        (b'{"command": 1}', "expected an object"),
        (b'{"command": "' + b"x" * 60_000 + b'"}', "x…; there are: echo, refuse"),
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
async def served(path: Path) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, path, COMMANDS)
        yield
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


async def test_client_over_the_limit_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c"
    async with served(path):
        idle = [await trio.open_unix_socket(path) for _ in range(CONNECTIONS_MAX)]
        for stream in idle:
            assert (await ask(stream, b'{"command": "echo"}\n'))["ok"]
        async with await trio.open_unix_socket(path) as late:
            with trio.fail_after(5):
                said = json.loads(await late.receive_some())
        assert said == {"ok": False, "error": f"{CONNECTIONS_MAX} connections already"}
        await idle.pop().aclose()
        with trio.fail_after(5):
            while True:
                async with await trio.open_unix_socket(path) as late:
                    if (await ask(late, b'{"command": "echo"}\n'))["ok"]:
                        break
        for stream in idle:
            await stream.aclose()
