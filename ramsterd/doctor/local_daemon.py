"""Ask the daemon of this node, and others through it, several at once.  A shell."""

import json
from pathlib import Path
from typing import Any, Final

import trio

from ramsterd.doctor.daemon import ANSWER_BYTES_MAX

# A little longer than a daemon waits for another one (ramsterd.asking.exchange).
ANSWER_SECONDS_MAX: Final = 6.0
_RECEIVE_BYTES: Final = 1 << 16


class NoAnswer(Exception):
    """There is none; the message says why."""


async def ask(path: Path, request: dict[str, object]) -> Any:
    """Return the result of a command.

    Raises:
        NoAnswer: There is none in time, or a refusal.
    """
    line = b""
    try:
        with trio.move_on_after(ANSWER_SECONDS_MAX):
            async with await trio.open_unix_socket(path) as client:
                await client.send_all(json.dumps(request).encode() + b"\n")
                line = await _receive_line(client)
    except (OSError, trio.BrokenResourceError) as error:
        raise NoAnswer(f"{path}: {error}") from None
    if not line:
        raise NoAnswer(f"no answer within {ANSWER_SECONDS_MAX:g} s")
    try:
        answer = json.loads(line)
        if answer["ok"]:
            return answer["result"]
        refusal = str(answer["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise NoAnswer(f"{path}: what answers is not ramsterd") from None
    raise NoAnswer(refusal)


async def _receive_line(client: trio.SocketStream) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        more = await client.receive_some(_RECEIVE_BYTES)
        data += more
        if not more or len(data) > ANSWER_BYTES_MAX:
            return b""
    return bytes(data)
