"""Real sockets, two servers one after the other over the same pages: clients notice a pause."""

import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from config.model import PoolCodec
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import Command, Errno, Option, OptionReply
from ramsterd.frontends.nbd.server import NbdServer
from ramsterd.frontends.tmem.messages import NewPool, PoolKind, TmemType, encode_frame, hello
from ramsterd.frontends.tmem.server import TmemServer
from ramsterd.handover import parting as partings
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.parting import Parting
from tests.fakes.fake_pager import FakePager
from tests.fakes.fake_pool_pager import FakePoolPager
from tests.fakes.nbd_client import Client, contexts, named
from tests.fakes.nbd_words import request, write
from tests.fakes.tmem_pair import QUOTAS

MIB = 1 << 20
EXPORT = Export(name="disk", size=64 * MIB, pool=PoolId(1), object_id=b"disk")
PAGE = b"p" * 4096
MEMORY = b"m" * 16


class Node:
    """One process after the other: the pages stay, and so do the paths."""

    def __init__(self, folder: Path) -> None:
        self.nbd_path = folder / "nbd.sock"
        self.tmem_path = folder / "tmem.sock"
        self.pager = FakePager()
        self.pool_pager = FakePoolPager()
        self.exports = [EXPORT]
        self.memory_id = MEMORY
        self.arrival = Arrival()
        self.parting: Parting | None = None
        self.port = 0
        self._streams: list[trio.SocketStream] = []

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve, with what the last one left; leave everything at the end."""
        self.arrival = Arrival([] if self.parting is None else self.parting.seal(is_stored=True))
        self.arrival.require_memory(self.memory_id)
        self.nbd = NbdServer(
            self.pager,
            self.exports,
            socket_path=self.nbd_path,
            listen="127.0.0.1:0",
            arrival=self.arrival,
        )
        self.tmem = TmemServer(
            self.pool_pager,
            socket_path=self.tmem_path,
            quotas=QUOTAS,
            users=frozenset({os.geteuid()}),
            connections_max=8,
            arrival=self.arrival,
        )
        async with trio.open_nursery() as nursery:
            self.port = await nursery.start(self.nbd.serve)
            await nursery.start(self.tmem.serve)
            self.arrival.finish(now_nanoseconds=3_000_000_000)
            yield
            with trio.move_on_after(5):
                async with trio.open_nursery() as stopping:
                    stopping.start_soon(self.nbd.come_to_edges)
                    stopping.start_soon(self.tmem.come_to_edges)
            self.parting = Parting(
                memory_id=MEMORY, restart_id="4f", paused_at_nanoseconds=1_000_000_000
            )
            self.nbd.hand_over(self.parting)
            self.tmem.hand_over(self.parting)
            nursery.cancel_scope.cancel()

    async def join(self, *, is_tcp: bool = False) -> Client:
        client = Client(await self.dial(None if is_tcp else self.nbd_path), self.pager)
        await client.go()
        return client

    async def dial(self, path: Path | None) -> trio.SocketStream:
        """Connect to a path, or to the TCP port."""
        if path is None:
            stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        else:
            stream = await trio.open_unix_socket(path)
        self._streams.append(stream)
        return stream

    def stream_of(self, raw: socket.socket) -> trio.SocketStream:
        """Return the stream of a socket that is connected."""
        raw.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        """End what the last one left, and the clients."""
        for stream in self._streams:
            stream.socket.close()
        if self.parting is not None:
            Arrival(self.parting.seal(is_stored=False)).finish(now_nanoseconds=0)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


async def test_clients_of_both_sockets_go_on(node: Node) -> None:
    with trio.fail_after(20):
        async with node.run():
            clients = [await node.join(is_tcp=bool(number % 2)) for number in range(6)]
            for number, client in enumerate(clients):
                assert await client.errno(Command.WRITE, number * 4096, payload=PAGE) == 0
        port = node.port
        async with node.run():
            assert node.port == port
            assert node.arrival.statistics().connections_total == 6
            assert node.arrival.statistics().gap_seconds == 2.0
            for number, client in enumerate(clients):
                assert (await client.read(number * 4096, 4096)).content == PAGE
            newcomer = await node.join()
            assert await newcomer.is_usable()


async def test_requests_that_come_while_nobody_serves_are_answered_by_the_next(node: Node) -> None:
    with trio.fail_after(20):
        async with node.run():
            client = await node.join(is_tcp=True)
            # Half of a request now, half of it and another one later.
            said = write(7, 8192, PAGE) + request(Command.READ, 8, 8192, 4096)
            await client.stream.send_all(said[:1000])
            await trio.testing.wait_all_tasks_blocked()
        await client.stream.send_all(said[1000:])
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(str(node.nbd_path))
        async with node.run():
            assert await client.answer(7) == Errno.NONE
            assert (await client.answer(8)).content == PAGE  # type: ignore[union-attr]
            with stream:
                waited = Client(
                    trio.SocketStream(trio.socket.from_stdlib_socket(stream)), node.pager
                )
                await waited.go()
                assert await waited.is_usable()


async def test_a_request_in_flight_is_answered_before_the_handover(node: Node) -> None:
    with trio.fail_after(20):
        async with node.run():
            client = await node.join()
            node.pager.is_delaying = True
            cookie = await client.say(Command.WRITE, 0, payload=PAGE)
            await client.wait(lambda: node.pager.delayed)
            later = await client.say(Command.READ, 0, 4096)

            async def release() -> None:
                await trio.testing.wait_all_tasks_blocked()
                node.pager.is_delaying = False
                node.pager.release()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(release)
        async with node.run():
            assert await client.answer(cookie) == Errno.NONE
            assert (await client.answer(later)).content == PAGE  # type: ignore[union-attr]
        assert node.pager.calls["put"] == 1


async def test_a_connection_that_comes_to_no_edge_is_closed_and_others_go_on(
    node: Node, autojump_clock: trio.testing.MockClock
) -> None:
    async with node.run():
        stuck, other = await node.join(), await node.join()
        node.pager.is_delaying = True
        await stuck.say(Command.WRITE, 0, payload=PAGE)
        await real_wait(lambda: node.pager.delayed)
    assert node.parting is not None
    assert (node.parting.connections, node.parting.dropped) == (1, 1)
    assert await stuck.receive_rest() == b""
    node.pager.is_delaying = False
    async with node.run():
        assert await other.is_usable()


async def real_wait(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        await trio.lowlevel.checkpoint()


async def test_clients_in_their_handshakes_go_on(
    node: Node, autojump_clock: trio.testing.MockClock
) -> None:
    async with node.run():
        silent, greeted, structured = [
            Client(await node.dial(node.nbd_path), node.pager) for _ in range(3)
        ]
        await greeted.greet()
        await structured.greet()
        await structured.option(Option.STRUCTURED_REPLY)
        # Half of an option; the next process hears the other half.
        go = b"IHAVEOPT" + struct.pack(">II", Option.GO, len(named("disk"))) + named("disk")
        await greeted.stream.send_all(go[:11])
        await trio.testing.wait_all_tasks_blocked()
        began_at = trio.current_time()
    assert node.parting is not None
    assert (node.parting.connections, node.parting.dropped) == (3, 0)
    assert trio.current_time() == began_at, "they hold up nobody"
    await greeted.stream.send_all(go[11:])
    async with node.run():
        assert node.arrival.statistics().connections_total == 3
        await silent.go()
        assert (await greeted.read_option(Option.GO))[-1] == (OptionReply.ACK, b"")
        await structured.option(Option.SET_META_CONTEXT, contexts("disk", "base:allocation"))
        assert (await structured.option(Option.GO, named("disk")))[-1] == (OptionReply.ACK, b"")
        for client in (silent, greeted, structured):
            assert await client.is_usable()


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("is_tcp", [False, True])
async def test_a_client_that_connects_as_the_process_leaves_is_served_by_one_of_the_two(
    node: Node, turns: int, is_tcp: bool
) -> None:
    with trio.fail_after(20):
        async with node.run():
            family = socket.AF_INET if is_tcp else socket.AF_UNIX
            raw, program = socket.socket(family), socket.socket(socket.AF_UNIX)
            raw.connect(("127.0.0.1", node.port) if is_tcp else str(node.nbd_path))
            program.connect(str(node.tmem_path))
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
        assert node.parting is not None
        assert node.parting.dropped == 0
        client = Client(node.stream_of(raw), node.pager)
        stream = node.stream_of(program)
        async with node.run():
            await client.go()
            assert await client.is_usable()
            await stream.send_all(encode_frame(TmemType.HELLO, 1, hello("program")))
            assert await stream.receive_some()


async def test_a_client_that_does_not_read_holds_up_nobody(node: Node) -> None:
    with trio.fail_after(20):
        async with node.run():
            client = await node.join()
            for number in range(10):
                await client.stream.send_all(request(Command.READ, number, 0, 100 * 4096))
            await trio.testing.wait_all_tasks_blocked()
        assert node.parting is not None
        assert node.parting.connections == 1
        async with node.run():
            for number in range(10):
                assert not isinstance(await client.answer(number), Errno)
            assert await client.is_usable()


async def test_a_program_keeps_its_pools(node: Node) -> None:
    named_pool = NewPool(PoolKind.PERSISTENT, "n", PoolCodec.LZ4, False).encode()
    with trio.fail_after(20):
        async with node.run():
            stream = await node.dial(node.tmem_path)
            await stream.send_all(
                encode_frame(TmemType.HELLO, 1, hello("program"))
                + encode_frame(TmemType.NEW_POOL, 2, named_pool)
                + encode_frame(TmemType.STATUS, 3)[:9]
            )
            await trio.testing.wait_all_tasks_blocked()
        assert not node.pool_pager.calls["end_pool"]
        await stream.send_all(encode_frame(TmemType.STATUS, 3)[9:])
        async with node.run():
            assert node.arrival.statistics().connections_total == 1
            data = b""
            while b"pools" not in data:
                data += await stream.receive_some()
            assert node.tmem.statistics().connections == 1


async def test_other_memory_or_a_changed_export_closes_connections(node: Node) -> None:
    with trio.fail_after(20):
        for change in ("memory", "export"):
            async with node.run():
                client = await node.join()
            if change == "memory":
                node.memory_id = b""
            else:
                node.exports = [replace(EXPORT, size=MIB)]
            async with node.run():
                assert await client.receive_rest() == b""
                found = node.arrival.statistics()
                assert (found.connections_total, found.dropped_connections_total) == (0, 1)
                newcomer = await node.join()
                assert await newcomer.is_usable()
                newcomer.stream.socket.close()
            node.memory_id, node.exports = MEMORY, [EXPORT]


async def test_connections_over_the_limit_are_closed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partings, "CONNECTIONS_MAX", 2)
    with trio.fail_after(20):
        async with node.run():
            clients = [await node.join() for _ in range(3)]
        assert node.parting is not None
        assert (node.parting.connections, node.parting.dropped) == (2, 1)
        async with node.run():
            for client in clients[:2]:
                assert await client.is_usable()
            assert await clients[2].receive_rest() == b""


async def test_clients_in_a_handshake_keep_no_other_client_out(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partings, "CONNECTIONS_MAX", 3)
    with trio.fail_after(20):
        async with node.run():
            silent = [Client(await node.dial(node.nbd_path), node.pager) for _ in range(3)]
            for each in silent:
                await each.greet()
            disk = await node.join()
            program = await node.dial(node.tmem_path)
            await program.send_all(encode_frame(TmemType.HELLO, 1, hello("program")))
            assert await program.receive_some()
        assert node.parting is not None
        assert (node.parting.connections, node.parting.dropped) == (3, 2)
        async with node.run():
            assert await disk.is_usable()
            await program.send_all(encode_frame(TmemType.STATUS, 2))
            assert await program.receive_some()
            kept = [each for each in silent if await goes_on(each)]
            assert len(kept) == 1


async def goes_on(client: Client) -> bool:
    """Whether a client in its handshake gets its disk; else the connection is over."""
    try:
        return (await client.option(Option.GO, named("disk")))[-1] == (OptionReply.ACK, b"")
    except (AssertionError, trio.BrokenResourceError):
        return False


async def test_a_listening_socket_at_another_path_now_is_closed_and_its_file_is_gone(
    node: Node, tmp_path: Path
) -> None:
    old = node.nbd_path
    with trio.fail_after(20):
        async with node.run():
            pass
        assert old.is_socket()
        node.nbd_path = tmp_path / "moved.sock"
        async with node.run():
            assert not old.exists()
            assert await (await node.join()).is_usable()
