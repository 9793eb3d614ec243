"""The folder of the state file: whose it is, and reading and writing the file.  All of it blocks.

One daemon at a time: the folder is locked (flock) for as long as the process runs.  Two daemons
with one folder would each undo what the other has noted.
"""

import fcntl
import os
import threading
from pathlib import Path
from typing import Final

from config.save import replace_file
from ramsterd.host.locks import process_with_lock
from ramsterd.statefile.content import STATE_BYTES_MAX, Content, DamagedState, encode, parse

FILE_NAME: Final = "state.json"
LOCK_NAME: Final = "lock"
_FOLDER_MODE: Final = 0o700


class StateFolderTaken(Exception):
    """Another daemon uses the folder; the message is one line for the operator."""


class StateFolder:
    """A folder that this process has locked."""

    def __init__(self, path: Path) -> None:
        """Make the folder if only it is missing, and lock it.

        Raises:
            StateFolderTaken: Another daemon has it.
            OSError: It can't be made or used.
        """
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        self.file = path / FILE_NAME
        # Of writers that were given up, too: the newest content is what stays.
        self._writing = threading.Lock()
        self._newest = 0
        # Not inherited by children (PEP 446), so the lock ends with this process.
        self._lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            process = process_with_lock(self._lock)
            os.close(self._lock)
            if isinstance(error, BlockingIOError):
                raise StateFolderTaken(_who_has_it(path, process)) from None
            raise
        # What a daemon left that was killed while it wrote.
        for leftover in path.glob(f".{FILE_NAME}.*"):
            leftover.unlink()

    def close(self) -> None:
        """Let another daemon have the folder."""
        os.close(self._lock)

    def write(self, content: Content, number: int) -> None:
        """Replace the file.  Of several writers the one with the highest number wins, whenever each comes.

        Raises:
            OSError: It can't be written; the file is as it was.
        """
        data = encode(content)
        with self._writing:
            if number > self._newest:
                replace_file(self.file, data, mode=0o600)
                self._newest = number


def _who_has_it(path: Path, process: int | None) -> str:
    if process is None:
        lock = path / LOCK_NAME
        return f"{path}: another ramsterd uses this state_dir (`fuser -v {lock}` shows it)"
    who = f"process {process} (`ps -fp {process}` shows it)"
    return f"{path}: another ramsterd uses this state_dir: {who}"


def read_state(file: Path) -> Content:
    """Return what a state file says; without a file, what a new node knows: nothing.

    Raises:
        DamagedState: It is not a whole state file.
        OSError: It can't be read.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(STATE_BYTES_MAX + 1)
    except FileNotFoundError:
        return Content()
    if len(data) > STATE_BYTES_MAX:
        raise DamagedState(f"more than {STATE_BYTES_MAX} bytes")
    return parse(data)
