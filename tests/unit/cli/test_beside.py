"""Many lines, answered beside each other by a server that takes its time."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ramsterd.cli.beside import NotInTime, send_beside

LINES = [b"%d\n" % number for number in range(20)]


@contextmanager
def serving(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve each connection in a thread of its own."""
    threads: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)

        def serve_one(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                serve(client)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threads.append(threading.Thread(target=serve_one, args=(client,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for thread in threads:
                thread.join(10)


def test_lines_are_answered_beside_each_other_and_only_so_many(tmp_path: Path) -> None:
    """Each answer waits until three are asked: one after the other this would never end."""
    together = threading.Barrier(4, timeout=30)
    lock, under_way, most = threading.Lock(), 0, 0

    def serve(client: socket.socket) -> None:
        nonlocal under_way, most
        line = client.recv(100)
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait()
        with lock:
            under_way -= 1
        client.sendall(b"said " + line[:1])
        client.sendall(line[1:])

    with serving(tmp_path / "c", serve):
        found = send_beside(tmp_path / "c", LINES, at_once=4, seconds_max=60)
    assert found == [b"said " + line for line in LINES]
    assert most == 4


def test_without_an_answer_in_time_the_others_are_there(tmp_path: Path) -> None:
    over = threading.Event()

    def serve(client: socket.socket) -> None:
        line = client.recv(100)
        if line == b"1\n":
            over.wait(30)
        client.sendall(line)

    with serving(tmp_path / "c", serve):
        found = send_beside(tmp_path / "c", LINES[:3], at_once=4, seconds_max=2)
        over.set()
    assert (found[0], found[2]) == (b"0\n", b"2\n")
    assert isinstance(found[1], NotInTime)


def test_a_connection_that_is_closed_has_no_whole_answer(tmp_path: Path) -> None:
    with serving(tmp_path / "c", lambda _: None):
        [found] = send_beside(tmp_path / "c", LINES[:1], at_once=4, seconds_max=30)
    assert found == b"" or isinstance(found, ConnectionError)


def test_a_socket_that_is_not_there_is_an_error_of_each_line(tmp_path: Path) -> None:
    found = send_beside(tmp_path / "none", LINES[:2], at_once=4, seconds_max=30)
    assert [type(each) for each in found] == [FileNotFoundError] * 2


@pytest.mark.parametrize("seconds_max", [0.0, -1.0])
def test_no_time_is_no_answer(tmp_path: Path, seconds_max: float) -> None:
    with serving(tmp_path / "c", lambda _: None):
        [found] = send_beside(tmp_path / "c", LINES[:1], at_once=4, seconds_max=seconds_max)
    assert isinstance(found, OSError)
