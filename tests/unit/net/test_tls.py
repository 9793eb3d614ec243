"""Links over real sockets with certificates: who gets in, who does not, and that both logs say why."""

import contextlib
import logging
import os
import socket
import ssl
import struct
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from net.errors import PeerLost
from net.hello import Hello
from net.tcp import TcpStream, TcpTransport
from net.tls import SEALED_BYTES_MAX, TlsStream, TlsTransport, why
from net.transport import Stream
from nodemanager.ids import Incarnation, NodeId
from tests.helpers.authority import Authority
from tests.helpers.links import TELL, make_hello
from tests.helpers.mesh_pair import LOOPBACK, Pair, check_refused, until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


def tls(authority: Authority, name: str, *, days: float = 30.0) -> TlsTransport:
    return TlsTransport(authority.credentials(name, days=days))


async def test_two_members_link_and_know_each_other(authority: Authority) -> None:
    pair = Pair(tls(authority, "node1"), tls(authority, "node2"))
    body = os.urandom(250_000)
    async with pair.running():
        await until(lambda: bool(pair.one.links and pair.two.links), lambda: "no link")
        link = pair.two.links[NodeId(1)]
        link.post(TELL, body=[body[:7], memoryview(body)[7:]])
        link.push()
        await until(lambda: bool(pair.diaries[1].frames), lambda: "no frame")
        assert pair.diaries[1].frames[0].body == body


async def test_only_tls_1_3_is_spoken(authority: Authority) -> None:
    credentials = authority.credentials("node1")
    for context in (credentials.client, credentials.server):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3
        assert context.verify_mode == ssl.CERT_REQUIRED


async def test_an_expired_certificate_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(tls(authority, "node1"), tls(authority, "node2", days=-1))
    await check_refused(
        pair,
        caplog,
        "certificate has expired",
        "the peer refused this node: the certificate of this node has expired",
    )


async def test_an_expired_listener_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(tls(authority, "node1", days=-1), tls(authority, "node2"))
    await check_refused(
        pair,
        caplog,
        "the peer refused this node: the certificate of this node has expired",
        "certificate has expired",
    )


