"""Whom a front end accepts, and that accepting never spins and never fills the log."""

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from ramsterd.endpoints.accept import ACCEPT_PAUSE_SECONDS, Acceptor
from ramsterd.endpoints.descriptors import NO_LIMIT, Descriptors

logger = logging.getLogger("ramster.nbd")


class Listener(socket.socket):
    """A listening socket whose first accepts fail as it is told."""

    def __init__(self, path: Path, *failures: int) -> None:
        super().__init__(socket.AF_UNIX)
        self.bind(str(path))
        self.listen(200)
        self.setblocking(False)
        self.failures = list(failures)
        self.accepts_count = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.accepts_count += 1
        if self.failures:
            raise OSError(self.failures.pop(0), "no more")
        return super().accept()


class Taken:
    """Those that were accepted; closed at once."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, sock: socket.socket) -> None:
        assert not sock.getblocking()
        self.count += 1
        sock.close()


@contextmanager
def dialled(path: Path, count: int = 1) -> Iterator[list[socket.socket]]:
    clients = [socket.socket(socket.AF_UNIX) for _ in range(count)]
    for client in clients:
        client.connect(str(path))
    yield clients
    for client in clients:
        client.close()


async def test_accepting_pauses_when_descriptors_or_memory_run_out_and_goes_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s"
    failures = (errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    acceptor = Acceptor("NBD client", logger=logger, descriptors=NO_LIMIT)
    taken = Taken()
    with Listener(path, *failures) as listener, dialled(path):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acceptor.run, listener, taken)
            # A client that gave up is no reason to wait.
            await trio.sleep(2.9 * ACCEPT_PAUSE_SECONDS)
            assert (taken.count, listener.accepts_count) == (0, 4)
            await trio.sleep(0.2 * ACCEPT_PAUSE_SECONDS)
            assert taken.count == 1
            nursery.cancel_scope.cancel()
    assert caplog.text.count("can't accept any NBD client: no more") == 3


@pytest.mark.slow
async def test_descriptors_that_are_short_for_an_hour_do_not_spin_and_share_a_budget_of_lines(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    acceptor = Acceptor("NBD client", logger=logger, descriptors=NO_LIMIT)
    seconds = 600
    with Listener(tmp_path / "s", *[errno.EMFILE] * 100_000) as listener:
        with trio.move_on_after(seconds):
            await acceptor.run(listener, Taken())
        assert listener.accepts_count <= seconds / ACCEPT_PAUSE_SECONDS + 2
    # All of one place in the code, so the log's limiter bounds them.
    assert {record.msg for record in caplog.records} == {
        "can't accept any %s: %s; next attempt in %g s"
    }


async def test_a_client_that_would_take_a_reserved_descriptor_is_told_and_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s"
    with Listener(path) as listener, dialled(path, 3) as clients:
        # All that are open now, and two more.
        free = socket.socket(socket.AF_UNIX)
        limit = 2 * (free.fileno() + 1)
        free.close()
        held: list[socket.socket] = []
        acceptor = Acceptor(
            "NBD client",
            logger=logger,
            descriptors=Descriptors(limit),
            last_words=lambda reason: f"no: {reason}".encode(),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acceptor.run, listener, held.append)
            await trio.testing.wait_all_tasks_blocked()
            assert (len(held), acceptor.refused_total) == (1, 2)
            assert clients[1].recv(1000).startswith(b"no: ")
            assert clients[1].recv(1000) == b""
            # Two came free: the next, whose other end is ours too, is served again.
            clients[0].close()
            held.pop().close()
            with dialled(path):
                await trio.testing.wait_all_tasks_blocked()
            assert (len(held), acceptor.refused_total) == (1, 2)
            nursery.cancel_scope.cancel()
        held.pop().close()
    half = limit // 2
    assert (
        f"NBD client refused: all {half} file descriptors for clients are in use (of {limit}"
        in caplog.text
    )
    assert "raise LimitNOFILE= in the unit, or ulimit -n" in caplog.text
