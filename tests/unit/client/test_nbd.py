"""The blocking client against the real server over a fake pager, in one process."""

import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from ramsterd.client.nbd import (
    STREAM_REQUEST_BYTES,
    ConnectionLost,
    HandshakeFailed,
    NbdClient,
    RequestFailed,
)
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import Errno, TransmissionFlag
from ramsterd.frontends.nbd.server import NbdServer
from tests.fakes.fake_pager import FakePager

SIZE = 64 * STREAM_REQUEST_BYTES


@pytest.fixture
def pager() -> FakePager:
    return FakePager()


@pytest.fixture
async def path(pager: FakePager, tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Path]:
    socket_path = tmp_path / "nbd.sock"
    export = Export(name="disk", size=SIZE, pool=PoolId(1), object_id=b"disk")
    await nursery.start(NbdServer(pager, [export], socket_path=socket_path).serve)
    yield socket_path
    nursery.cancel_scope.cancel()


async def test_what_is_written_is_read(path: Path) -> None:
    def story() -> None:
        with NbdClient.connect(path, "disk") as client:
            assert client.size == SIZE
            assert client.transmission_flags & TransmissionFlag.CAN_MULTI_CONN
            client.write(4000, b"x" * 5000)
            client.nbd_flush()
            assert client.read(3999, 5002) == b"\0" + b"x" * 5000 + b"\0"
            client.trim(4096, 4096)
            assert client.read(4096, 4096) == bytes(4096)
            client.write_zeroes(4000, 96)
            assert client.read(0, 8192) == bytes(8192)

    await trio.to_thread.run_sync(story)


async def test_a_stream_larger_than_the_window_comes_back_the_same(path: Path) -> None:
    content = bytes(range(256)) * (40 * STREAM_REQUEST_BYTES // 256) + b"tail"

    def story() -> None:
        with NbdClient.connect(path) as client:
            pieces = [content[:1000], content[1000:3_000_000], content[3_000_000:]]
            assert client.write_stream(512, pieces) == len(content)
            assert b"".join(client.read_stream(512, len(content))) == content

    await trio.to_thread.run_sync(story)


async def test_a_stream_left_early_leaves_the_client_usable(path: Path) -> None:
    def story() -> None:
        with NbdClient.connect(path) as client:
            client.write(0, b"first")
            stream = client.read_stream(0, SIZE)
            assert next(stream)[:5] == b"first"
            del stream
            assert client.read(0, 5) == b"first"

    await trio.to_thread.run_sync(story)


async def test_a_lost_page_is_a_named_error_and_the_connection_goes_on(
    path: Path, pager: FakePager
) -> None:
    pager.lost.add(40)

    def story() -> None:
        with NbdClient.connect(path) as client:
            with pytest.raises(RequestFailed) as caught:
                list(client.read_stream(0, SIZE))
            assert caught.value.errno == Errno.EIO
            assert client.read(0, 4096) == bytes(4096)

    await trio.to_thread.run_sync(story)


async def test_a_refused_put_is_no_space(path: Path, pager: FakePager) -> None:
    pager.is_refusing = True

    def story() -> None:
        with NbdClient.connect(path) as client:
            with pytest.raises(RequestFailed, match="WRITE of 131072 bytes") as caught:
                client.write_stream(0, [bytes(SIZE)])
            assert caught.value.errno == Errno.ENOSPC

    await trio.to_thread.run_sync(story)


async def test_an_unknown_export_fails_the_handshake(path: Path) -> None:
    def story() -> None:
        with pytest.raises(HandshakeFailed, match="no such export"):
            NbdClient.connect(path, "other")

    await trio.to_thread.run_sync(story)


async def test_a_server_that_stops_is_a_lost_connection(pager: FakePager, tmp_path: Path) -> None:
    path = tmp_path / "stopping.sock"
    export = Export(name="disk", size=SIZE, pool=PoolId(1), object_id=b"disk")
    async with trio.open_nursery() as nursery:
        await nursery.start(NbdServer(pager, [export], socket_path=path).serve)
        client = await trio.to_thread.run_sync(NbdClient.connect, path)
        nursery.cancel_scope.cancel()
    with pytest.raises(ConnectionLost):
        client.read(0, 4096)
    client.disconnect()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1", "not an NBD server"),
        (b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\x00\x00", "not an NBD server"),
        (b"NBDMAGICIHAVEOPT\x00\x00", "too old"),
        (b"NBDMAGICIHAVEOPT\x00\x03" + b"x" * 20, "no answer to GO"),
    ],
)
def test_what_is_no_nbd_server_is_named(said: bytes, reason: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        with pytest.raises(HandshakeFailed, match=reason):
            NbdClient(ours, "disk")


def test_a_reply_to_nothing_asked_is_a_lost_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        info = struct.pack(">QIIIHQH", 0x3E889045565A9, 7, 3, 12, 0, SIZE, 1)
        ack = struct.pack(">QIII", 0x3E889045565A9, 7, 1, 0)
        reply = struct.pack(">IIQ", 0x67446698, 0, 4711)
        theirs.sendall(b"NBDMAGICIHAVEOPT\x00\x03" + info + ack + reply)
        client = NbdClient(ours, "disk")
        with pytest.raises(ConnectionLost, match="no reply to anything asked"):
            client.read(0, 1)


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(ConnectionLost, match="can't receive"):
            NbdClient.connect(path, silence_seconds_max=0.01)