async def test_a_certificate_of_a_foreign_ca_is_refused(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = Authority(tmp_path / "foreign").issue("node2")
    mixed = authority.credentials("node2")
    mixed.client.load_cert_chain(foreign.certificate, foreign.key)
    pair = Pair(tls(authority, "node1"), TlsTransport(mixed))
    await check_refused(
        pair,
        caplog,
        "the peer's certificate is not valid here",
        "another CA signed the certificate of this node",
    )


async def test_no_certificate_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    bare = authority.credentials("node2")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(authority.ca)
    transport = TlsTransport(type(bare)(client=client, server=bare.server))
    pair = Pair(tls(authority, "node1"), transport)
    await check_refused(
        pair,
        caplog,
        "the peer showed no certificate",
        "the peer refused this node: this node showed no certificate",
    )


async def test_a_name_that_is_not_its_own_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A member with a good certificate can't be another member."""
    pair = Pair(tls(authority, "node1"), tls(authority, "node3"))
    reason = "the certificate is for node3, not for node2"
    await check_refused(
        pair, caplog, f"refused node node2 (2): {reason}", f"refused this node: {reason}"
    )


async def test_noise_of_strangers_hides_no_refusal_of_a_member(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(tls(authority, "node1"), tls(authority, "node3"))
    async with trio.open_nursery() as nursery:
        port = await nursery.start(pair.one.serve)
        pair.members[NodeId(1)] = (LOOPBACK, port)
        async with await trio.open_tcp_stream(LOOPBACK, port) as stranger:
            await stranger.send_all(b"noise\n")
        await nursery.start(pair.two.serve)
        refusal = "refused node node2 (2): the certificate is for node3"
        await until(
            lambda: (
                refusal in caplog.text and "without a link: refused: the certificate" in caplog.text
            ),
            lambda: caplog.text[-500:],
        )
        nursery.cancel_scope.cancel()
    # The log bounds lines by where they come from, and the logger is a part of that.
    names = {
        "refused: the certificate" in each.getMessage(): each.name
        for each in caplog.records
        if "without a link" in each.getMessage()
    }
    assert names == {False: "ramster.net.strangers", True: "ramster.net"}


async def test_a_listener_with_another_name_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Who answers at the address of a node must be that node."""
    pair = Pair(tls(authority, "node3"), tls(authority, "node2"))
    reason = "the certificate is for node3, not for node1"
    caplog.set_level(logging.DEBUG, "ramster.net")
    async with pair.running():
        await until(
            lambda: (
                f"refused node node1 (1): {reason}" in caplog.text
                and f"link lost: the peer refused this node: {reason}" in caplog.text
            ),
            lambda: caplog.text,
        )
        assert not pair.diaries[2].up


async def test_a_name_that_is_another_number_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """The number decides whose pages are whose: it must be the one that cluster.toml gives to the name."""
    pair = Pair(tls(authority, "node1"), tls(authority, "node3"), make_hello(2, name="node3"))
    reason = "node 2 calls itself 'node3', cluster.toml 'node2'"
    await check_refused(
        pair, caplog, f"refused node node3 (2): {reason}", f"refused this node: {reason}"
    )


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (make_hello(2, cluster="other"), "cluster 'other', ours is 'lab'"),
        (make_hello(2, protocol_version=2), "protocol version 2, ours is 1"),
    ],
)
async def test_what_hello_says_must_agree(
    authority: Authority, caplog: pytest.LogCaptureFixture, theirs: Hello, reason: str
) -> None:
    pair = Pair(tls(authority, "node1"), tls(authority, "node2"), theirs)
    await check_refused(
        pair, caplog, f"refused node node2 (2): {reason}", f"refused this node: {reason}"
    )


async def test_a_second_link_of_a_connected_node_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(tls(authority, "node1"), tls(authority, "node2"))
    again = make_hello(2, incarnation=Incarnation(1))
    async with pair.running():
        await until(lambda: bool(pair.one.links), lambda: "no link")
        first = pair.one.links[NodeId(2)]
        copy = Pair(tls(authority, "node1"), tls(authority, "node2"), again)
        copy.members[NodeId(1)] = pair.members[NodeId(1)]
        async with trio.open_nursery() as nursery:
            await nursery.start(copy.two.serve)
            reason = (
                "node node2 started at 1970-01-01 00:00:00.001 UTC,"
                " and a later start at 1970-01-01 00:00:01.002 UTC is known here"
            )
            await until(
                lambda: (
                    f"refused node node2 (2): {reason}" in caplog.text
                    and f"the peer refused this node: {reason}" in caplog.text
                ),
                lambda: caplog.text,
            )
            nursery.cancel_scope.cancel()
        assert pair.one.links[NodeId(2)] is first


async def test_plaintext_to_a_tls_listener_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(tls(authority, "node1"), TcpTransport())
    await check_refused(
        pair, caplog, "the peer does not use TLS", "the peer closed the connection before its HELLO"
    )


async def test_tls_to_a_plaintext_listener_is_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(TcpTransport(), tls(authority, "node2"))
    await check_refused(
        pair, caplog, "uses TLS, and this node does not", "the peer does not use TLS"
    )


async def test_new_credentials_are_for_new_links(authority: Authority) -> None:
    transport = tls(authority, "node1")
    seen: list[frozenset[str]] = []

    async def accept(stream: Stream) -> None:
        buffer = memoryview(bytearray(8))
        while await stream.receive_into(buffer):
            stream.send_nowait([b"!"])

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await transport.listen(LOOPBACK, 0, accept, task_status=task_status)

    async def ask(stream: Stream) -> None:
        assert isinstance(stream, TlsStream)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, stream)
            assert await stream.receive_into(memoryview(bytearray(8))) == 1
        seen.append(stream.certified_names)

    async def say(stream: Stream) -> None:
        await stream.wait_sendable()
        assert stream.send_nowait([b"?"]) == 1

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve)
        old = await transport.dial(LOOPBACK, port)
        await ask(old)
        transport.credentials = authority.credentials("node1-renewed")
        new = await transport.dial(LOOPBACK, port)
        await ask(new)
        await ask(old)
        assert seen == [{"node1"}, {"node1-renewed"}, {"node1"}]
        nursery.cancel_scope.cancel()
        old.close()
        new.close()


async def test_what_is_blocked_goes_first_and_whole(authority: Authority) -> None:
    """TLS wants the same bytes again when a socket was full; nothing is lost or doubled."""
    transport = tls(authority, "node1")
    whole = os.urandom(3 * SEALED_BYTES_MAX) * 64
    received = bytearray()
    finished = trio.Event()
    is_blocked = trio.Event()

    async def accept(stream: Stream) -> None:
        buffer = memoryview(bytearray(100_000))
        count = await stream.receive_into(buffer)
        received.extend(buffer[:count])
        await is_blocked.wait()
        while len(received) < len(whole):
            count = await stream.receive_into(buffer)
            received.extend(buffer[:count])
        finished.set()

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await transport.listen(LOOPBACK, 0, accept, task_status=task_status)

    async def read(stream: Stream) -> None:
        # The handshake runs in here.  At the end either side may be the first to close.
        with contextlib.suppress(PeerLost):
            await stream.receive_into(memoryview(bytearray(8)))

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve)
        stream = await transport.dial(LOOPBACK, port)
        nursery.start_soon(read, stream)
        assert stream.send_nowait([b"too early"]) == 0
        rest = memoryview(whole)
        await stream.wait_sendable()
        while rest:
            # More pieces than before, behind those that did not go: as a link does.
            offered = [rest[:1000], rest[1000:900_000]]
            sent = stream.send_nowait(offered)
            rest = rest[sent:]
            if sent < sum(map(len, offered)):
                is_blocked.set()
                await stream.wait_sendable()
        assert is_blocked.is_set(), "the socket was never full: nothing was tested"
        with trio.fail_after(20):
            await finished.wait()
        stream.close()
        stream.close()
        nursery.cancel_scope.cancel()
    assert bytes(received) == whole
    with pytest.raises(PeerLost, match="closed"):
        stream.send_nowait([b"late"])


async def test_after_a_send_that_failed_another_fails_alike(authority: Authority) -> None:
    """A link that loses its peer in a push says goodbye all the same: what it sends then is not what failed."""
    transport = tls(authority, "node1")

    async def accept(stream: Stream) -> None:
        assert isinstance(stream, TlsStream)
        await stream.receive_into(memoryview(bytearray(8)))
        # Linger of 0 s: closing resets.
        stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await transport.listen(LOOPBACK, 0, accept, task_status=task_status)

    async def read(stream: Stream) -> None:
        # The handshake runs in here.
        with contextlib.suppress(PeerLost):
            await stream.receive_into(memoryview(bytearray(8)))

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve)
        stream = await transport.dial(LOOPBACK, port)
        nursery.start_soon(read, stream)
        with trio.fail_after(20):
            await stream.wait_sendable()
            with pytest.raises(PeerLost):  # noqa: PT012  once the reset has come
                while True:
                    stream.send_nowait([b"pages"])
                    await trio.lowlevel.checkpoint()
        with pytest.raises(PeerLost):
            stream.send_nowait([b"goodbye"])
        stream.close()
        nursery.cancel_scope.cancel()


def test_an_unknown_reason_is_still_told() -> None:
    assert why(OSError("odd"), "receiving failed") == "receiving failed: odd"
    assert why(ssl.SSLEOFError(), "x") == "x: the peer closed the connection"


@pytest.mark.parametrize("data", [b"", b"first words"])
async def test_a_connection_that_was_reset_is_lost_and_no_more(
    authority: Authority, data: bytes
) -> None:
    """Wrapping a socket that is gone already must neither end the dialler nor leak the socket."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    plain = TcpStream(near)
    far.sendall(data)
    # Linger of 0 s: closing resets.
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    with pytest.raises(PeerLost):  # noqa: PT012  at either step
        stream = TlsStream(plain, authority.credentials("node1").server, is_server=True)
        try:
            await stream.receive_into(memoryview(bytearray(8)))
        finally:
            stream.close()
