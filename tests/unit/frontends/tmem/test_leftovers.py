"""However a program at the tmem socket ends, nothing of its connection waits for the collector."""

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import pytest
import trio
import trio.testing

from net.frame import encode_header
from ramsterd.client.protocol import ClientProtocol, Request, pieces_of
from ramsterd.client.requests import (
    get_requests,
    hello_request,
    new_pool_request,
    opened_pool,
    put_requests,
)
from ramsterd.frontends.tmem.messages import PAGE_BYTES, PoolKind, TmemType
from ramsterd.frontends.tmem.server import TmemServer
from tests.fakes.fake_pool_pager import FakePoolPager
from tests.fakes.tmem_pair import QUOTAS
from tests.helpers.leftovers import leftovers_of

CLIENTS = 20
CONNECTIONS_MAX = 4
# Of a reply that no socket buffer takes twice.
PAGES = 32


class Program:
    """A raw client."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.setblocking(False)
        self.sock.connect(str(path))
        self._protocol = ClientProtocol()

    async def __aenter__(self) -> Self:
        await self.ask(hello_request("test"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *requests: Request) -> None:
        for request in requests:
            self.sock.send(b"".join(pieces_of(request, self._protocol.begin(request))))

    async def ask(self, request: Request) -> Request:
        self.send(request)
        while not request.is_done:
            await trio.lowlevel.wait_readable(self.sock)
            count = self.sock.recv_into(self._protocol.space())
            assert count, "the server closed the connection"
            self._protocol.on_received(count)
        return request

    async def new_pool(self) -> int:
        return opened_pool(
            await self.ask(new_pool_request(PoolKind.PERSISTENT, "", is_exclusive=False))
        )[0]

    async def wait_closed(self) -> None:
        try:
            while True:
                await trio.lowlevel.wait_readable(self.sock)
                if not self.sock.recv(1 << 20):
                    return
        except ConnectionError:
            pass


class Story:
    """A server over a fake pager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pager = FakePoolPager()
        self.server = TmemServer(
            self.pager,
            socket_path=path,
            quotas=QUOTAS,
            users=frozenset({os.getuid()}),
            connections_max=CONNECTIONS_MAX,
        )

    def join(self) -> Program:
        return Program(self.path)

    async def wait_connections(self, count: int) -> None:
        while self.server.statistics().connections != count:
            await trio.testing.wait_all_tasks_blocked()


async def closes(story: Story) -> None:
    async with story.join() as program:
        pool = await program.new_pool()
        for request in put_requests(pool, b"o", 0, bytes(PAGE_BYTES)):
            await program.ask(request)


async def closes_before_hello(story: Story) -> None:
    program = story.join()
    program.sock.send(b"R2")
    program.sock.close()


async def takes_no_reply(story: Story) -> None:
    async with story.join() as program:
        pool = await program.new_pool()
        (put,) = put_requests(pool, b"o", 0, bytes(PAGES * PAGE_BYTES))
        await program.ask(put)
        for _ in range(64):
            program.send(*get_requests(pool, b"o", 0, bytearray(PAGES * PAGE_BYTES)))
        while not story.server.statistics().requests_total["GET"]:
            await trio.testing.wait_all_tasks_blocked()


async def is_gone_while_it_waits(story: Story) -> None:
    async with story.join() as program:
        pool = await program.new_pool()
        story.pager.is_delaying = True
        program.send(*get_requests(pool, b"o", 0, bytearray(4 * PAGE_BYTES)))
        program.send(*put_requests(pool, b"o", 0, bytes(PAGE_BYTES)))
        while story.server.statistics().requests_in_flight < 2:
            await trio.testing.wait_all_tasks_blocked()
    await story.wait_connections(0)
    story.pager.release()
    story.pager.is_delaying = False


async def sends_garbage(story: Story) -> None:
    async with story.join() as program:
        program.sock.send(b"x" * 100)
        await program.wait_closed()


async def begins_without_hello(story: Story) -> None:
    program = story.join()
    program.sock.send(encode_header(TmemType.STATUS, request_id=1))
    await program.wait_closed()
    program.sock.close()


async def is_one_too_many(story: Story) -> None:
    programs = [await story.join().__aenter__() for _ in range(CONNECTIONS_MAX)]
    one_more = story.join()
    await one_more.wait_closed()
    for program in (*programs, one_more):
        program.sock.close()


Ending = Callable[[Story], Awaitable[None]]
ENDINGS: list[Ending] = [
    closes, closes_before_hello, takes_no_reply, is_gone_while_it_waits, sends_garbage, begins_without_hello,
    is_one_too_many,
]  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
async def test_nothing_is_left_of_a_program_that(ending: Ending, tmp_path: Path) -> None:
    story = Story(tmp_path / "tmem")

    async def end_one() -> None:
        await ending(story)
        await story.wait_connections(0)

    assert not await leftovers_of(story.server.serve, end_one, CLIENTS)
