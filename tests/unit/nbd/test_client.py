"""The blocking client against the real server over a fake pager, in one process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from ramsterd.core.page import PoolId
from ramsterd.nbd.client import (
    STREAM_REQUEST_BYTES,
    ConnectionLost,
    HandshakeFailed,
    NbdClient,
    RequestFailed,
)
from ramsterd.nbd.export import Export
from ramsterd.nbd.protocol import Errno, TransmissionFlag
from ramsterd.nbd.server import NbdServer
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
