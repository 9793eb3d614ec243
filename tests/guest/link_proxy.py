"""A TCP port before a Unix socket whose connections a test can cut, and keep away."""

import contextlib
import socket
import threading
from pathlib import Path


class LinkProxy:
    """Copies bytes both ways, until `cut`; then refuses, until `heal`.  `cuts_total` counts connections that were cut."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._copiers: list[threading.Thread] = []
        self._is_away = False
        self.cuts_total = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def cut(self) -> None:
        """End all connections as a killed server does, whatever is on its way; refuse new ones."""
        with self._lock:
            self._is_away = True
            self.cuts_total += len(self._ends) // 2
            self._end_all()

    def heal(self) -> None:
        """Accept connections again."""
        with self._lock:
            self._is_away = False

    def close(self) -> None:
        with self._lock:
            self._is_away = True
            self._end_all()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(10)
        self._listener.close()

    def _end_all(self) -> None:
        for each in self._ends:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._copiers:
            thread.join(10)
        for each in self._ends:
            each.close()
        self._copiers.clear()
        self._ends.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            with self._lock:
                try:
                    if self._is_away:
                        raise ConnectionRefusedError
                    far.connect(str(self._target))
                except OSError:
                    near.close()
                    far.close()
                    continue
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._ends += [near, far]
                for pair in (near, far), (far, near):
                    thread = threading.Thread(target=self._copy, args=pair, daemon=True)
                    thread.start()
                    self._copiers.append(thread)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for each in source, target:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
