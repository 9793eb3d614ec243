"""A service manager with a descriptor store, as systemd has one: a notify socket, and descriptors for the next start."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.helpers.programs import Program


class FakeServiceManager:
    """Answers in a thread, from `with` on, until the block ends."""

    def __init__(self, folder: Path, *, descriptors_max: int = 64, says_max: bool = True) -> None:
        self._path = folder / "notify"
        self._descriptors_max = descriptors_max
        self._says_max = says_max
        # Name and descriptor, in the order in which they came.
        self.stored: list[tuple[str, int]] = []
        # Of each datagram, its lines.
        self.heard: list[list[str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"END", str(self._path))
        self._thread.join()
        self._socket.close()
        self.drop_all()

    @property
    def environ(self) -> dict[str, str]:
        """What a process is started with, its descriptors apart."""
        found = {"NOTIFY_SOCKET": str(self._path)}
        return {**found, "FDSTORE": str(self._descriptors_max)} if self._says_max else found

    @contextmanager
    def started(self, pid: int, *, first: int) -> Iterator[dict[str, str]]:
        """Start a process: hand out copies of all that is stored, from descriptor `first` on; yield its environment.

        What has these numbers is closed: `helpers.descriptors` has free ones.
        """
        for number, (_, fd) in enumerate(self.stored, first):
            os.dup2(fd, number)
        yield {
            **self.environ,
            "LISTEN_PID": str(pid),
            "LISTEN_FDS": str(len(self.stored)),
            "LISTEN_FDNAMES": ":".join(name for name, _ in self.stored),
        }

    def start_process(
        self, command: Sequence[str | Path], *, env: Mapping[str, str], **more: Any
    ) -> subprocess.Popen[bytes]:
        """Start a process with all that is stored, from descriptor 3 on."""
        fds = [os.dup(fd) for _, fd in self.stored]
        names = [name for name, _ in self.stored]
        try:
            return Program(command, listen=names, env={**env, **self.environ}, pass_fds=fds, **more)
        finally:
            for fd in fds:
                os.close(fd)

    def drop_all(self) -> None:
        """Give up everything, as when a unit has stopped or is not started again."""
        stored, self.stored = self.stored, []
        for _, fd in stored:
            os.close(fd)

    def _serve(self) -> None:
        while True:
            message, fds, _, _ = socket.recv_fds(self._socket, 4096, 16)
            lines = message.decode().splitlines()
            if lines == ["END"]:
                return
            self.heard.append(lines)
            self._handle(dict(line.split("=", 1) for line in lines), fds)

    def _handle(self, state: dict[str, str], fds: list[int]) -> None:
        name = state.get("FDNAME", "stored")
        if state.get("FDSTOREREMOVE") == "1":
            for each in [each for each in self.stored if each[0] == name]:
                self.stored.remove(each)
                os.close(each[1])
        for fd in fds:
            # What is no store, as BARRIER=1, what is too much, and what is there already is closed,
            # without a word.
            is_there = any(os.path.sameopenfile(fd, each) for _, each in self.stored)
            has_room = len(self.stored) < self._descriptors_max
            if state.get("FDSTORE") == "1" and has_room and not is_there:
                self.stored.append((name, fd))
            else:
                os.close(fd)
