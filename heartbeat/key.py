"""The heartbeat key from its file: 64 hexadecimal digits, or 32 bytes as they are.  Blocking: at start only."""

import stat
from pathlib import Path
from typing import Final

from heartbeat.seal import KEY_BYTES

# 64 digits, and a line's end.
_FILE_BYTES_MAX: Final = 2 * KEY_BYTES + 2


class BadKeyFile(Exception):
    """The key can't be had; says which file, what was found and what was expected."""


def read_key(path: Path) -> bytes:
    """Return the key of 32 bytes.

    Raises:
        BadKeyFile: The file can't be read, others may read it, or it holds no key.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            found = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadKeyFile(f"heartbeat_key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise BadKeyFile(f"heartbeat_key {path}: mode {mode:04o}, not 0600: others may read it")
    if len(found) == KEY_BYTES:
        return found
    try:
        key = bytes.fromhex(found.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKeyFile(
            f"heartbeat_key {path}: {len(found)} bytes, not {2 * KEY_BYTES} hexadecimal digits"
            f" or {KEY_BYTES} bytes"
        )
    return key
