"""What only real sockets have; the promises of every transport are in tests/contract."""

import errno
import resource
import socket

import pytest
import trio
import trio.testing

from net.errors import PeerLost
from net.tcp import TcpStream, TcpTransport, accept_one
from net.transport import Stream
from tests.helpers.no_threads import no_threads

LOOPBACK = "127.0.0.1"


async def hold(stream: Stream) -> None:
    await trio.sleep_forever()


async def serve(*, task_status: trio.TaskStatus[int]) -> None:
    await TcpTransport().listen(LOOPBACK, 0, hold, task_status=task_status)


def connected_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as server:
        dialed = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    return dialed, accepted


async def test_a_stream_sends_without_delay_and_keeps_no_kernel_keepalive() -> None:
    dialed, accepted = connected_pair()
    stream = TcpStream(dialed)
    with accepted:
        assert dialed.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not dialed.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not dialed.getblocking()
        stream.close()


async def test_a_reset_is_peer_lost_with_its_cause() -> None:
    dialed, accepted = connected_pair()
    stream = TcpStream(dialed)
    # Linger 0 makes close send RST instead of FIN.
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    accepted.close()
    with trio.fail_after(5), pytest.raises(PeerLost, match="receiving failed") as caught:
        await stream.receive_into(memoryview(bytearray(8)))
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    stream.close()


async def test_a_listener_out_of_descriptors_pauses_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The second accept finds no free descriptor; when some are free again, it succeeds."""
    with socket.create_server((LOOPBACK, 0)) as server:
        server.setblocking(False)
        with socket.create_connection(server.getsockname()):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            # Descriptors at or above the limit can't be made; those that exist stay usable.
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                assert await accept_one(server) is None
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert "can't accept connections of peers" in caplog.text
            accepted = await accept_one(server)
            assert accepted is not None
            accepted.close()


async def test_a_wake_up_without_a_connection_is_no_error() -> None:
    class Stolen(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            raise BlockingIOError(errno.EAGAIN, "somebody else took it")

    with Stolen(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        with socket.create_connection(server.getsockname()):
            assert await accept_one(server) is None


async def test_a_connection_that_broke_before_it_was_taken_is_skipped() -> None:
    class Aborted(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            raise ConnectionAbortedError(errno.ECONNABORTED, "gone")

    with Aborted(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        with socket.create_connection(server.getsockname()):
            assert await accept_one(server) is None


async def test_a_port_can_be_listened_at_again_right_after_a_stop() -> None:
    async def serve_at(port: int, *, task_status: trio.TaskStatus[int]) -> None:
        await TcpTransport().listen(LOOPBACK, port, hold, task_status=task_status)

    port = 0
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve_at, port)
            stream = await TcpTransport().dial(LOOPBACK, port)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        stream.close()


async def test_a_name_is_never_looked_up_here() -> None:
    """A lookup would occupy a thread without a bound: who dials has the addresses (`net.resolving`)."""
    with pytest.raises(PeerLost, match=r"can't connect to localhost port 1: Name or service not"):
        await TcpTransport().dial("localhost", 1)


async def test_a_zone_that_this_machine_does_not_have_is_peer_lost() -> None:
    with pytest.raises(PeerLost, match="this machine has no interface nowhere0"):
        await TcpTransport().dial("fe80::1%nowhere0", 1)


async def test_a_cancelled_dial_leaves_no_socket_behind() -> None:
    """Left open, it would be a ResourceWarning, which is an error here."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await TcpTransport().dial(LOOPBACK, 1)
    assert scope.cancelled_caught


async def test_an_address_in_use_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=f"in use: '{LOOPBACK}:{port}'"):
            await TcpTransport().listen(LOOPBACK, port, hold, task_status=trio.TASK_STATUS_IGNORED)


async def test_dialling_an_address_starts_no_thread() -> None:
    """Members have IP addresses: there is nothing to look up."""
    with socket.create_server((LOOPBACK, 0)) as server, no_threads():
        stream = await TcpTransport().dial(*server.getsockname())
        stream.close()
