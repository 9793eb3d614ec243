"""However a connection at the port of the links ends, nothing of it waits for the collector."""

import contextlib
import random
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from net.dialer import Over, dial_once
from net.frame import LinkType, encode_header
from net.mesh import Mesh
from net.moves import Address
from net.tcp import TcpTransport
from net.tls import TlsTransport
from net.transport import Stream, Transport
from nodemanager.ids import NodeId
from tests.helpers.authority import Authority
from tests.helpers.leftovers import watch_leftovers
from tests.helpers.links import LIMITS, TELL, Diary, make_frame, make_hello

LOOPBACK = "127.0.0.1"
CONNECTIONS = 20
GREETINGS_MAX = 4
RESET = struct.pack("ii", 1, 0)


def hello_frame(number: int) -> bytes:
    payload = make_hello(number).encode()
    return encode_header(LinkType.HELLO, table_bytes=len(payload)) + payload


class Story:
    """Node 1 listens; its peer is a raw socket."""

    def __init__(self, transport: Transport) -> None:
        members: dict[NodeId, Address] = {NodeId(1): (LOOPBACK, 0), NodeId(2): (LOOPBACK, 0)}
        self.port = 0
        self.mesh = Mesh(
            make_hello(1),
            members=lambda: members,
            handler=Diary(),
            transport=transport,
            limits=LIMITS,
            rng=random.Random(1),
            greetings_max=GREETINGS_MAX,
        )

    async def serve(self, *, task_status: trio.TaskStatus[int]) -> None:
        await self.mesh.serve(task_status=task_status)

    def dial(self, said: bytes = b"") -> socket.socket:
        sock = socket.create_connection((LOOPBACK, self.port))
        sock.sendall(said)
        sock.setblocking(False)
        return sock

    async def link(self) -> socket.socket:
        sock = self.dial(hello_frame(2))
        while NodeId(2) not in self.mesh.links:
            await trio.testing.wait_all_tasks_blocked()
        return sock

    async def wait_over(self, before: int, count: int) -> None:
        """Wait until as many connections have come and gone."""
        while True:
            statistics = self.mesh.listener_statistics()
            if (
                statistics.accepted_connections_total == before + count
                and not statistics.greeting_connections
            ):
                break
            await trio.testing.wait_all_tasks_blocked()
        while self.mesh.links:
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()


async def wait_closed(sock: socket.socket) -> None:
    with contextlib.suppress(ConnectionError), sock:
        while True:
            await trio.lowlevel.wait_readable(sock)
            if not sock.recv(1 << 16):
                return


async def closes_at_once(story: Story) -> int:
    story.dial().close()
    return 1


async def closes_in_a_frame(story: Story) -> int:
    story.dial(hello_frame(2)[:50]).close()
    return 1


async def sends_garbage(story: Story) -> int:
    await wait_closed(story.dial(b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n"))
    return 1


async def is_no_member(story: Story) -> int:
    await wait_closed(story.dial(hello_frame(3)))
    return 1


async def are_too_many(story: Story) -> int:
    strangers = [story.dial() for _ in range(GREETINGS_MAX + 2)]
    await wait_closed(strangers[0])
    await wait_closed(strangers[1])
    for stranger in strangers:
        stranger.close()
    return len(strangers)


async def closes_its_link(story: Story) -> int:
    (await story.link()).close()
    return 1


async def resets_its_link(story: Story) -> int:
    sock = await story.link()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()
    return 1


async def breaks_the_protocol(story: Story) -> int:
    sock = await story.link()
    sock.send(make_frame(TELL, body=b"x" * 1000) + b"garbage" * 10)
    await wait_closed(sock)
    return 1


async def reads_nothing(story: Story) -> int:
    sock = await story.link()
    link = story.mesh.links[NodeId(2)]
    for _ in range(40):
        link.post(TELL, body=[bytes(200_000)])
        link.push()
    assert link.send_queue_bytes > 1_000_000
    await trio.testing.wait_all_tasks_blocked()
    sock.close()
    return 1


async def dials_as_an_earlier_incarnation(story: Story) -> int:
    sock = await story.link()
    hello = make_hello(2, incarnation=1).encode()
    await wait_closed(story.dial(make_frame(LinkType.HELLO, table=hello)))
    sock.close()
    return 2


async def dials_twice(story: Story) -> int:
    """The first link ends while it is probed, and the second one takes its place."""
    sock = await story.link()
    second = story.dial(hello_frame(2))
    await trio.lowlevel.wait_readable(sock)  # HELLO, and mostly the PROBE
    sock.close()
    second.close()
    return 2


async def goes_while_its_first_link_is_probed(story: Story) -> int:
    sock = await story.link()
    story.dial(hello_frame(2)).close()
    await trio.lowlevel.wait_readable(sock)  # HELLO, and mostly the PROBE
    sock.close()
    return 2


Ending = Callable[[Story], Awaitable[int]]
ENDINGS: list[Ending] = [
    closes_at_once, closes_in_a_frame, sends_garbage, is_no_member, are_too_many, closes_its_link, resets_its_link,
    breaks_the_protocol, reads_nothing, dials_as_an_earlier_incarnation, dials_twice,
    goes_while_its_first_link_is_probed,
]  # fmt: skip


async def assert_nothing_left(story: Story, ending: Ending) -> None:
    async with trio.open_nursery() as nursery:
        story.port = await nursery.start(story.serve)
        await end_one(story, ending)
        with watch_leftovers() as left:
            for _ in range(CONNECTIONS):
                await end_one(story, ending)
        nursery.cancel_scope.cancel()
    assert not left


async def end_one(story: Story, ending: Ending) -> None:
    before = story.mesh.listener_statistics().accepted_connections_total
    await story.wait_over(before, await ending(story))


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
async def test_nothing_is_left_of_a_peer_that(ending: Ending) -> None:
    await assert_nothing_left(Story(TcpTransport()), ending)


# With TLS, a client without a certificate.


async def breaks_off_its_handshake(story: Story) -> int:
    story.dial(b"\x16\x03\x01\x02\x00\x01").close()
    return 1


async def shows_no_certificate(story: Story) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sock = story.dial()
    sealed = context.wrap_socket(sock, do_handshake_on_connect=False)
    with contextlib.suppress(OSError), sealed:
        while True:
            try:
                sealed.do_handshake()
                while sealed.recv(1 << 16):
                    pass
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(sealed)
            else:
                break
    return 1


@pytest.mark.parametrize(
    "ending", [closes_at_once, sends_garbage, breaks_off_its_handshake, shows_no_certificate]
)
async def test_nothing_is_left_with_tls_of_a_stranger_that(ending: Ending, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    await assert_nothing_left(Story(TlsTransport(authority.credentials("node1"))), ending)


async def test_nothing_is_left_of_a_dial_that_fails() -> None:
    async def run(stream: Stream) -> Over:
        raise AssertionError("nobody listens")

    with socket.create_server((LOOPBACK, 0)) as closed:
        address = (LOOPBACK, closed.getsockname()[1])
    await dial_once(TcpTransport(), address, run)
    with watch_leftovers() as left:
        for _ in range(CONNECTIONS):
            assert "refused" in (await dial_once(TcpTransport(), address, run)).reason
    assert not left
