"""Listening sockets: stale files, living servers, modes, loopback."""

import os
import socket
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from ramsterd.endpoints.sockets import (
    ListenAddressRefused,
    SocketPathTaken,
    listen_tcp,
    listen_unix,
    parse_loopback,
    unix_listener,
)


def test_the_socket_is_for_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    with listen_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    listen_unix(path).close()
    assert path.exists()
    with listen_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(path))


def test_a_living_server_keeps_its_path(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    with listen_unix(path):
        with pytest.raises(SocketPathTaken, match="another server listens") as caught:
            listen_unix(path)
        assert caught.value.path == path
        assert path.exists()


def test_a_server_too_busy_to_accept_is_alive(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(os.fspath(path))
        busy.listen(0)
        waiting.connect(os.fspath(path))
        with pytest.raises(SocketPathTaken):
            listen_unix(path)


def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    path.write_text("precious")
    with pytest.raises(SocketPathTaken, match="not a socket"):
        listen_unix(path)
    assert path.read_text() == "precious"


def test_a_path_that_cannot_be_bound_leaks_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listen_unix(tmp_path / "missing" / "nbd.sock")


def test_the_socket_file_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    with unix_listener(path):
        assert path.exists()
    assert not path.exists()


def test_only_our_own_socket_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    with ExitStack() as stack:
        with unix_listener(path):
            path.unlink()
            stack.enter_context(listen_unix(path))
        assert path.exists()
    with unix_listener(path):
        path.unlink()


def test_tcp_listens_on_loopback() -> None:
    with listen_tcp("127.0.0.1:0") as listener, socket.socket() as client:
        client.connect(listener.getsockname())


def test_a_tcp_address_in_use_leaks_nothing() -> None:
    with listen_tcp("127.0.0.1:0") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"in use: '127.0.0.1:{port}'"):
            listen_tcp(f"127.0.0.1:{port}")


def test_addresses_are_parsed() -> None:
    assert parse_loopback("127.0.0.1:10809") == ("127.0.0.1", 10809)
    assert parse_loopback("[::1]:0") == ("::1", 0)


@pytest.mark.parametrize(
    "listen",
    ["", "10809", "localhost:10809", "0.0.0.0:1", "192.0.2.1:1", "127.0.0.1:", "127.0.0.1:65536"],
)
def test_other_addresses_are_refused(listen: str) -> None:
    with pytest.raises(ListenAddressRefused):
        parse_loopback(listen)
