"""Descriptors of an earlier process: taken once, by record; whatever is not as it should be is shut down."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramsterd.endpoints.sockets import listen_unix
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.document import ConnectionRecord, Endpoint, FrontEnd, ListenerRecord
from ramsterd.handover.names import DOCUMENT_NAME, Named, socket_name
from ramsterd.handover.parting import Parting, shut_down

MEMORY = b"m" * 16
NBD = ConnectionRecord(front_end=FrontEnd.NBD, state=["disk"])
TMEM = ConnectionRecord(front_end=FrontEnd.TMEM, state=["program"])


class Left:
    """What an earlier process left: a listening socket and two connections."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "nbd.sock"
        self.parting = Parting(
            memory_id=MEMORY, restart_id="4f", paused_at_nanoseconds=1_000_000_000
        )
        listener = listen_unix(self.path)
        record = ListenerRecord(
            endpoint=Endpoint.NBD_UNIX, address=str(self.path), inode=self.path.stat().st_ino
        )
        self.parting.add_listener(record, listener.detach())
        self.clients: list[socket.socket] = []
        for each in (NBD, TMEM):
            ours, client = socket.socketpair()
            client.setblocking(False)
            self.parting.add_connection(each, ours.detach())
            self.clients.append(client)

    def named(self, *, is_stored: bool = False) -> list[Named]:
        return self.parting.seal(is_stored=is_stored)

    def are_closed(self) -> list[bool]:
        return [is_over(client) for client in self.clients]


def is_over(client: socket.socket) -> bool:
    try:
        return client.recv(9) == b""
    except BlockingIOError:
        return False


def take_and_close(arrival: Arrival, front_end: FrontEnd) -> int:
    taken = arrival.connections(front_end)
    for _, sock in taken:
        sock.close()
    return len(taken)


def end(arrival: Arrival) -> None:
    arrival.finish(now_nanoseconds=1_500_000_000)


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Left]:
    made = Left(tmp_path)
    yield made
    for client in made.clients:
        client.close()


def test_each_gets_what_is_its_own(left: Left) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    arrival = Arrival([("ramster-super", null), *left.named()])
    assert arrival.others == [("ramster-super", null)]
    os.close(null)
    arrival.require_memory(MEMORY)
    assert arrival.problem == ""
    listener = arrival.listener(Endpoint.NBD_UNIX, str(left.path))
    assert listener is not None
    assert arrival.listener(Endpoint.NBD_UNIX, str(left.path)) is None, "taken"
    with listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(left.path))
        listener.accept()[0].close()
    ((record, sock),) = arrival.connections(FrontEnd.NBD)
    assert record == NBD
    with sock:
        sock.send(b"hello")
    assert left.clients[0].recv(9) == b"hello"
    arrival.on_taken()
    assert arrival.connections(FrontEnd.NBD) == []
    assert arrival.statistics().restart_id == "", "nobody knows yet how long clients waited"
    end(arrival)
    end(arrival)
    found = arrival.statistics()
    assert (found.connections_total, found.dropped_connections_total) == (1, 1)
    assert (found.gap_seconds, found.restart_id) == (0.5, "4f")
    assert left.are_closed() == [True, True]
    assert left.path.exists(), "the taker of the socket has the file"


def test_nothing_is_taken_twice(left: Left) -> None:
    """As after a crash, before the service manager has given anything up."""
    named = left.named(is_stored=True)
    again = [(name, os.dup(fd)) for name, fd in named]
    first = Arrival(named)
    taken = [sock for _, sock in first.connections(FrontEnd.NBD)]
    assert len(taken) == 1
    second = Arrival(again)
    assert "can't be read" in second.problem
    assert second.connections(FrontEnd.NBD) == []
    assert second.names_to_give_up == [name for name, _ in named]
    assert left.are_closed() == [True, True], "shut down, though there is another copy"
    for sock in taken:
        sock.close()
    end(first)
    end(second)


def test_a_manager_is_told_to_give_up_only_what_it_has(left: Left) -> None:
    arrival = Arrival(left.named(is_stored=False))
    assert arrival.came
    assert arrival.names_to_give_up == []
    end(arrival)
    assert not Arrival().came


