"""Ask the running daemon how it is, and learn which process answers.  A shell."""

import json
import socket
import struct
from pathlib import Path
from typing import Any, Final

ANSWER_SECONDS_MAX: Final = 5.0
# A status of 64 exports and 512 nodes is below it.
ANSWER_BYTES_MAX: Final = 16 << 20
_RECEIVE_BYTES: Final = 1 << 16
# struct ucred of unix(7): pid, uid, gid.
_CREDENTIALS: Final = struct.Struct("3i")


class NotRunning(Exception):
    """No daemon is there."""


class NoAnswer(Exception):
    """Something is there, and does not answer as a daemon does; the message says why."""


def ask_status(path: Path) -> tuple[dict[str, Any], int]:
    """Return the status of a daemon, and its process.

    Not SO_PEERCRED, which names who began to listen: that may have been an earlier process.

    Raises:
        NotRunning: Nobody listens there.
        NoAnswer: Who listens there does not answer, or not as a daemon does.
    """
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_SECONDS_MAX)
            # The kernel adds to each message who sent it.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            client.connect(str(path))
            client.sendall(b'{"command": "status"}\n')
            line, process = _receive_line(client)
        answer = json.loads(line)
        if not answer["ok"]:
            raise NoAnswer(str(answer["error"]))
        status: dict[str, Any] = answer["result"]
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunning from None
    except OSError as error:
        raise NoAnswer(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError):
        raise NoAnswer(f"{path}: what answers is not ramsterd") from None
    return status, process


def file_of(path: Path) -> Path | None:
    """Return the file that a daemon was started with.

    None: no daemon answers, it does not say so, or it is in a container whose files are not those
    of this shell.
    """
    try:
        status, process = ask_status(path)
        file = status["config"]["file"]
    except (NotRunning, NoAnswer, KeyError, TypeError):
        return None
    return Path(file) if process and isinstance(file, str) else None


def _receive_line(client: socket.socket) -> tuple[bytes, int]:
    data, process = b"", 0
    while not data.endswith(b"\n"):
        more, ancillary, _, _ = client.recvmsg(_RECEIVE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
        for level, kind, credentials in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                process, _, _ = _CREDENTIALS.unpack(credentials)
        data += more
        if not more or len(data) > ANSWER_BYTES_MAX:
            raise ValueError("no whole line")
    return data, process
