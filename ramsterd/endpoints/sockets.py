"""Listening sockets: a Unix socket that survives a killed daemon's leftovers, and loopback TCP."""

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config.endpoint import PORT_MAX
from config.lookup import named_after, socket_address

# Enough for a burst of clients; the kernel cuts it to net.core.somaxconn.
_BACKLOG: Final = 128
# Local sockets are for the owner and the group `ramster`.
_SOCKET_MODE: Final = 0o660


class SocketPathTaken(Exception):
    """The socket's path belongs to a living server, or is no socket."""

    def __init__(self, path: Path, *, is_socket: bool) -> None:
        self.path = path
        self.is_socket = is_socket
        self.reason = "another server listens there" if is_socket else "exists and is not a socket"
        super().__init__(f"{path}: {self.reason}")


class ListenAddressRefused(Exception):
    """The address to listen at is malformed, or not a loopback address."""


def listen_unix(path: Path) -> socket.socket:
    """Return a non-blocking listening socket at `path`, mode 0660.

    A socket file that nobody listens at is what a killed daemon left: it is replaced.

    Raises:
        SocketPathTaken: Somebody listens there, or something else than a socket is in the way.
        OSError: The path can't be bound.
    """
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(os.fspath(path))
        # Before listen nobody can connect, so there is no moment with a wider mode.
        path.chmod(_SOCKET_MODE)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        # bind(2) does not say which file or folder it missed.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def unix_listener(path: Path, handed: socket.socket | None = None) -> Iterator[socket.socket]:
    """Listen at `path` during the block, as `listen_unix` does.

    Its end closes the socket and removes our file.

    A socket that was handed over is used as it is.  One that was detached is somebody else's, and
    so is its file.
    """
    with listen_unix(path) if handed is None else handed as listener:
        inode = path.lstat().st_ino
        try:
            yield listener
        finally:
            if listener.fileno() >= 0:
                _remove_socket_file(path, inode)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketPathTaken(path, is_socket=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A full backlog answers EAGAIN: a living server too, and we do not wait for it.
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise SocketPathTaken(path, is_socket=True)


def _remove_socket_file(path: Path, inode: int) -> None:
    """Remove our socket file, unless somebody has put another in its place."""
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_ino == inode:
            path.unlink()


def listen_tcp(listen: str) -> socket.socket:
    """Return a non-blocking listening socket for `"127.0.0.1:10809"` or `"[::1]:10809"`.

    Port 0 picks one.

    Raises:
        ListenAddressRefused: The address is malformed or not loopback (there is no TLS here yet).
        OSError: The address can't be bound.
    """
    return listen_at(*parse_loopback(listen))


def listen_at(host: str, port: int) -> socket.socket:
    """Return a non-blocking listening socket at a TCP address, of this machine only or not.

    Raises:
        OSError: The address can't be bound; the error names it.
    """
    with named_after(host, port):
        family, where = socket_address(host, port)
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener


def parse_loopback(listen: str) -> tuple[str, int]:
    """Return address and port, or raise ListenAddressRefused."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ListenAddressRefused(f"{listen!r} is not ADDRESS:PORT") from None
    if not address.is_loopback:
        raise ListenAddressRefused(f"{listen!r} is not a loopback address")
    if not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        raise ListenAddressRefused(f"{listen!r} has no port from 0 to {PORT_MAX}")
    return host, int(port)