def test_other_memory_closes_all_connections(left: Left) -> None:
    arrival = Arrival(left.named())
    arrival.require_memory(b"n" * 16)
    assert "memory" in arrival.problem
    assert left.are_closed() == [True, True]
    assert arrival.statistics().dropped_connections_total == 2
    listener = arrival.listener(Endpoint.NBD_UNIX, str(left.path))
    assert listener is not None, "new clients are served"
    listener.close()
    end(arrival)


def test_no_memory_closes_all_connections_whatever_the_document_says(tmp_path: Path) -> None:
    parting = Parting(memory_id=b"", restart_id="", paused_at_nanoseconds=0)
    ours, client = socket.socketpair()
    parting.add_connection(NBD, ours.detach())
    arrival = Arrival(parting.seal(is_stored=False))
    arrival.require_memory(b"")
    with client:
        assert is_over(client)
    end(arrival)


def test_a_socket_without_a_record_and_a_record_without_a_socket_spoil_no_other(left: Left) -> None:
    named = left.named()
    ours, stranger = socket.socketpair()
    stranger.setblocking(False)
    missing = named.pop(2)
    arrival = Arrival([*named, (socket_name(77), ours.detach())])
    assert take_and_close(arrival, FrontEnd.TMEM) == 1
    assert arrival.connections(FrontEnd.NBD) == []
    with stranger:
        assert is_over(stranger)
    os.close(missing[1])
    end(arrival)


@pytest.mark.parametrize("kind", ["null", "datagram", "listening", "twice"])
def test_a_descriptor_that_is_not_what_its_record_says_is_no_connection(
    left: Left, tmp_path: Path, kind: str
) -> None:
    named = left.named()
    name, connection = named[2]
    match kind:
        case "null":
            named[2] = (name, os.open(os.devnull, os.O_RDWR))
        case "datagram":
            named[2] = (name, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach())
        case "listening":
            named[2] = (name, listen_unix(tmp_path / "other.sock").detach())
        case _:
            named.append((name, os.dup(connection)))
    if kind != "twice":
        os.close(connection)
    arrival = Arrival(named)
    assert arrival.connections(FrontEnd.NBD) == []
    assert take_and_close(arrival, FrontEnd.TMEM) == 1
    assert arrival.statistics().dropped_connections_total == 1
    end(arrival)


@pytest.mark.parametrize("kind", ["none", "twice", "damaged", "socket"])
def test_without_one_whole_document_everything_is_shut_down(left: Left, kind: str) -> None:
    named = left.named()
    document = named[0][1]
    match kind:
        case "none":
            os.close(document)
            named.pop(0)
        case "twice":
            named.append((DOCUMENT_NAME, os.dup(document)))
        case "damaged":
            os.pwrite(document, b"\xff", 60)
        case _:
            os.close(document)
            named[0] = (DOCUMENT_NAME, socket.socket().detach())
    arrival = Arrival(named)
    assert bool(arrival.problem) is (kind != "none")
    assert left.are_closed() == [True, True]
    assert arrival.listener(Endpoint.NBD_UNIX, str(left.path)) is None
    assert len(arrival.names_to_give_up) >= 3
    end(arrival)


def test_a_path_that_somebody_else_has_now_is_not_taken_nor_removed(left: Left) -> None:
    named = left.named()
    left.path.unlink()
    with listen_unix(left.path):
        arrival = Arrival(named)
        assert arrival.listener(Endpoint.NBD_UNIX, str(left.path)) is None
        end(arrival)
        assert left.path.exists()
    left.path.unlink()
    end(arrival)


def test_what_nobody_took_is_closed_and_its_file_is_gone(left: Left) -> None:
    end(Arrival(left.named()))
    assert not left.path.exists()
    assert left.are_closed() == [True, True]


def test_shutting_down_what_is_no_socket_or_is_over_is_no_error() -> None:
    shut_down(os.open(os.devnull, os.O_RDONLY))
    ours, theirs = socket.socketpair()
    theirs.close()
    shut_down(ours.detach())
    shut_down(socket.socket().detach())
