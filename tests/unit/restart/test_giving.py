"""What is given to a service manager, and what it gives up."""

import logging
import os
import socket
from pathlib import Path

import pytest

from ramsterd.handover.arrival import Arrival
from ramsterd.handover.document import ConnectionRecord, FrontEnd
from ramsterd.handover.parting import Parting
from ramsterd.host.fd_store import DescriptorStore
from ramsterd.restart.departure import Departure
from ramsterd.restart.giving import give, give_up_stored
from tests.fakes.service_manager import FakeServiceManager

RECORD = ConnectionRecord(front_end=FrontEnd.NBD, state=["disk"])


def parting_of(*socks: socket.socket) -> Parting:
    parting = Parting(memory_id=b"m", restart_id="", paused_at_nanoseconds=0)
    for sock in socks:
        parting.add_connection(RECORD, sock.detach())
    return parting


def give_to(store: DescriptorStore, *socks: socket.socket) -> None:
    give(Departure(parting_of(*socks), False), store, arguments=[], environ={})


def test_a_manager_keeps_the_document_and_the_sockets_until_they_are_taken(tmp_path: Path) -> None:
    ours, client = socket.socketpair()
    with FakeServiceManager(tmp_path) as manager, client:
        store = DescriptorStore(manager.environ)
        give_to(store, ours)
        assert [name for name, _ in manager.stored] == ["ramster-handover", "ramster-handover-0"]
        received = [(name, os.dup(fd)) for name, fd in manager.stored]
        arrival = Arrival(received)
        give_up_stored(arrival, store)
        store.wait_handled()
        assert manager.stored == []
        ((_, sock),) = arrival.connections(FrontEnd.NBD)
        with sock:
            sock.send(b"on")
            assert client.recv(9) == b"on"
        arrival.finish(now_nanoseconds=0)


def test_what_the_manager_does_not_keep_is_closed_by_our_end_and_no_error(tmp_path: Path) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    with FakeServiceManager(tmp_path, descriptors_max=2) as manager:
        give_to(DescriptorStore(manager.environ), *(ours for ours, _ in pairs))
        assert len(manager.stored) == 2
        assert pairs[1][1].recv(9) == b""
    for _, client in pairs:
        client.close()


def test_a_manager_that_is_gone_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ramster")
    store = DescriptorStore({"NOTIFY_SOCKET": "/nowhere/notify"})
    ours, client = socket.socketpair()
    with client:
        give_to(store, ours)
        assert "systemd does not keep the connections" in caplog.text
        assert client.recv(9) == b"", "it is not left open until the end"
    null = os.open(os.devnull, os.O_RDONLY)
    give_up_stored(Arrival([("ramster-handover", null)]), store)
    assert "systemd does not give up" in caplog.text


def test_a_program_that_is_not_there_is_an_error_of_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    monkeypatch.setattr("ramsterd.host.successor.arrange", lambda _: None)
    store = DescriptorStore({})
    with pytest.raises(FileNotFoundError):
        give(Departure(parting_of(), True), store, arguments=["/nowhere/python"], environ={})
