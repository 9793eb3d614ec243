"""A mesh and a peer that connects twice, over real connections and simulated ones: one link stays."""

import random

import pytest
import trio

from net.frame import LinkType
from net.mesh import Mesh
from net.tcp import TcpTransport
from net.transport import Transport
from nodemanager.ids import NodeId
from tests.helpers.links import LIMITS, Diary, PlayedPeer, make_frame, make_hello
from tests.simulation.network import SimNetwork

LOOPBACK = "127.0.0.1"
SECONDS_MAX = 20.0

# The probe of a real connection takes a second of real time.
pytestmark = pytest.mark.slow


@pytest.fixture(params=["tcp", "simulated"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return TcpTransport() if request.param == "tcp" else SimNetwork()


async def start(nursery: trio.Nursery, transport: Transport, diary: Diary) -> tuple[Mesh, int]:
    mesh = Mesh(
        make_hello(1),
        members=lambda: {NodeId(1): (LOOPBACK, 0), NodeId(2): (LOOPBACK, 1)},
        handler=diary,
        transport=transport,
        limits=LIMITS,
        rng=random.Random(1),
    )

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await mesh.serve(task_status=task_status)

    return mesh, await nursery.start(serve)


async def greet(transport: Transport, port: int) -> PlayedPeer:
    """Connect as node 2, always the same incarnation of it."""
    peer = PlayedPeer(await transport.dial(LOOPBACK, port))
    peer.say(make_frame(LinkType.HELLO, table=make_hello(2).encode()))
    return peer


async def hear(peer: PlayedPeer) -> list[int]:
    with trio.fail_after(SECONDS_MAX):
        return [frame.type for frame in await peer.hear()]


async def test_a_silent_first_link_is_closed_and_the_second_one_stays(transport: Transport) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        mesh, port = await start(nursery, transport, diary)
        first = await greet(transport, port)
        assert await hear(first) == [LinkType.HELLO]
        second = await greet(transport, port)
        assert await hear(first) == [LinkType.PROBE]
        assert await hear(second) == [LinkType.HELLO]
        assert await hear(first) == []
        assert diary.calls == ["up", "lost", "up"]
        assert list(mesh.links) == [2]
        for peer in (first, second):
            peer.stream.close()
        nursery.cancel_scope.cancel()


async def test_a_first_link_that_answers_stays_and_the_second_one_is_refused(
    transport: Transport,
) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        mesh, port = await start(nursery, transport, diary)
        first = await greet(transport, port)
        assert await hear(first) == [LinkType.HELLO]
        second = await greet(transport, port)
        assert await hear(first) == [LinkType.PROBE]
        first.say(make_frame(LinkType.KEEPALIVE))
        assert await hear(second) == [LinkType.REJECT]
        assert diary.calls == ["up"]
        assert list(mesh.links) == [2]
        for peer in (first, second):
            peer.stream.close()
        nursery.cancel_scope.cancel()
