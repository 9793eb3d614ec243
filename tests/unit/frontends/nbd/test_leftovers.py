"""However an NBD client ends, nothing of its connection waits for the collector."""

import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.connection import Clients, Connection
from ramsterd.frontends.nbd.counters import Counters, End
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import Command
from ramsterd.frontends.nbd.server import NbdServer
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import request, write
from tests.helpers.leftovers import leftovers_of, watch_leftovers

EXPORT = Export(name="disk", size=64 << 20, pool=PoolId(1), object_id=b"disk")
PAGE = b"p" * 4096
GREETING_BYTES = 18
NAME_DISK = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 4) + b"disk"
CLIENTS = 20
CONNECTIONS_MAX = 4


class Story:
    """A server over a fake pager, and raw clients of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pager = FakePager()
        self.server = NbdServer(
            self.pager, [EXPORT], socket_path=path, connections_max=CONNECTIONS_MAX
        )

    async def dial(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect(str(self.path))
        await receive(client, GREETING_BYTES)
        return client

    async def join(self) -> socket.socket:
        client = await self.dial()
        client.send(NAME_DISK)
        await receive(client, 10)
        return client

    async def wait_connections(self, count: int) -> None:
        while self.server.statistics().connections != count:
            await trio.testing.wait_all_tasks_blocked()


async def receive(client: socket.socket, count: int) -> None:
    while count:
        await trio.lowlevel.wait_readable(client)
        got = len(client.recv(count))
        assert got, "the server closed the connection"
        count -= got


async def wait_closed(client: socket.socket) -> None:
    try:
        while await wait_some(client):
            pass
    except ConnectionError:
        pass


async def wait_some(client: socket.socket) -> bytes:
    await trio.lowlevel.wait_readable(client)
    return client.recv(1 << 20)


async def disconnects(story: Story) -> None:
    with await story.join() as client:
        client.send(write(1, 0, PAGE) + request(Command.READ, 2, 0, 4096))
        client.send(request(Command.DISC, 3))
        await wait_closed(client)


async def aborts(story: Story) -> None:
    with await story.dial() as client:
        client.send(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 2, 0))
        await wait_closed(client)


async def closes_in_the_handshake(story: Story) -> None:
    with await story.dial() as client:
        client.send(NAME_DISK[:10])


async def closes_early(story: Story) -> None:
    with await story.join() as client:
        client.send(write(1, 0, PAGE)[:1000])


async def takes_no_reply(story: Story) -> None:
    with await story.join() as client:
        client.send(b"".join(request(Command.READ, each, 0, 32 << 20) for each in range(4)))
        while not story.server.statistics().requests_total["READ"]:
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()


async def is_gone_while_it_waits(story: Story) -> None:
    story.pager.is_delaying = True
    with await story.join() as client:
        said = (
            request(Command.READ, 1, 0, 4096) + write(2, 0, PAGE) + request(Command.READ, 3, 5, 9)
        )
        client.send(said + request(Command.CACHE, 4, 0, 8192))
        while story.server.statistics().requests_in_flight < 4:
            await trio.testing.wait_all_tasks_blocked()
    await story.wait_connections(0)
    story.pager.release()
    story.pager.is_delaying = False


async def sends_garbage_in_the_handshake(story: Story) -> None:
    with await story.dial() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        await wait_closed(client)


async def sends_garbage(story: Story) -> None:
    with await story.join() as client:
        client.send(write(1, 0, PAGE) + b"x" * 28)
        await wait_closed(client)


async def are_too_many(story: Story) -> None:
    clients = [await story.join() for _ in range(CONNECTIONS_MAX)]
    with socket.socket(socket.AF_UNIX) as one_more:
        one_more.setblocking(False)
        one_more.connect(str(story.path))
        await wait_closed(one_more)
    for client in clients:
        client.close()


Ending = Callable[[Story], Awaitable[None]]
ENDINGS: list[Ending] = [
    disconnects, aborts, closes_in_the_handshake, closes_early, takes_no_reply, is_gone_while_it_waits,
    sends_garbage_in_the_handshake, sends_garbage, are_too_many,
]  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
async def test_nothing_is_left_of_a_client_that(ending: Ending, tmp_path: Path) -> None:
    story = Story(tmp_path / "nbd")

    async def end_one() -> None:
        await ending(story)
        await story.wait_connections(0)

    assert not await leftovers_of(story.server.serve, end_one, CLIENTS)


async def test_nothing_is_left_of_a_client_that_is_too_slow(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def end_one() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            connection = Connection(ours, [EXPORT], FakePager(), Clients(1, Counters(), [EXPORT]))
            assert (await connection.serve()).end is End.TOO_SLOW

    await end_one()
    with watch_leftovers() as left:
        for _ in range(CLIENTS):
            await end_one()
    assert not left
