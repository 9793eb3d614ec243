"""The server on real sockets over a fake pager: who is accepted, who is ended, and that others go on."""

import logging
import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from ramsterd.core.page import PoolId
from ramsterd.endpoints.sockets import SocketPathTaken
from ramsterd.frontends.clients.counters import ClientStatistics
from ramsterd.frontends.nbd.buffers import RECEIVE_BYTES
from ramsterd.frontends.nbd.connection import Clients, Connection
from ramsterd.frontends.nbd.counters import Counters, End
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.handshake import Handshake
from ramsterd.frontends.nbd.protocol import (
    HANDSHAKE_SECONDS_MAX,
    REPLY_BYTES_MAX,
    Command,
    Errno,
    OptionReply,
)
from ramsterd.frontends.nbd.server import NbdServer
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import parse_replies, request, write
from tests.helpers.buffers import spare_bytes

EXPORT = Export(name="disk", size=64 << 20, pool=PoolId(1), object_id=b"disk")
PAGE = b"p" * 4096
GREETING = b"NBDMAGICIHAVEOPT\x00\x03"
NAME_DISK = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 4) + b"disk"


class Running:
    """A server, its pager, and ways to reach it."""

    def __init__(self, path: Path, *, connections_max: int) -> None:
        self.path = path
        self.pager = FakePager()
        self.port: int | None = None
        self.server = NbdServer(
            self.pager,
            [EXPORT],
            socket_path=path,
            listen="127.0.0.1:0",
            connections_max=connections_max,
        )

    @property
    def statistics(self) -> ClientStatistics:
        return self.server.statistics()

    async def dial(self) -> trio.SocketStream:
        return await trio.open_unix_socket(self.path)

    async def join(self) -> trio.SocketStream:
        """Connect and choose the export."""
        stream = await self.dial()
        await stream.send_all(NAME_DISK)
        assert await receive(stream, len(GREETING)) == GREETING
        await receive(stream, 10)
        return stream

    async def wait_connections(self, count: int) -> None:
        while self.statistics.connections != count:
            await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def running(tmp_path: Path, *, connections_max: int = 8) -> AsyncIterator[Running]:
    server = Running(tmp_path / "nbd.sock", connections_max=connections_max)
    async with trio.open_nursery() as nursery:
        server.port = await nursery.start(server.server.serve)
        yield server
        nursery.cancel_scope.cancel()


