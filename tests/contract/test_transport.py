"""What every `net.transport.Transport` promises: the real one and the simulated one take the same tests."""

import os
import socket

import pytest
import trio
import trio.testing

from net.errors import PeerLost
from net.tcp import IMMEDIATE_RECEIVES_MAX, PIECES_PER_SEND_MAX, TcpTransport
from net.transport import Stream, Transport
from tests.simulation.network import SimNetwork

LOOPBACK = "127.0.0.1"


@pytest.fixture(params=["tcp", "simulated"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return TcpTransport() if request.param == "tcp" else SimNetwork()


class Acceptor:
    """Hands accepted streams to the test and keeps them open until told."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Stream](16)
        self.release = trio.Event()

    async def accept(self, stream: Stream) -> None:
        await self._send.send(stream)
        await self.release.wait()

    async def next(self) -> Stream:
        with trio.fail_after(5):
            return await self._receive.receive()


async def listen(transport: Transport, nursery: trio.Nursery, acceptor: Acceptor) -> int:
    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await transport.listen(LOOPBACK, 0, acceptor.accept, task_status=task_status)

    port = await nursery.start(serve)
    assert isinstance(port, int)
    return port


async def receive_exactly(stream: Stream, count: int) -> bytes:
    received = bytearray()
    buffer = memoryview(bytearray(65536))
    with trio.fail_after(10):
        while len(received) < count:
            got = await stream.receive_into(buffer)
            assert got, f"ended after {len(received)} bytes"
            received += buffer[:got]
    return bytes(received)


async def send_all(stream: Stream, data: bytes) -> None:
    rest = memoryview(data)
    with trio.fail_after(10):
        while rest:
            sent = stream.send_nowait([rest])
            rest = rest[sent:]
            if rest:
                await stream.wait_sendable()


async def send_for_ever(stream: Stream) -> None:
    while True:
        stream.send_nowait([b"x"])
        await trio.lowlevel.checkpoint()


async def test_bytes_arrive_in_order_in_both_directions(transport: Transport) -> None:
    acceptor = Acceptor()
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        accepted = await acceptor.next()
        assert dialed.send_nowait([b"abc", memoryview(b"def"), bytearray(b"g")]) == 7
        assert await receive_exactly(accepted, 7) == b"abcdefg"
        assert accepted.send_nowait([b"back"]) == 4
        assert await receive_exactly(dialed, 4) == b"back"
        nursery.cancel_scope.cancel()
    dialed.close()


async def test_a_full_stream_takes_nothing_and_drains_again(transport: Transport) -> None:
    acceptor = Acceptor()
    data = os.urandom(65536) * 256
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        accepted = await acceptor.next()
        sent = 0
        while taken := dialed.send_nowait([data[sent : sent + 65536]]):
            sent += taken
        assert 0 < sent < len(data)
        with trio.move_on_after(0.01) as waiting:
            await dialed.wait_sendable()
        assert waiting.cancelled_caught
        nursery.start_soon(send_all, dialed, data[sent:])
        assert await receive_exactly(accepted, len(data)) == data
        nursery.cancel_scope.cancel()
    dialed.close()


async def test_many_small_pieces_go_in_order(transport: Transport) -> None:
    acceptor = Acceptor()
    pieces = [number.to_bytes(4, "big") for number in range(3 * PIECES_PER_SEND_MAX + 7)]
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        accepted = await acceptor.next()
        whole = b"".join(pieces)
        assert dialed.send_nowait(pieces) == len(whole)
        assert await receive_exactly(accepted, len(whole)) == whole
        nursery.cancel_scope.cancel()
    dialed.close()


async def test_many_pieces_that_do_not_all_fit_keep_their_order(transport: Transport) -> None:
    acceptor = Acceptor()
    pieces = [bytes([number % 251]) * 8192 for number in range(2 * PIECES_PER_SEND_MAX)]
    whole = b"".join(pieces)
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        accepted = await acceptor.next()
        sent = dialed.send_nowait(pieces)
        assert 0 < sent < len(whole)
        nursery.start_soon(send_all, dialed, whole[sent:])
        assert await receive_exactly(accepted, len(whole)) == whole
        nursery.cancel_scope.cancel()
    dialed.close()


async def test_a_listener_that_closes_takes_nothing_new_and_its_streams_go_on(
    transport: Transport,
) -> None:
    acceptor, closing, over = Acceptor(), trio.Event(), trio.Event()

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await transport.listen(
            LOOPBACK, 0, acceptor.accept, task_status=task_status, closing=closing
        )
        over.set()

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve)
        dialed = await transport.dial(LOOPBACK, port)
        accepted = await acceptor.next()
        closing.set()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(PeerLost):
            await transport.dial(LOOPBACK, port)
        dialed.send_nowait([b"still here"])
        assert await receive_exactly(accepted, 10) == b"still here"
        assert not over.is_set()
        acceptor.release.set()
        with trio.fail_after(10):
            await over.wait()
    dialed.close()


async def test_closing_ends_the_other_side_after_what_was_sent(transport: Transport) -> None:
    acceptor = Acceptor()
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        accepted = await acceptor.next()
        dialed.send_nowait([b"last words"])
        dialed.close()
        dialed.close()
        assert await receive_exactly(accepted, 10) == b"last words"
        assert await accepted.receive_into(memoryview(bytearray(8))) == 0
        nursery.cancel_scope.cancel()


async def test_closing_wakes_our_own_receiver_with_peer_lost(transport: Transport) -> None:
    acceptor = Acceptor()
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        await acceptor.next()
        lost: list[str] = []

        async def receive() -> None:
            try:
                await dialed.receive_into(memoryview(bytearray(8)))
            except PeerLost as error:
                lost.append(str(error))

        async with trio.open_nursery() as receiver:
            receiver.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            dialed.close()
        assert lost
        nursery.cancel_scope.cancel()


async def test_closing_wakes_our_own_sender_with_peer_lost(transport: Transport) -> None:
    acceptor = Acceptor()
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        await acceptor.next()
        while dialed.send_nowait([bytes(65536)]):
            pass
        lost: list[str] = []

        async def wait() -> None:
            try:
                await dialed.wait_sendable()
            except PeerLost as error:
                lost.append(str(error))

        async with trio.open_nursery() as sender:
            sender.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            dialed.close()
        assert lost
        nursery.cancel_scope.cancel()


async def test_a_closed_stream_raises_peer_lost(transport: Transport) -> None:
    acceptor = Acceptor()
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        dialed.close()
        with pytest.raises(PeerLost):
            dialed.send_nowait([b"x"])
        with pytest.raises(PeerLost):
            await dialed.receive_into(memoryview(bytearray(8)))
        with pytest.raises(PeerLost):
            await dialed.wait_sendable()
        nursery.cancel_scope.cancel()


async def test_sending_to_a_side_that_closed_raises_peer_lost(transport: Transport) -> None:
    acceptor = Acceptor()
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        (await acceptor.next()).close()
        with trio.fail_after(5), pytest.raises(PeerLost):
            await send_for_ever(dialed)
        nursery.cancel_scope.cancel()
    dialed.close()


async def test_dialling_where_nobody_listens_raises_peer_lost(transport: Transport) -> None:
    with socket.socket() as placeholder:
        placeholder.bind((LOOPBACK, 0))
        port = placeholder.getsockname()[1]
    with pytest.raises(PeerLost):
        await transport.dial(LOOPBACK, port)


async def test_listening_twice_at_one_port_raises_os_error(transport: Transport) -> None:
    acceptor = Acceptor()
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        with pytest.raises(OSError):  # noqa: PT011  the kinds of OSError differ, and nobody asks which
            await transport.listen(
                LOOPBACK, port, acceptor.accept, task_status=trio.TASK_STATUS_IGNORED
            )
        nursery.cancel_scope.cancel()


async def test_a_stream_is_closed_when_its_handler_returns(transport: Transport) -> None:
    acceptor = Acceptor()
    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        await acceptor.next()
        acceptor.release.set()
        with trio.fail_after(5):
            assert await dialed.receive_into(memoryview(bytearray(8))) == 0
        nursery.cancel_scope.cancel()
    dialed.close()


async def test_a_handler_that_fails_does_not_end_the_listener(transport: Transport) -> None:
    async def fail(stream: Stream) -> None:
        raise ValueError("a handler's fault")

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await transport.listen(LOOPBACK, 0, fail, task_status=task_status)

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve)
        for _ in range(2):
            dialed = await transport.dial(LOOPBACK, port)
            with trio.fail_after(5):
                assert await dialed.receive_into(memoryview(bytearray(8))) == 0
            dialed.close()
        nursery.cancel_scope.cancel()


async def test_a_busy_sender_does_not_starve_other_tasks(transport: Transport) -> None:
    """A receiver that never has to wait still lets others run."""
    acceptor = Acceptor()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        port = await listen(transport, nursery, acceptor)
        dialed = await transport.dial(LOOPBACK, port)
        accepted = await acceptor.next()
        receives = 4 * IMMEDIATE_RECEIVES_MAX
        dialed.send_nowait([bytes(receives)])
        nursery.start_soon(other)
        await trio.lowlevel.checkpoint()
        before = turns
        for _ in range(receives):
            assert await accepted.receive_into(memoryview(bytearray(1))) == 1
        assert turns - before >= 2
        nursery.cancel_scope.cancel()
    dialed.close()
