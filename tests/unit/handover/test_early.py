"""Sockets that are open before their servers are there."""

import errno
import os
import socket
from pathlib import Path

import pytest

from config.model import DaemonConfig, NbdConfig, TmemConfig
from ramsterd.endpoints.sockets import listen_unix
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.document import Endpoint
from ramsterd.handover.early import listen_early
from ramsterd.handover.listening import listening_tcp, listening_unix


def daemon_at(folder: Path, listen: str = "") -> DaemonConfig:
    return DaemonConfig(
        node="alpha",
        cluster=folder / "cluster.toml",
        nbd=NbdConfig(socket=folder / "nbd.sock", listen=listen),
        tmem=TmemConfig(socket=folder / "tmem.sock"),
    )


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_client_that_comes_early_is_served_by_the_server_that_comes_later(
    tmp_path: Path,
) -> None:
    address = free_address()
    arrival = Arrival()
    listen_early(daemon_at(tmp_path, address), arrival)
    host, port = address.split(":")
    with (
        socket.socket(socket.AF_UNIX) as disk,
        socket.socket(socket.AF_UNIX) as program,
        socket.create_connection((host, int(port))) as remote,
    ):
        disk.connect(str(tmp_path / "nbd.sock"))
        program.connect(str(tmp_path / "tmem.sock"))
        with (
            listening_unix(Endpoint.NBD_UNIX, tmp_path / "nbd.sock", arrival) as nbd,
            listening_unix(Endpoint.TMEM, tmp_path / "tmem.sock", arrival) as tmem,
            listening_tcp(Endpoint.NBD_TCP, address, arrival) as tcp,
        ):
            for listening, client in ((nbd, disk), (tmem, program), (tcp, remote)):
                accepted, _ = listening.sock.accept()
                accepted.sendall(b"hello")
                accepted.close()
                assert client.recv(9) == b"hello"
    assert not any(each.is_socket() for each in tmp_path.iterdir())
    arrival.finish(now_nanoseconds=0)


def test_a_socket_that_came_is_not_opened_again(tmp_path: Path) -> None:
    arrival = Arrival()
    listen_early(daemon_at(tmp_path), arrival)
    inode = (tmp_path / "nbd.sock").stat().st_ino
    listen_early(daemon_at(tmp_path), arrival)
    assert (tmp_path / "nbd.sock").stat().st_ino == inode
    arrival.finish(now_nanoseconds=0)


def test_a_start_that_fails_leaves_no_socket_behind(tmp_path: Path) -> None:
    arrival = Arrival()
    listen_early(daemon_at(tmp_path), arrival)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "nbd.sock"))
        arrival.finish(now_nanoseconds=0)
        with pytest.raises(OSError, match=os.strerror(errno.ECONNRESET)):
            client.recv(9)
    assert not (tmp_path / "nbd.sock").exists()


def test_what_cant_be_had_is_left_to_its_server(tmp_path: Path) -> None:
    arrival = Arrival()
    with listen_unix(tmp_path / "nbd.sock"), socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "tmem.sock").write_text("no socket")
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        listen_early(daemon_at(tmp_path, address), arrival)
        assert not arrival.has_listener(Endpoint.NBD_UNIX, str(tmp_path / "nbd.sock"))
        assert not arrival.has_listener(Endpoint.TMEM, str(tmp_path / "tmem.sock"))
        assert not arrival.has_listener(Endpoint.NBD_TCP, address)
    arrival.finish(now_nanoseconds=0)
    assert (tmp_path / "tmem.sock").read_text() == "no socket"