async def receive(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        some = await stream.receive_some(count - len(data))
        assert some, "the server closed the connection"
        data += some
    return data


async def receive_until_closed(stream: trio.SocketStream) -> bytes:
    data = b""
    try:
        while some := await stream.receive_some():
            data += some
    except trio.BrokenResourceError:
        pass
    return data


async def test_a_client_on_tcp_is_served_like_one_on_the_socket(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        assert server.port is not None
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        said = NAME_DISK + write(1, 0, PAGE) + request(Command.READ, 2, 0, 4096)
        async with stream:
            await stream.send_all(said)
            await receive(stream, len(GREETING) + 10)
            answers = parse_replies(await receive(stream, 16 + 16 + 4096), {2: 4096})
        assert answers == {1: Errno.NONE, 2: PAGE}
        assert server.pager.settles_count > 0


async def test_garbage_ends_that_connection_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as server, await server.join() as good:
        async with await server.dial() as bad:
            await bad.send_all(b"GET / HTTP/1.1\r\n\r\n")
            assert await receive_until_closed(bad) == GREETING
        async with await server.join() as bad:
            await bad.send_all(write(1, 0, PAGE) + b"x" * 28)
            # What was served before the garbage is answered before the connection ends.
            assert parse_replies(await receive_until_closed(bad), {}) == {1: Errno.NONE}
        await good.send_all(request(Command.READ, 1, 0, 4096))
        assert parse_replies(await receive(good, 16 + 4096), {1: 4096}) == {1: PAGE}
        assert server.statistics.ended_connections_total["GARBAGE"] == 2
    assert "broke the protocol (client flags 0x47455420)" in caplog.text


async def test_an_early_close_ends_that_connection_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(tmp_path) as server:
        await (await server.dial()).aclose()
        await (await server.join()).aclose()
        half = await server.join()
        await half.send_all(write(1, 0, PAGE)[:1000])
        await half.aclose()
        while sum(server.statistics.ended_connections_total.values()) != 3:
            await trio.testing.wait_all_tasks_blocked()
        # The first may have gone before the greeting was sent: then the connection broke.
        ended = server.statistics.ended_connections_total
        assert ended["CLOSED_EARLY"] + ended["BROKEN"] == 3
        assert ended["CLOSED_EARLY"] >= 2
        assert not server.pager.pages
    told = [each for each in caplog.records if "closed without a disconnect" in each.getMessage()]
    assert any("of export disk: closed" in each.getMessage() for each in told)
    assert {each.levelno for each in told} == {logging.DEBUG}, "many clients end so"


async def test_a_client_that_is_gone_before_its_replies_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(tmp_path) as server:
        client = await server.join()
        await client.send_all(request(Command.READ, 1, 0, 4096))
        while not server.statistics.sent_bytes_total > 4096:
            await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        await server.wait_connections(0)
    assert (
        "NBD client 1 of export disk: connection broke (the client was gone before" in caplog.text
    )


async def test_a_disconnect_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    async with running(tmp_path) as server, await server.join() as client:
        server.pager.is_delaying = True
        await client.send_all(write(1, 0, PAGE) + request(Command.DISC, 2))
        while not server.pager.delayed:
            await trio.testing.wait_all_tasks_blocked()
        assert server.statistics.requests_in_flight == 1
        server.pager.release()
        assert parse_replies(await receive_until_closed(client), {}) == {1: Errno.NONE}
        assert server.statistics.ended_connections_total["DISCONNECTED"] == 1


async def test_an_abort_is_an_orderly_end(tmp_path: Path) -> None:
    async with running(tmp_path) as server, await server.dial() as client:
        abort = b"IHAVEOPT" + struct.pack(">II", 2, 0)
        await client.send_all(struct.pack(">I", 3) + abort)
        assert len(await receive_until_closed(client)) == len(GREETING) + 20
        assert server.statistics.ended_connections_total["ABORTED"] == 1


async def test_clients_beyond_the_limit_are_refused_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, connections_max=1) as server:
        first = await server.join()
        async with await server.dial() as second:
            assert await receive_until_closed(second) == b""
        assert server.statistics.refused_connections_total == 1
        await first.aclose()
        await server.wait_connections(0)
        await (await server.join()).aclose()
    assert "NBD client refused: 1 connections already" in caplog.text


class Insisting(FakePager):
    """A pager during whose every call the client says the same once more."""

    def __init__(self, client: socket.socket, said: bytes) -> None:
        super().__init__()
        self._client = client
        self._said = said

    def settle(self) -> None:
        super().settle()
        self._client.send(self._said)


class Turns(trio.abc.Instrument):
    """How many calls of a pager each step of a task made."""

    def __init__(self, pager: FakePager, call: str) -> None:
        self.counts: list[int] = []
        self._pager = pager
        self._call = call
        self._before = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._before = self._pager.calls[self._call]

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.counts.append(self._pager.calls[self._call] - self._before)


@pytest.mark.parametrize(
    ("said", "call", "most"),
    [
        (request(Command.READ, 1, 0, 4096), "get", 26),
        (request(Command.READ, 1, 0, 16 * 4096), "get", 7),
        (write(1, 0, PAGE * 16), "put", 7),
        (request(Command.CACHE, 1, 0, 32 * 4096), "localify", 4),
    ],
    ids=["read", "long-read", "long-write", "cache"],
)
async def test_a_client_that_is_always_there_leaves_others_their_turn(
    said: bytes, call: str, most: int
) -> None:
    """However soon the next request comes, a turn is about 128 pages."""
    ours, theirs = socket.socketpair()
    pager = Insisting(theirs, said)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        theirs.send(NAME_DISK)
        connection = Connection(ours, [EXPORT], pager, Clients(1, Counters(), [EXPORT]))
        turns = Turns(pager, call)
        async with trio.open_nursery() as nursery:
            trio.lowlevel.add_instrument(turns)
            nursery.start_soon(connection.serve)
            while pager.calls[call] < 200:
                await trio.lowlevel.checkpoint()
                with suppress(BlockingIOError):
                    while theirs.recv(1 << 20):
                        pass
            nursery.cancel_scope.cancel()
        trio.lowlevel.remove_instrument(turns)
        # More than one, for a checkpoint costs as much as a request.
        assert 1 < max(turns.counts) <= most


async def test_a_late_reply_reaches_a_silent_client(tmp_path: Path) -> None:
    async with running(tmp_path) as server, await server.join() as client:
        server.pager.is_delaying = True
        await client.send_all(request(Command.READ, 1, 0, 4096) + write(2, 4096, PAGE))
        while len(server.pager.delayed) != 2:
            await trio.testing.wait_all_tasks_blocked()
        server.pager.release()
        answers = parse_replies(await receive(client, 16 + 4096 + 16), {1: 4096})
        assert answers == {1: bytes(4096), 2: Errno.NONE}


async def test_a_client_that_takes_no_replies_is_not_read_until_it_does(tmp_path: Path) -> None:
    count = 3 * REPLY_BYTES_MAX // 65536
    async with running(tmp_path) as server, await server.join() as client:
        said = b"".join(request(Command.READ, cookie, 0, 65536) for cookie in range(count))
        await client.send_all(said)
        while not server.statistics.requests_total["READ"]:
            await trio.testing.wait_all_tasks_blocked()
        # One pass stops at the limit; the rest waits, unserved.
        assert server.statistics.requests_total["READ"] < count
        data = await receive(client, count * (16 + 65536))
        answers = parse_replies(data, dict.fromkeys(range(count), 65536))
        assert len(answers) == count
        assert server.statistics.sent_bytes_total == len(data)


async def test_a_client_that_vanishes_with_requests_in_flight_is_forgotten(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        server.pager.is_delaying = True
        client = await server.join()
        await client.send_all(request(Command.READ, 1, 0, 4096))
        while not server.pager.delayed:
            await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        await server.wait_connections(0)
        assert server.statistics.requests_in_flight == 0
        server.pager.release()


@pytest.mark.parametrize("is_tcp", [False, True])
async def test_nothing_of_a_client_that_is_gone_takes_effect_though_nobody_reads_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_tcp: bool
) -> None:
    """It has as many requests in flight as it may, so what it sent after them, and its end, lie unread."""
    monkeypatch.setattr("ramsterd.frontends.nbd.debts.REQUESTS_IN_FLIGHT_MAX", 4)
    async with running(tmp_path) as server:
        server.pager.is_delaying = True
        if is_tcp:
            assert server.port is not None
            client = await trio.open_tcp_stream("127.0.0.1", server.port)
            await client.send_all(NAME_DISK)
            await receive(client, len(GREETING) + 10)
        else:
            client = await server.join()
        await client.send_all(b"".join(write(cookie, 4096 * cookie, PAGE) for cookie in range(9)))
        while len(server.pager.delayed) != 4:
            await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        await server.wait_connections(0)
        server.pager.release()
        assert not server.pager.pages
        assert server.statistics.requests_in_flight == 0
        assert server.statistics.ended_connections_total["CLOSED_EARLY"] == 1


async def test_a_client_that_says_goodbye_and_is_gone_at_once_has_left_in_order(
    tmp_path: Path,
) -> None:
    """Whether its last words or its end are seen first."""
    async with running(tmp_path) as server:
        for _ in range(20):
            client = await server.join()
            await client.send_all(request(Command.DISC, 1))
            await client.aclose()
            await server.wait_connections(0)
        assert server.statistics.ended_connections_total["DISCONNECTED"] == 20


async def test_two_connections_see_each_other(tmp_path: Path) -> None:
    async with running(tmp_path) as server, await server.join() as one, await server.join() as two:
        await one.send_all(write(1, 0, PAGE))
        await receive(one, 16)
        await two.send_all(request(Command.READ, 1, 0, 4096))
        assert (await receive(two, 16 + 4096))[16:] == PAGE


async def test_the_socket_file_goes_with_the_server(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        client = await server.join()
    assert not server.path.exists()
    assert await receive_until_closed(client) == b""
    await client.aclose()
    assert server.statistics.connections == 0
    assert server.statistics.ended_connections_total["STOPPED"] == 1


async def test_a_second_server_on_the_same_path_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        with pytest.raises(SocketPathTaken):
            await NbdServer(FakePager(), [EXPORT], socket_path=server.path).serve()
        await (await server.join()).aclose()


async def test_a_handshake_that_never_ends_is_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """On a socket pair: virtual time would jump over a real connect."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        began = trio.current_time()
        ended = await Connection(
            ours, [EXPORT], FakePager(), Clients(1, Counters(), [EXPORT])
        ).serve()
        assert ended.end is End.TOO_SLOW
        assert math.isclose(trio.current_time() - began, HANDSHAKE_SECONDS_MAX)


async def test_an_export_takes_as_many_clients_as_it_may_and_the_next_is_told(
    tmp_path: Path,
) -> None:
    other = Export(name="other", size=4096, pool=PoolId(1), object_id=b"other")
    path = tmp_path / "nbd.sock"
    server = NbdServer(FakePager(), [EXPORT, other], socket_path=path, connections_max=64)
    go = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">III4sH", 7, 10, 4, b"disk", 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        streams = []
        last = b""
        for _ in range(65):
            stream = await trio.open_unix_socket(path)
            streams.append(stream)
            await stream.send_all(go)
            await receive(stream, len(GREETING))
            data = await receive(stream, 20)
            kind, count = struct.unpack(">II", data[12:])
            assert (kind == 0x80000002) == (len(streams) == 65)
            last = await receive(stream, count)
        assert last == b"too many clients of export disk"
        # One leaves, and the one that was refused may ask again.
        await streams[0].send_all(request(Command.DISC, 0))
        while server.statistics().connections != 64:
            await trio.testing.wait_all_tasks_blocked()
        await streams[-1].send_all(go[4:])
        kind = struct.unpack(">I", (await receive(streams[-1], 20))[12:16])[0]
        assert kind == OptionReply.INFO
        nursery.cancel_scope.cancel()
    for stream in streams:
        await stream.aclose()


async def test_clients_that_are_still_told_so_count_as_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer to GO may wait for a client that takes nothing: the last place is gone by then all the same."""

    send = Handshake._send

    async def send_later(handshake: Handshake, data: bytes) -> None:
        await taken.wait()
        await send(handshake, data)

    monkeypatch.setattr(Handshake, "_send", send_later)
    taken = trio.Event()
    clients = Clients(1, Counters(), [EXPORT])
    pairs = [socket.socketpair() for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for ours, theirs in pairs:
            ours.setblocking(False)
            theirs.sendall(struct.pack(">I", 3) + option_go("disk"))
            nursery.start_soon(Connection(ours, [EXPORT], FakePager(), clients).serve)
        await trio.testing.wait_all_tasks_blocked()
        taken.set()
        await trio.testing.wait_all_tasks_blocked()
        kinds = [theirs.recv(100)[len(GREETING) + 12 :][:4] for _, theirs in pairs]
        assert sorted(kinds) == [
            struct.pack(">I", OptionReply.INFO),
            struct.pack(">I", OptionReply.ERR_POLICY),
        ]
        nursery.cancel_scope.cancel()
    assert not clients.open_export(EXPORT), "a client that was cancelled gives its place back"
    for pair in pairs:
        for sock in pair:
            sock.close()


class TestClients:
    """Who may open an export, and when."""

    def test_a_shut_export_is_opened_by_nobody_until_that_is_over(self) -> None:
        clients = Clients(2, Counters(), [EXPORT])
        assert not clients.open_export(EXPORT)
        clients.shut("disk")
        assert clients.open_export(EXPORT) == (
            "export disk is shut while an operator changes it: connect again"
        )
        assert clients.clients_of("disk") == 1, "those that have it open go on"
        clients.unshut("disk")
        assert not clients.open_export(EXPORT)
        assert clients.open_export(EXPORT) == "too many clients of export disk"
        clients.close_export(EXPORT)
        clients.close_export(EXPORT)
        assert clients.clients_of("disk") == 0

    def test_a_handshake_that_was_told_of_another_export_opens_none(self) -> None:
        clients = Clients(2, Counters(), [EXPORT])
        another = "export disk is another one now, or gone: connect again"
        clients.offer([], 2)
        assert clients.open_export(EXPORT) == another
        clients.offer([replace(EXPORT, pool=PoolId(99))], 2)
        assert clients.open_export(EXPORT) == another
        clients.offer([replace(EXPORT, size=EXPORT.size - 4096)], 2)
        assert clients.open_export(EXPORT) == another
        clients.offer([replace(EXPORT, size=EXPORT.size + 4096)], 2)
        assert not clients.open_export(EXPORT), "it has grown: the client has the smaller size"


def option_go(name: str) -> bytes:
    return b"IHAVEOPT" + struct.pack(
        f">III{len(name)}sH", 7, len(name) + 6, len(name), name.encode(), 0
    )


async def test_a_client_with_10000_reads_that_takes_no_reply_waits_and_nobody_notices(
    tmp_path: Path,
) -> None:
    """Its replies are bounded, however many reads it has outstanding; another is served as ever."""
    async with running(tmp_path) as server, await server.join() as bad, await server.join() as good:
        said = b"".join(request(Command.READ, cookie, 0, 65536) for cookie in range(10_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bad.send_all, said)
            await trio.testing.wait_all_tasks_blocked()
            served = server.statistics.requests_total["READ"]
            # One pass over the limit, and what the socket's buffer takes.
            assert served * 65536 < 3 * REPLY_BYTES_MAX
            await good.send_all(write(1, 0, PAGE) + request(Command.READ, 2, 0, 4096))
            answers = parse_replies(await receive(good, 16 + 16 + 4096), {2: 4096})
            assert answers == {1: Errno.NONE, 2: PAGE}
            await trio.testing.wait_all_tasks_blocked()
            assert server.statistics.requests_total["READ"] == served + 1
            nursery.cancel_scope.cancel()


async def test_a_long_write_is_served_in_turns_with_another_client(tmp_path: Path) -> None:
    """Its payload comes in 64 pieces: what another says in between is not left to the end."""
    async with (
        running(tmp_path) as server,
        await server.join() as long,
        await server.join() as good,
    ):
        payload = bytes(16 << 20)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(long.send_all, write(1, 0, payload))
            while server.pager.calls["put"] < 3:
                await trio.lowlevel.checkpoint()
            await good.send_all(request(Command.READ, 2, 0, 4096))
            await receive(good, 16 + 4096)
            assert server.pager.calls["put"] < len(payload) // RECEIVE_BYTES
        assert parse_replies(await receive(long, 16), {}) == {1: Errno.NONE}


async def test_a_long_trim_lets_others_have_their_turn(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        await server.join() as long,
        await server.join() as good,
    ):
        key = (EXPORT.pool, EXPORT.object_id)
        server.pager.pages = {(*key, index): PAGE for index in range(EXPORT.size // 4096)}
        await good.send_all(request(Command.READ, 2, EXPORT.size - 4096, 4096))
        await long.send_all(request(Command.TRIM, 1, 0, EXPORT.size))
        # 16 slices: the read is served after the first of them, and finds what the last will drop.
        answer = parse_replies(await receive(good, 16 + 4096), {2: 4096})
        assert answer == {2: PAGE}
        assert parse_replies(await receive(long, 16), {}) == {1: Errno.NONE}
        assert not server.pager.pages


async def test_late_replies_of_several_clients_leave_with_one_pass(tmp_path: Path) -> None:
    """Without any task of theirs: the pass that completed them sends them."""
    async with running(tmp_path) as server, await server.join() as one, await server.join() as two:
        server.pager.is_delaying = True
        for client in (one, two):
            await client.send_all(
                request(Command.READ, 1, 0, 4096) + request(Command.READ, 2, 0, 4096)
            )
        while len(server.pager.delayed) != 4:
            await trio.testing.wait_all_tasks_blocked()
        sent_before = server.statistics.sent_bytes_total
        server.pager.release()
        # No await in between: it is sent already.
        assert server.statistics.sent_bytes_total == sent_before + 4 * (16 + 4096)
        for client in (one, two):
            answers = parse_replies(await receive(client, 2 * (16 + 4096)), {1: 4096, 2: 4096})
            assert answers == {1: bytes(4096), 2: bytes(4096)}


async def test_a_late_reply_to_a_client_that_is_gone_ends_nobody_else(tmp_path: Path) -> None:
    async with running(tmp_path) as server, await server.join() as good:
        server.pager.is_delaying = True
        gone = await server.join()
        await gone.send_all(request(Command.READ, 1, 0, 4096))
        await good.send_all(request(Command.READ, 1, 0, 4096))
        while len(server.pager.delayed) != 2:
            await trio.testing.wait_all_tasks_blocked()
        # Closed, and released before the server's task has seen it.
        gone.socket.close()
        server.pager.release()
        await receive(good, 16 + 4096)
        await server.wait_connections(1)


async def test_idle_clients_hold_no_receive_buffer(tmp_path: Path) -> None:
    """One that is shared serves them all, whatever part of a request each of them has sent."""
    async with running(tmp_path, connections_max=50) as server:
        clients = [await server.join() for _ in range(50)]
        said = write(1, 0, PAGE)
        for client in clients:
            await client.send_all(said[:1000])
        while server.statistics.received_bytes_total < 50 * 1000:
            await trio.testing.wait_all_tasks_blocked()
        assert spare_bytes(server.server._clients.buffers) == RECEIVE_BYTES
        for client in clients:
            await client.send_all(said[1000:])
            assert parse_replies(await receive(client, 16), {}) == {1: Errno.NONE}
            await client.aclose()
