"""A dial to real sockets, behind which the server's own handshake answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.limits import PAGE_BYTES
from ramsterd.attach.dialing import Refused, Server, Unreachable
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.negotiation import Negotiation
from ramsterd.frontends.nbd.protocol import REQUEST

DISK = Export(name="disk", size=8 * PAGE_BYTES, pool=PoolId(1), object_id=b"d")


@contextmanager
def served(listener: socket.socket) -> Iterator[list[bytes]]:
    """Answer one handshake, and yield what comes after it, when the client has gone."""
    after: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            server = Negotiation([DISK])
            connection.sendall(server.greeting())
            while data := connection.recv(4096):
                for answer in server.receive_data(data):
                    connection.sendall(answer)
            after.append(server.rest)

    with listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield after
        thread.join(10)


def unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_a_connection_over_a_unix_socket_is_ready_for_the_kernel(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    with served(unix_listener(path)) as after:
        sock, offer = Server(str(path)).dial("disk")
        with sock:
            assert (offer.name, offer.size) == ("disk", DISK.size)
            assert sock.gettimeout() is None
            sock.sendall(bytes(REQUEST.size))
    assert after == [bytes(REQUEST.size)], "nothing of ours stands before it"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_connection_over_tcp_ends_when_the_other_side_is_gone(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"needs {address}")
    port = listener.getsockname()[1]
    host = f"[{address}]" if ":" in address else address
    with served(listener):
        sock, _ = Server(f"{host}:{port}").dial("disk")
        with sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_refusal_has_the_words_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    with served(unix_listener(path)), pytest.raises(Refused, match=r"^no such export$"):
        Server(str(path)).dial("other")


def test_where_nobody_listens_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"^No such file or directory$"):
        Server(str(tmp_path / "none")).dial("disk")
    with pytest.raises(Unreachable, match="too long"):
        Server("/" + "x" * 200).dial("disk")


def test_a_silent_server_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ramsterd.attach.dialing.DIAL_SECONDS_MAX", 0.05)
    path = tmp_path / "nbd.sock"
    with unix_listener(path), pytest.raises(Unreachable, match="can't receive"):
        Server(str(path)).dial("disk")


@pytest.mark.parametrize("text", ["nbd.sock", "localhost:10809", "10.0.0.1", ""])
def test_a_server_is_a_path_or_an_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|ADDRESS|IP"):
        Server(text)
