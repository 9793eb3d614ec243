import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from ramsterd.endpoints.hangups import Hangups


@pytest.fixture
async def hangups(nursery: trio.Nursery) -> AsyncIterator[Hangups]:
    hangups = Hangups()
    nursery.start_soon(hangups.serve)
    await trio.testing.wait_all_tasks_blocked()
    yield hangups
    nursery.cancel_scope.cancel()
    hangups.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    return ours, theirs


async def told_of(told: list[bool]) -> list[bool]:
    with trio.fail_after(10):
        while not told:
            await trio.testing.wait_all_tasks_blocked(0.001)
    return told


async def test_a_closed_connection_is_told_whatever_lies_unread(hangups: Hangups) -> None:
    ours, theirs = socket.socketpair()
    told: list[bool] = []
    with ours, hangups.watching(ours, told.append):
        theirs.send(b"unread")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert told == []
        theirs.close()
        assert await told_of(told) == [True]
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert told == [True], "once"


async def test_one_that_was_closed_before_is_told_too(hangups: Hangups) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    told: list[bool] = []
    with ours, hangups.watching(ours, told.append):
        assert await told_of(told) == [True]


async def test_a_client_that_only_stops_sending_is_not_dead(hangups: Hangups) -> None:
    ours, theirs = tcp_pair()
    told: list[bool] = []
    with ours, theirs, hangups.watching(ours, told.append):
        theirs.send(b"unread")
        theirs.shutdown(socket.SHUT_WR)
        assert await told_of(told) == [False]
        told.clear()
        # A reset: nobody reads any more.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        assert await told_of(told) == [True]


async def test_nobody_is_told_of_what_is_watched_no_more(hangups: Hangups) -> None:
    ours, theirs = socket.socketpair()
    told: list[bool] = []
    with ours:
        with hangups.watching(ours, told.append):
            pass
        theirs.close()
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert told == []
