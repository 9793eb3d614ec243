"""The trio client over a real socket: buffers that are free again, and turns that are kept."""

import contextlib
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from ramsterd.client import PAGE_BYTES, AsyncClient, NotConnected, PoolKind
from ramsterd.client.requests import FRAME_PAGES
from ramsterd.frontends.tmem.messages import IN_FLIGHT_BYTES_MAX
from tests.fakes.tmem_server import serving

PAGE = b"p" * PAGE_BYTES
FRAMES_MAX = IN_FLIGHT_BYTES_MAX // (FRAME_PAGES * PAGE_BYTES)


async def test_a_wrong_item_of_many_is_told_before_any_is_put(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), AsyncClient(tmp_path / "s") as client:
        pool = await client.new_pool(PoolKind.PERSISTENT)
        buffer = bytearray(PAGE * 256)
        with pytest.raises(ValueError, match="not one or more pages"):
            await pool.put_many([(b"a", 0, buffer), (b"b", 0, b"short")])
        buffer.clear()
        assert await pool.get(b"a", 0, 256) == [None] * 256


async def test_a_small_call_does_not_overtake_a_large_one_that_waits_for_room(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path / "s") as pager, AsyncClient(tmp_path / "s") as client:
        pool = await client.new_pool(PoolKind.PERSISTENT)
        pager.is_delaying = True
        asked: list[bytes] = []

        async def get(object_id: bytes, count: int) -> None:
            await pool.get(object_id, 0, count)
            asked.append(object_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, b"fills all but one page", FRAMES_MAX * FRAME_PAGES - 1)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(get, b"large", FRAME_PAGES)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(get, b"small", 1)
            await trio.testing.wait_all_tasks_blocked()
            assert pager.calls["get"] == FRAMES_MAX, "there would be room for the small one"
            while len(asked) < 3:
                pager.release()
                await trio.lowlevel.checkpoint()
        assert asked[0] == b"fills all but one page"


async def test_nothing_of_a_client_that_is_gone_takes_effect(tmp_path: Path) -> None:
    """It has as much in flight as it may, so its end lies unread behind what it sent after that."""
    async with serving(tmp_path / "s") as pager:
        client = AsyncClient(tmp_path / "s")
        async with client, trio.open_nursery() as nursery:
            pool = await client.new_pool(PoolKind.PERSISTENT, name="kept")
            pager.is_delaying = True

            async def put() -> None:
                with contextlib.suppress(NotConnected):
                    await pool.put(b"a", 0, PAGE * (FRAMES_MAX * FRAME_PAGES * 2))

            nursery.start_soon(put)
            await trio.testing.wait_all_tasks_blocked()
            assert len(pager.delayed) == FRAMES_MAX
            nursery.cancel_scope.cancel()
        with trio.fail_after(10):
            while pager.delayed:
                await trio.testing.wait_all_tasks_blocked(0.001)
        assert not pager.pages


async def test_a_full_backlog_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(str(path))
        listener.listen(0)
        listener.setblocking(False)
        first = stack.enter_context(socket.socket(socket.AF_UNIX))
        first.connect(str(path))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect, path)
            await trio.testing.wait_all_tasks_blocked()
            listener.accept()[0].close()
            # Room for one more: it gets in, and is let go without a greeting.
            await trio.lowlevel.wait_readable(listener)
            listener.accept()[0].close()


async def connect(path: Path) -> None:
    with pytest.raises(NotConnected, match=r"closed the connection|reset"):
        await AsyncClient(path).__aenter__()
