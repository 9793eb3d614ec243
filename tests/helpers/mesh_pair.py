"""Two nodes over real sockets: one listens, the other dials it, and both logs are read."""

import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from net.hello import Hello
from net.mesh import Mesh
from net.moves import Address
from net.transport import Transport
from nodemanager.ids import NodeId
from tests.helpers.links import LIMITS, Diary, make_hello

LOOPBACK = "127.0.0.1"
NAMES = {NodeId(1): "node1", NodeId(2): "node2"}


class Pair:
    """Node 1, which listens, and node 2, which dials it."""

    def __init__(
        self, listening: Transport, dialling: Transport, theirs: Hello | None = None
    ) -> None:
        self.members: dict[NodeId, Address] = {NodeId(1): (LOOPBACK, 0), NodeId(2): (LOOPBACK, 0)}
        self.diaries = {1: Diary(), 2: Diary()}
        self.one = self._mesh(listening, make_hello(1))
        self.two = self._mesh(dialling, theirs or make_hello(2))

    def _mesh(self, transport: Transport, hello: Hello) -> Mesh:
        return Mesh(
            hello,
            members=lambda: self.members,
            names=lambda: NAMES,
            handler=self.diaries.setdefault(hello.number, Diary()),
            transport=transport,
            limits=LIMITS,
            rng=random.Random(1),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(self.one.serve)
            self.members[NodeId(1)] = (LOOPBACK, port)
            await nursery.start(self.two.serve)
            yield
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    with trio.move_on_after(4):
        while not condition():  # noqa: ASYNC110  a log line and a table have no event
            await trio.sleep(0.01)
        return
    pytest.fail(what())


async def check_refused(
    pair: Pair, caplog: pytest.LogCaptureFixture, accepting: str, dialling: str
) -> None:
    """Both logs hold their reason, and nothing was linked."""
    caplog.set_level(logging.DEBUG, "ramster.net")

    def lines() -> tuple[str, str]:
        said = [record.getMessage() for record in caplog.records]
        return (
            "\n".join(line for line in said if "next attempt in" not in line),
            "\n".join(line for line in said if "next attempt in" in line),
        )

    async with pair.running():
        await until(
            lambda: accepting in lines()[0] and dialling in lines()[1], lambda: repr(lines())
        )
        assert not pair.one.links
        assert not pair.two.links
    assert not pair.diaries[1].up
    assert not pair.diaries[2].up
