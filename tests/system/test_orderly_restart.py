"""A real process that becomes the next one, or is followed by it, under clients that check every answer."""

import json
import random
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ramsterd.cli.ask import send_command
from ramsterd.client import Client, PoolKind
from ramsterd.frontends.nbd.protocol import Command, Errno
from tests.fakes.kept_server_process import EXPORT_BYTES, PAGE_BYTES, PAGES
from tests.fakes.nbd_words import parse_replies, request, write
from tests.fakes.service_manager import FakeServiceManager
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.helpers.requirements import SYSTEM_PYTHON, require_libnbd
from tests.system.daemons import ROOT, free_ports, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow]

SERVER = [sys.executable, "-m", "tests.fakes.kept_server"]
NAME_DISK = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 4) + b"disk"
HANDSHAKE_BYTES = 18 + 10
# Pages of one client, each with one request at a time.
DEPTH = 8


class Server:
    """The process, and ways to reach it."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        (folder / "listen").write_text(f"127.0.0.1:{self.port}")
        self._environ = {**environment(), "PYTHONPATH": str(ROOT), **environ}
        self.process = self.start()

    def start(self, **more: Any) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(
            [*SERVER, "run", "--config", str(self.folder)], env=self._environ, cwd=ROOT, **more
        )
        return self.process

    def status(self) -> Any:
        return json.loads(send_command(self.folder / "control", "status"))["result"]

    def wait_ready(self) -> None:
        # The file is there a moment before the socket accepts.
        wait_until(self._answers, "the control socket answers", seconds_max=30)

    def _answers(self) -> bool:
        try:
            self.status()
        except OSError:
            return False
        return True

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_program(
            [*RAMSTERCTL, "--socket", str(self.folder / "control"), *arguments],
            capture_output=True, text=True, env=self._environ, timeout=60, check=False,
        )  # fmt: skip


@contextmanager
def serving(folder: Path, **environ: str) -> Iterator[Server]:
    server = Server(folder, environ)
    try:
        server.wait_ready()
        yield server
    finally:
        server.process.kill()
        server.process.wait()


class Disk:
    """One client: writes versions to its own pages and reads them back; any answer but the right one fails."""

    def __init__(self, stream: trio.abc.Stream, number: int) -> None:
        self._stream = stream
        self._rng = random.Random(number)
        self._first = number * DEPTH
        self._versions = [0] * DEPTH
        self._waiting: dict[int, tuple[int, int]] = {}
        self._cookie = 0
        self._buffer = b""
        self.answers = 0
        self.slowest_seconds = 0.0
        self._is_stopping = False

    def stop(self) -> None:
        self._is_stopping = True

    async def run(self) -> None:
        async with self._stream:
            await self._run()

    async def _run(self) -> None:
        for page in range(DEPTH):
            await self._ask(page)
        while self._waiting:
            begun = trio.current_time()
            errno, cookie = struct.unpack(">4xIQ", await self._receive(16))
            self.slowest_seconds = max(self.slowest_seconds, trio.current_time() - begun)
            assert errno == 0
            page, command = self._waiting.pop(cookie)  # KeyError: answered twice
            if command == Command.READ:
                assert await self._receive(PAGE_BYTES) == self._content(page)
            self.answers += 1
            if not self._is_stopping:
                await self._ask(page)

    def _content(self, page: int) -> bytes:
        version = self._versions[page]
        return struct.pack(">QQ", self._first + page, version) * 256 if version else bytes(4096)

    async def _ask(self, page: int) -> None:
        self._cookie += 1
        offset = (self._first + page) * PAGE_BYTES
        if self._rng.random() < 0.5:
            self._versions[page] += 1
            self._waiting[self._cookie] = page, Command.WRITE
            said = write(self._cookie, offset, self._content(page))
        else:
            self._waiting[self._cookie] = page, Command.READ
            said = request(Command.READ, self._cookie, offset, PAGE_BYTES)
        await self._stream.send_all(said)

    async def _receive(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = await self._stream.receive_some(1 << 18)
            assert data, "the connection was closed"
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


async def join(server: Server, *, is_tcp: bool) -> trio.SocketStream:
    stream: trio.abc.Stream
    if is_tcp:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    else:
        stream = await trio.open_unix_socket(server.folder / "nbd")
    await stream.send_all(NAME_DISK)
    await receive(stream, HANDSHAKE_BYTES)
    assert isinstance(stream, trio.SocketStream)
    return stream


async def receive(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        some = await stream.receive_some(count - len(data))
        assert some, "the connection was closed"
        data += some
    return data


@asynccontextmanager
async def disks(server: Server, count: int) -> AsyncIterator[list[Disk]]:
    """Have clients of both kinds at work during the block; each must end well."""
    async with trio.open_nursery() as nursery:
        made = []
        for number in range(count):
            made.append(Disk(await join(server, is_tcp=bool(number % 2)), number))
            nursery.start_soon(made[-1].run)
        yield made
        for each in made:
            each.stop()


async def progress(clients: list[Disk], answers: int) -> None:
    """Wait until each client had so many more answers."""
    wanted = [client.answers + answers for client in clients]
    with trio.fail_after(60):
        while any(c.answers < w for c, w in zip(clients, wanted, strict=True)):  # noqa: ASYNC110
            await trio.sleep(0.02)


async def restart(server: Server) -> str:
    done = await trio.to_thread.run_sync(server.ctl, "restart")
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_100_clients_with_requests_in_flight_see_two_restarts_as_pauses(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as server:
        pid = server.process.pid
        async with disks(server, 100) as clients:
            for _ in range(2):
                await progress(clients, 3)
                said = await restart(server)
                assert "100 clients waited for" in said
                now = await trio.to_thread.run_sync(server.status)
                assert now["pid"] == pid
                assert now["handover"]["connections_total"] == 100
                assert now["handover"]["dropped_connections_total"] == 0
            await progress(clients, 5)
        assert server.status()["nbd"]["ended_connections_total"]["GARBAGE"] == 0


async def test_a_service_manager_that_starts_the_next_process_keeps_the_connections(
    tmp_path: Path,
) -> None:
    """Its memory is not kept here: pages are found again because nobody writes between."""
    with (
        FakeServiceManager(tmp_path, descriptors_max=300) as manager,
        serving(tmp_path, **manager.environ) as server,
    ):
        async with await join(server, is_tcp=True) as stream:
            said = request(Command.READ, 1, 0, PAGE_BYTES) + request(Command.FLUSH, 2)
            await stream.send_all(said[:20])
            server.process.send_signal(signal.SIGTERM)
            assert await trio.to_thread.run_sync(server.process.wait) == 0
            names = [name for name, _ in manager.stored]
            assert names[0] == "ramster-handover"
            assert len(names) == 6, "four listening sockets and a connection"
            await stream.send_all(said[20:])
            await trio.to_thread.run_sync(start_from, manager, server)
            answer = await receive(stream, 2 * 16 + PAGE_BYTES)
            assert parse_replies(answer, {1: PAGE_BYTES}) == {1: bytes(PAGE_BYTES), 2: 0}
            assert server.status()["handover"]["connections_total"] == 1
            wait_until(lambda: not manager.stored, "the store to be given up")


def start_from(manager: FakeServiceManager, server: Server) -> None:
    """Start the next process as systemd does, with all that is stored."""
    server.process = manager.start_process(
        [*SERVER, "run", "--config", server.folder], env=server._environ, cwd=ROOT
    )


async def test_clients_that_are_stuck_go_on_too(tmp_path: Path) -> None:
    """In the middle of a payload that is longer than a buffer, and with replies that nobody takes."""
    data = random.Random(1).randbytes(600 * 1024)
    said = write(7, 100 * PAGE_BYTES, data)
    with serving(tmp_path) as server:
        async with (
            await join(server, is_tcp=True) as stuck,
            await join(server, is_tcp=False) as silent,
        ):
            await stuck.send_all(said[: 400 * 1024 + 77])
            await silent.send_all(request(Command.READ, 1, 0, 1 << 20) * 2)
            for _ in range(2):
                assert "2 clients" in await restart(server)
            await stuck.send_all(said[400 * 1024 + 77 :])
            assert struct.unpack(">4xIQ", await receive(stuck, 16)) == (Errno.NONE, 7)
            await stuck.send_all(request(Command.READ, 8, 100 * PAGE_BYTES, len(data)))
            assert (await receive(stuck, 16 + len(data)))[16:] == data
            assert len(await receive(silent, 2 * (16 + (1 << 20)))) == 2 * (16 + (1 << 20))


def test_a_program_keeps_its_named_pool(tmp_path: Path) -> None:
    with serving(tmp_path) as server, Client(tmp_path / "tmem") as client:
        pool = client.new_pool(PoolKind.PERSISTENT, name="kept")
        pool.put(b"o", 3, b"v" * PAGE_BYTES)
        done = server.ctl("restart", "-o", "json")
        assert json.loads(done.stdout)["connections_total"] == 1
        assert pool.get(b"o", 3) == [b"v" * PAGE_BYTES]


async def test_a_start_that_would_fail_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        async with disks(server, 4) as clients:
            (tmp_path / "broken").touch()
            done = await trio.to_thread.run_sync(server.ctl, "restart")
            assert done.returncode == 1
            assert "nothing was restarted: the next start of ramsterd would fail" in done.stderr
            assert "broken" in done.stderr
            await progress(clients, 5)
            (tmp_path / "broken").unlink()
            await restart(server)
            await progress(clients, 5)


async def test_with_hardly_a_descriptor_to_spare(tmp_path: Path) -> None:
    """Half of the limit is the clients'."""
    with serving(tmp_path) as server:
        limit = 256
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        async with disks(server, limit // 2 - 30) as clients:
            await restart(server)
            await progress(clients, 2)


def test_libnbd_sees_no_error(tmp_path: Path) -> None:
    require_libnbd()
    script = """
import nbd, os, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
print("connected", flush=True)
done = 0
while not os.path.exists(sys.argv[2]):
    page = done.to_bytes(8, "big") * 512
    offset = done % 1000 * 4096
    h.pwrite(page, offset)
    assert h.pread(4096, offset) == page
    done += 1
h.shutdown()
print(done)
"""
    with serving(tmp_path) as server:
        uri = f"nbd+unix:///disk?socket={tmp_path / 'nbd'}"
        client = subprocess.Popen(
            [SYSTEM_PYTHON, "-c", script, uri, tmp_path / "enough"],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert client.stdout is not None
        assert client.stdout.readline() == b"connected\n"
        kept = [
            json.loads(server.ctl("restart", "-o", "json").stdout)["connections_total"]
            for _ in range(3)
        ]
        (tmp_path / "enough").touch()
        said, _ = client.communicate(timeout=60)
        assert client.returncode == 0
        assert kept == [1, 1, 1]
        assert int(said) > len(kept)


assert 100 * DEPTH <= PAGES
assert 100 * PAGE_BYTES + 600 * 1024 <= EXPORT_BYTES
