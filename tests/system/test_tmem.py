"""Programs at the tmem socket of real daemons: what comes back, and what bad ones can't do."""

import contextlib
import os
import pwd
import random
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from net.frame import HEADER_BYTES, encode_header
from ramsterd.client import (
    PAGE_BYTES,
    AsyncClient,
    Client,
    NotAllowed,
    NotConnected,
    PoolFull,
    PoolGone,
    PoolKind,
)
from ramsterd.client.protocol import ClientProtocol
from ramsterd.client.requests import hello_request, new_pool_request
from ramsterd.frontends.tmem.messages import PageState, TmemType, encode_frame, place
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.helpers.requirements import require_root
from tests.system.tmem_daemons import DaemonProcess, tmem_cluster, wait_for

pytestmark = pytest.mark.system

MIB = 1 << 20
RUN_PAGES = 64


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="tm") as path:
        yield Path(path)


@pytest.fixture
def daemon(folder: Path) -> Iterator[DaemonProcess]:
    with tmem_cluster(folder) as (daemon,):
        yield daemon


def half_random(rng: random.Random, pages: int) -> bytes:
    """Return pages that shrink to about a half."""
    return b"".join(rng.randbytes(PAGE_BYTES // 2) + bytes(PAGE_BYTES // 2) for _ in range(pages))


def raw_connection(daemon: DaemonProcess) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(daemon.tmem))
    return sock


def greeted(daemon: DaemonProcess) -> socket.socket:
    """Return a raw connection after HELLO."""
    sock = raw_connection(daemon)
    sock.sendall(ClientProtocol().begin(hello_request("raw")))
    assert sock.recv(4096)
    return sock


def assert_ended_by_daemon(sock: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(1 << 16):
            pass
    sock.close()


# Often enough to be held up by whatever holds up the daemon; all the time would be a core for nothing.
PAUSE_SECONDS = 0.02


class Good:
    """Another program, which puts and gets as long as a bad one is there."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.rounds = 0
        self.failure: BaseException | None = None
        # The most that the daemon had beyond what it had at the start.
        self.grown_bytes_max = 0
        self._daemon = daemon
        self._before = daemon.resident_bytes()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def _go_on(self) -> None:
        rng = random.Random(1)
        try:
            with Client(self._daemon.tmem, name="good", silence_seconds_max=20) as client:
                pool = client.new_pool(PoolKind.PERSISTENT)
                while not self._is_over.is_set():
                    data = half_random(rng, 100)
                    assert pool.put(b"good", 0, data) == 100
                    assert b"".join(page or b"" for page in pool.get(b"good", 0, 100)) == data
                    grown = self._daemon.resident_bytes() - self._before
                    self.grown_bytes_max = max(self.grown_bytes_max, grown)
                    self.rounds += 1
                    self._is_over.wait(PAUSE_SECONDS)
        except BaseException as error:
            self.failure = error

    def start(self) -> None:
        self._thread.start()
        self.wait_rounds()

    def wait_rounds(self) -> None:
        """Wait for two more rounds: the second began after this was called."""
        enough = self.rounds + 2
        wait_for(lambda: self.rounds >= enough or self.failure, self._daemon.log)
        assert self.failure is None, self.failure

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()


@contextlib.contextmanager
def nobody_else_notices(daemon: DaemonProcess, *, bytes_max: int = 24 * MIB) -> Iterator[Good]:
    """Let another program put and get before, during and after; memory and connections stay in bounds."""
    good = Good(daemon)
    good.start()
    try:
        yield good
        wait_for(lambda: daemon.ask("status")["tmem"]["connections"] == 1, daemon.log)
        good.wait_rounds()
    finally:
        good.stop()
    assert good.grown_bytes_max < bytes_max
    assert "Traceback" not in daemon.log()


def test_pages_of_both_kinds_come_back_through_both_clients(daemon: DaemonProcess) -> None:
    data = half_random(random.Random(2), 200)

    async def look() -> None:
        async with AsyncClient(daemon.tmem) as client:
            pool = await client.new_pool(PoolKind.PERSISTENT, name="shared")
            assert pool.pages_at_open == 200
            buffer = bytearray(len(data))
            assert await pool.get_into(b"o", 7, buffer) == []
            assert buffer == data
            assert await pool.get_into(b"o", 6, buffer) == [6]
            assert await pool.flush(b"o", 7, 1 << 40) == 200
            with pytest.raises(ValueError, match="no run"):
                await pool.get(b"o", -1)

    with Client(daemon.tmem) as client:
        assert client.user == os.geteuid()
        pool = client.new_pool(PoolKind.PERSISTENT, name="shared")
        assert pool.put(b"o", 7, data) == 200
        trio.run(look)
        assert pool.get(b"o", 7) == [None]
        cache = client.new_pool(PoolKind.EPHEMERAL, exclusive_gets=True)
        assert (
            cache.put_many((bytes([number]), 0, data[:PAGE_BYTES]) for number in range(100)) == 100
        )
        assert cache.get(bytes([5]), 0) == [data[:PAGE_BYTES]]
        assert cache.get(bytes([5]), 0) == [None]
        (row,) = [row for row in daemon.ask("pools") if row["kind"] == "ephemeral"]
        assert (row["name"], row["pages"], row["objects"]) == ("", 99, 99)
        assert cache.destroy() == 99
        with pytest.raises(PoolGone):
            cache.get(bytes([5]), 0)


@pytest.mark.parametrize(
    ("object_id", "index", "buffer", "error"),
    [
        (b"o", 0, b"abc", ValueError),
        (b"o", 0, b"", ValueError),
        (b"o" * 25, 0, bytes(PAGE_BYTES), ValueError),
        (b"o", -1, bytes(PAGE_BYTES), ValueError),
        (b"o", 1 << 48, bytes(PAGE_BYTES), ValueError),
        ("o", 0, bytes(PAGE_BYTES), TypeError),
        (b"o", 1.5, bytes(PAGE_BYTES), TypeError),
    ],
)
def test_a_mistake_of_the_caller_costs_no_connection(
    daemon: DaemonProcess, object_id: Any, index: Any, buffer: bytes, error: type[Exception]
) -> None:
    async def ask() -> None:
        async with AsyncClient(daemon.tmem) as client:
            pool = await client.new_pool(PoolKind.PERSISTENT)
            with pytest.raises(error):
                await pool.put(object_id, index, buffer)
            await pool.put(b"o", 0, bytes(PAGE_BYTES))

    with Client(daemon.tmem) as client:
        pool = client.new_pool(PoolKind.PERSISTENT)
        pool.put(b"o", 0, bytes(PAGE_BYTES))
        with pytest.raises(error):
            pool.put(object_id, index, buffer)
        assert pool.get(b"o", 0) == [bytes(PAGE_BYTES)]
    trio.run(ask)


def test_random_operations_of_many_programs_give_the_right_pages(daemon: DaemonProcess) -> None:
    """Eight programs, each with an oracle of its own; half of them share one connection."""

    def blocking(seed: int, failures: list[BaseException]) -> None:
        try:
            rng = random.Random(seed)
            model: dict[int, bytes] = {}
            with Client(daemon.tmem) as client:
                pool = client.new_pool(PoolKind.PERSISTENT)
                for _ in range(60):
                    index, count = rng.randrange(300), rng.randrange(1, 100)
                    match rng.randrange(5):
                        case 0 | 1:
                            data = half_random(rng, count)
                            pool.put(b"o", index, data)
                            model |= pages_by_index(index, data)
                        case 2:
                            pool.flush(b"o", index, count)
                            for each in range(index, index + count):
                                model.pop(each, None)
                        case _:
                            expected = [model.get(each) for each in range(index, index + count)]
                            assert pool.get(b"o", index, count) == expected
        except BaseException as error:
            failures.append(error)

    async def tasks() -> None:
        async with AsyncClient(daemon.tmem) as client, trio.open_nursery() as nursery:
            for seed in range(4):
                nursery.start_soon(task, client, seed)

    async def task(client: AsyncClient, seed: int) -> None:
        rng = random.Random(seed)
        pool = await client.new_pool(PoolKind.PERSISTENT)
        model: dict[int, bytes] = {}
        for _ in range(60):
            index, count = rng.randrange(300), rng.randrange(1, 100)
            if rng.randrange(2):
                data = half_random(rng, count)
                await pool.put(b"o", index, data)
                model |= pages_by_index(index, data)
            else:
                expected = [model.get(each) for each in range(index, index + count)]
                assert await pool.get(b"o", index, count) == expected

    failures: list[BaseException] = []
    threads = [threading.Thread(target=blocking, args=(seed, failures)) for seed in range(4)]
    for thread in threads:
        thread.start()
    trio.run(tasks)
    for thread in threads:
        thread.join()
    assert not failures


def pages_by_index(index: int, data: bytes) -> dict[int, bytes]:
    return {
        index + number: data[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
        for number in range(len(data) // PAGE_BYTES)
    }


def test_persistent_pools_survive_remotify(folder: Path) -> None:
    """Four times what the node may keep, and every page comes back."""
    rng = random.Random(3)
    with tmem_cluster(folder, nodes=3, budget="8MiB") as (first, *_):
        with Client(first.tmem) as client:
            pool = client.new_pool(PoolKind.PERSISTENT, name="large")
            runs = [
                half_random(rng, RUN_PAGES) for _ in range(32 * MIB * 2 // (RUN_PAGES * PAGE_BYTES))
            ]
            for number, run in enumerate(runs):
                pool.put(b"o", number * RUN_PAGES, run)
        with Client(first.tmem) as client:
            pool = client.new_pool(PoolKind.PERSISTENT, name="large")
            assert pool.pages_at_open == len(runs) * RUN_PAGES
            for number in rng.sample(range(len(runs)), len(runs)):
                buffer = bytearray(RUN_PAGES * PAGE_BYTES)
                assert pool.get_into(b"o", number * RUN_PAGES, buffer) == []
                assert buffer == runs[number]
            assert sum(each["pages"] for each in first.ask("status")["engine"]["remote"]) > 4000
            assert pool.destroy() == len(runs) * RUN_PAGES
        wait_for(lambda: not first.ask("status")["engine"]["flushes_owed"], first.log)


def test_an_ephemeral_pool_larger_than_memory_forgets_its_oldest_pages(
    daemon: DaemonProcess,
) -> None:
    rng = random.Random(4)
    with Client(daemon.tmem) as client:
        kept = client.new_pool(PoolKind.PERSISTENT)
        important = half_random(rng, 256)
        kept.put(b"o", 0, important)
        cache = client.new_pool(PoolKind.EPHEMERAL)
        runs = [half_random(rng, RUN_PAGES) for _ in range(256)]
        for number, run in enumerate(runs):
            assert cache.put(b"o", number * RUN_PAGES, run) == RUN_PAGES
        hits = 0
        for number, run in enumerate(runs):
            expected = pages_by_index(number * RUN_PAGES, run)
            for index, page in enumerate(
                cache.get(b"o", number * RUN_PAGES, RUN_PAGES), number * RUN_PAGES
            ):
                assert page is None or page == expected[index]
                hits += page is not None
        assert 2000 < hits < 12000
        assert b"".join(page or b"" for page in kept.get(b"o", 0, 256)) == important


def test_an_ephemeral_pool_larger_than_memory_is_kept_by_peers(folder: Path) -> None:
    """Gets return the last put or miss; when a holder is killed nothing errs and the rest is still there."""
    rng = random.Random(7)
    with tmem_cluster(folder, nodes=3, budget="8MiB", remote="ephemeral = true") as daemons:
        first, second, _ = daemons
        with Client(first.tmem, silence_seconds_max=20) as client:
            cache = client.new_pool(PoolKind.EPHEMERAL)
            runs = [
                half_random(rng, RUN_PAGES) for _ in range(32 * MIB // (RUN_PAGES * PAGE_BYTES))
            ]

            def put(number: int) -> None:
                assert cache.put(b"o", number * RUN_PAGES, runs[number]) == RUN_PAGES

            def count_hits() -> int:
                hits = 0
                for number in rng.sample(range(len(runs)), len(runs)):
                    pages = cache.get(b"o", number * RUN_PAGES, RUN_PAGES)
                    expected = pages_by_index(0, runs[number])
                    assert all(page in {None, expected[index]} for index, page in enumerate(pages))
                    hits += RUN_PAGES - pages.count(None)
                return hits

            for number in range(len(runs)):
                put(number)
            for number in range(0, len(runs), 5):
                runs[number] = half_random(rng, RUN_PAGES)
                put(number)
            # The node itself has room for less than 4000 of the 8192.
            assert count_hits() > 5000
            held = {each["node"]: each["pages"] for each in first.ask("status")["engine"]["remote"]}
            assert min(held.values()) > 500
            second.stop(9)
            hits = count_hits()
            assert 3000 < hits < 8192
            for number in range(0, len(runs), 7):
                put(number)
            assert count_hits() >= hits - 1000
        engine = first.ask("status")["engine"]
        assert engine["fetch"]["ephemeral_miss_pages_total"] > 500
        assert (
            engine["store"]["lost_pages_total"] == engine["fetch"]["unreachable_pages_total"] == 0
        )
        assert engine["remotify"]["ephemeral"]["stored_pages_total"] > 3000
        assert not any(daemon.log().count("Traceback") for daemon in daemons)


def test_a_full_node_without_peers_says_pool_full_and_goes_on(daemon: DaemonProcess) -> None:
    rng = random.Random(5)
    with Client(daemon.tmem) as client:
        pool = client.new_pool(PoolKind.PERSISTENT)
        stored: list[bytes] = []
        with contextlib.suppress(PoolFull):
            while True:
                run = half_random(rng, RUN_PAGES)
                pool.put(b"o", len(stored) * RUN_PAGES, run)
                stored.append(run)
        assert len(stored) > 60
        for number, run in enumerate(stored):
            assert (
                b"".join(page or b"" for page in pool.get(b"o", number * RUN_PAGES, RUN_PAGES))
                == run
            )
        assert pool.flush_object(b"o") >= len(stored) * RUN_PAGES
        assert pool.put(b"o", 0, stored[0]) == RUN_PAGES


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
def test_a_pool_is_compressed_as_its_program_says(daemon: DaemonProcess, codec: str) -> None:
    if codec == "zstd":
        pytest.importorskip("zstandard", reason="needs zstandard (ramster[zstd])")
    data = half_random(random.Random(9), 200)
    other = "lz4" if codec == "none" else "none"

    async def look() -> None:
        async with AsyncClient(daemon.tmem) as client:
            pool = await client.new_pool(PoolKind.PERSISTENT, name="packed", codec=codec)
            assert b"".join(page or b"" for page in await pool.get(b"o", 0, 200)) == data
            with pytest.raises(NotAllowed, match=f"'packed' has codec {codec}"):
                await client.new_pool(PoolKind.PERSISTENT, name="packed", codec=other)
            with pytest.raises(ValueError, match="no codec 'gif'"):
                await client.new_pool(PoolKind.PERSISTENT, codec="gif")

    with Client(daemon.tmem) as client:
        pool = client.new_pool(PoolKind.PERSISTENT, name="packed", codec=codec)
        before = daemon.ask("status")["engine"]["store"]["put_raw_pages_total"]
        assert pool.put(b"o", 0, data) == 200
        raw = daemon.ask("status")["engine"]["store"]["put_raw_pages_total"] - before
        assert raw == (200 if codec == "none" else 0)
        # The same connection asks again, otherwise: no number it already has lets it pass.
        with pytest.raises(NotAllowed, match=f"'packed' has codec {codec}"):
            client.new_pool(PoolKind.PERSISTENT, name="packed", codec=other)
        trio.run(look)
    (row,) = daemon.ask("pools")
    assert (row["name"], row["codec"]) == ("packed", codec)


NO_ZSTANDARD = (
    "import sys; sys.modules['zstandard'] = None; from ramsterd.cli.ramsterd import main; main()"
)


def test_a_daemon_without_zstandard_says_so_and_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.system.tmem_daemons.PROGRAM", [sys.executable, "-c", NO_ZSTANDARD])
    with tmem_cluster(folder) as (daemon,), Client(daemon.tmem) as client:
        with pytest.raises(NotAllowed, match=r"install ramster\[zstd\]"):
            client.new_pool(PoolKind.EPHEMERAL, name="packed", codec="zstd")
        assert daemon.ask("pools") == []
        client.new_pool(PoolKind.EPHEMERAL, name="packed").put(b"o", 0, bytes(PAGE_BYTES))


def test_a_named_pool_is_found_again_and_a_private_one_is_not(daemon: DaemonProcess) -> None:
    page = b"x" * PAGE_BYTES
    with Client(daemon.tmem) as client:
        client.new_pool(PoolKind.PERSISTENT, name="kept").put(b"o", 0, page)
        client.new_pool(PoolKind.PERSISTENT).put(b"o", 0, page)
        with pytest.raises(NotAllowed, match="is persistent"):
            client.new_pool(PoolKind.EPHEMERAL, name="kept")
    wait_for(lambda: [row["name"] for row in daemon.ask("pools")] == ["kept"], daemon.log)
    with Client(daemon.tmem) as client:
        assert client.new_pool(PoolKind.PERSISTENT, name="kept").get(b"o", 0) == [page]


def test_when_the_daemon_dies_all_that_was_outstanding_says_not_connected(
    daemon: DaemonProcess,
) -> None:
    outcomes: list[str] = []

    async def ask(client: AsyncClient) -> None:
        pool = await client.new_pool(PoolKind.PERSISTENT)
        for _ in range(2):
            try:
                while True:
                    await pool.put(b"o", 0, b"y" * PAGE_BYTES * 32)
            except NotConnected:
                outcomes.append("not connected")

    async def many() -> None:
        async with AsyncClient(daemon.tmem) as client, trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask, client)
            await trio.sleep(0.2)
            daemon.stop(9)

    with Client(daemon.tmem) as client:
        pool = client.new_pool(PoolKind.PERSISTENT)
        trio.run(many)
        assert outcomes == ["not connected"] * 20
        for _ in range(2):
            with pytest.raises(NotConnected):
                pool.put(b"o", 0, bytes(PAGE_BYTES))
        assert not client.is_connected
    with pytest.raises(NotConnected, match="no daemon at"):
        Client(daemon.tmem)
    daemon.control.unlink()
    daemon.start()
    with Client(daemon.tmem) as client:
        client.new_pool(PoolKind.PERSISTENT).put(b"o", 0, bytes(PAGE_BYTES))


def test_a_cancelled_call_leaves_the_connection_usable(daemon: DaemonProcess) -> None:
    async def cancel_some() -> None:
        rng = random.Random(6)
        async with AsyncClient(daemon.tmem) as client:
            pool = await client.new_pool(PoolKind.PERSISTENT)
            data = half_random(rng, 256)
            await pool.put(b"o", 0, data)
            for _ in range(100):
                buffer = bytearray(b"\x55" * len(data))
                with trio.move_on_after(rng.random() * 0.01) as scope:
                    await pool.get_into(b"o", 0, buffer)
                    await pool.put(b"o", 0, data)
                if scope.cancelled_caught:
                    seen = bytes(buffer)
                    await trio.lowlevel.checkpoint()
                    assert buffer == seen, "nobody writes into it any more"
            assert b"".join(page or b"" for page in await pool.get(b"o", 0, 256)) == data

    trio.run(cancel_some)


# Who may.


def test_a_user_whom_the_config_does_not_name_is_turned_away(folder: Path) -> None:
    with tmem_cluster(folder, tmem=f"users = [{os.geteuid() + 1}]") as (daemon,):
        with pytest.raises(NotAllowed, match="is not in"):
            Client(daemon.tmem)

        async def connect() -> None:
            async with AsyncClient(daemon.tmem):
                raise AssertionError("not to be reached")

        with pytest.raises(NotAllowed, match="is not in"):
            trio.run(connect)
        assert daemon.ask("status")["tmem"]["refused_connections_total"] == 2


@contextlib.contextmanager
def as_user(user: pwd.struct_passwd) -> Iterator[None]:
    """Be somebody else for the kernel, who notes that at connect."""
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.root
def test_another_user_is_who_the_kernel_says_and_has_pools_of_its_own(folder: Path) -> None:
    require_root()
    other = pwd.getpwnam("nobody")
    page, theirs = b"o" * PAGE_BYTES, b"t" * PAGE_BYTES
    tmem = f"users = [0, {other.pw_uid}]\nuser_pages_max = 2\npool_pages_max = 2"
    with tmem_cluster(folder, tmem=tmem) as (daemon,), Client(daemon.tmem) as client:
        ours = client.new_pool(PoolKind.PERSISTENT, name="same")
        ours.put(b"o", 0, page * 2)
        folder.chmod(0o755)
        with as_user(other), pytest.raises(NotConnected, match="Permission denied"):
            Client(daemon.tmem)
        os.chown(daemon.tmem, 0, other.pw_gid)
        with as_user(other):
            another = Client(daemon.tmem)
        with another:
            assert (client.user, another.user) == (0, other.pw_uid)
            pool = another.new_pool(PoolKind.PERSISTENT, name="same")
            assert pool.get(b"o", 0, 2) == [None, None]
            assert pool.put(b"o", 0, theirs * 2) == 2
            for each in (ours, pool):
                with pytest.raises(PoolFull, match="may have 2 pages"):
                    each.put(b"o", 2, page)
            pool.destroy()
        assert ours.get(b"o", 0, 2) == [page] * 2


@pytest.mark.root
def test_another_user_is_turned_away_though_its_group_may_connect(folder: Path) -> None:
    require_root()
    other = pwd.getpwnam("nobody")
    with tmem_cluster(folder) as (daemon,):
        folder.chmod(0o755)
        os.chown(daemon.tmem, 0, other.pw_gid)
        refused = pytest.raises(NotAllowed, match=f"user {other.pw_uid} is not in")
        with as_user(other), refused:
            Client(daemon.tmem)


def test_connections_are_bounded(folder: Path) -> None:
    with tmem_cluster(folder, tmem="connections_max = 2") as (daemon,):
        refused = pytest.raises(NotConnected, match="2 connections already")
        with Client(daemon.tmem), Client(daemon.tmem), refused:
            Client(daemon.tmem)
        wait_for(lambda: daemon.ask("status")["tmem"]["connections"] == 0, daemon.log)
        Client(daemon.tmem).close()


def test_quotas_of_the_config_hold(folder: Path) -> None:
    tmem = (
        "pool_pages_max = 100\nuser_pages_max = 150\npools_per_user_max = 2\nuser_objects_max = 50"
    )
    with tmem_cluster(folder, tmem=tmem) as (daemon,), Client(daemon.tmem) as client:
        first, second = (client.new_pool(PoolKind.PERSISTENT) for _ in range(2))
        with pytest.raises(NotAllowed, match="2 pools already"):
            client.new_pool(PoolKind.PERSISTENT)
        first.put(b"o", 0, bytes(100 * PAGE_BYTES))
        with pytest.raises(PoolFull, match="a pool may have 100"):
            first.put(b"o", 100, bytes(PAGE_BYTES))
        with pytest.raises(PoolFull, match="a user may have 150"):
            second.put(b"o", 0, bytes(64 * PAGE_BYTES))
        first.destroy()
        second.flush_object(b"o")
        second.put_many((bytes([number]), 0, bytes(PAGE_BYTES)) for number in range(50))
        with pytest.raises(PoolFull, match="a user may have 50 objects"):
            second.put(b"one more", 0, bytes(PAGE_BYTES))


# Bad clients of the issue.


def test_garbage_ends_its_connection(daemon: DaemonProcess) -> None:
    rng = random.Random(7)
    with nobody_else_notices(daemon):
        for connect in (raw_connection, greeted) * 20:
            sock = connect(daemon)
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(rng.randbytes(rng.randrange(20, 200_000)))
            assert_ended_by_daemon(sock)
    wait_for(lambda: "broke the protocol" in daemon.log())


def test_half_a_frame_waits_and_ends_with_its_connection(daemon: DaemonProcess) -> None:
    # Each may make the daemon keep one frame: a decoder of 1 MiB.
    with nobody_else_notices(daemon, bytes_max=(24 + 20) * MIB) as good:
        head = encode_frame(TmemType.PUT, 5, place(1, b"o"), count=128, body_bytes=128 * PAGE_BYTES)
        halves = [greeted(daemon) for _ in range(20)]
        for number, sock in enumerate(halves):
            sock.sendall((head + bytes(128 * PAGE_BYTES))[: 3 + number * 25_000])
        good.wait_rounds()
        assert daemon.ask("status")["tmem"]["connections"] == 21
        for sock in halves:
            sock.close()


def test_a_length_of_4_gib_is_refused_unread(daemon: DaemonProcess) -> None:
    with nobody_else_notices(daemon):
        for table_bytes, body_bytes in ((37, 0xFFFF_F000), (0xFFFF_FFFF, 0)):
            sock = greeted(daemon)
            sock.sendall(
                encode_header(
                    TmemType.PUT,
                    request_id=1,
                    count=1,
                    table_bytes=table_bytes,
                    body_bytes=body_bytes,
                )
            )
            assert_ended_by_daemon(sock)
    wait_for(lambda: "body bytes 4294963200" in daemon.log())


def test_a_pool_id_of_someone_else_names_nothing(daemon: DaemonProcess) -> None:
    with nobody_else_notices(daemon) as good, Client(daemon.tmem) as bad:
        mine = bad.new_pool(PoolKind.PERSISTENT)
        good.wait_rounds()
        for number in (0, 2, 3, 1000, 0xFFFF_FFFF):
            mine._number = number
            for attempt in (
                lambda: mine.get(b"good", 0),
                lambda: mine.put(b"good", 0, bytes(PAGE_BYTES)),
                lambda: mine.flush(b"good", 0, 100),
                lambda: mine.flush_object(b"good"),
                mine.destroy,
            ):
                with pytest.raises(PoolGone):
                    attempt()


def test_10000_gets_outstanding_without_reading_wait_in_bounded_memory(
    daemon: DaemonProcess,
) -> None:
    """Ten such clients cost 3 MiB each at most; one that reads at last gets every page that it asked for."""
    data = half_random(random.Random(8), 128)
    # Unread requests and unsent replies; what waits for a peer would be 2 MiB more.
    bytes_max = (24 + 10 * 3) * MIB
    with nobody_else_notices(daemon, bytes_max=bytes_max) as good, contextlib.ExitStack() as stack:
        bad = [stack.enter_context(greeted(daemon)) for _ in range(10)]
        rests = [ask_10000_times(sock, data) for sock in bad]
        good.wait_rounds()
        status = daemon.ask("status")["tmem"]
        assert status["connections"] == 11
        # A reply has 512 KiB, so no more than a few can be served for each.
        assert status["requests_total"]["GET"] - 4 * good.rounds < 100
        for number in range(1, READ_LATE + 1):
            header = receive_exactly(bad[0], HEADER_BYTES)
            *_, count, request_id, table_bytes, body_bytes = struct.unpack("<HBBBBHIII", header)
            assert (count, request_id) == (128, number)
            assert receive_exactly(bad[0], table_bytes) == bytes([PageState.PAGE]) * 128
            assert receive_exactly(bad[0], body_bytes) == data
        assert rests[1], "more than what the sockets hold was still to be sent"
    # Leaving the block closed them all.


READ_LATE = 200


def ask_10000_times(sock: socket.socket, data: bytes) -> bytes:
    """Put 128 pages and ask for them 10,000 times without reading; return what the socket did not take."""
    protocol = ClientProtocol()
    sock.sendall(protocol.begin(new_pool_request(PoolKind.PERSISTENT, "", is_exclusive=False)))
    assert sock.recv(4096)
    table = place(1, b"o")
    sock.sendall(encode_frame(TmemType.PUT, 9, table, count=128, body_bytes=len(data)) + data)
    assert sock.recv(4096)
    requests = b"".join(
        encode_frame(TmemType.GET, 1 + number, table, count=128) for number in range(10_000)
    )
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while requests:
            sent = sock.send(requests[:65536])
            requests = requests[sent:]
    sock.settimeout(20)
    return requests


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        some = sock.recv(count - len(data))
        assert some, "the daemon closed the connection"
        data += some
    return bytes(data)


@pytest.mark.timeout(180)
def test_a_program_that_says_nothing_is_let_go(daemon: DaemonProcess) -> None:
    with nobody_else_notices(daemon):
        sock = raw_connection(daemon)
        assert_ended_by_daemon(sock)
    wait_for(lambda: "said no HELLO in time" in daemon.log())


def test_ramsterctl_shows_pools(daemon: DaemonProcess) -> None:
    with Client(daemon.tmem) as client:
        client.new_pool(PoolKind.PERSISTENT, name="build-cache").put(b"o", 0, bytes(PAGE_BYTES))
        shown = run_program(
            [*RAMSTERCTL, "--socket", str(daemon.control), "pools"],
            capture_output=True, check=True, env=environment(),
        ).stdout  # fmt: skip
    assert "build-cache" in shown
    assert "persistent" in shown
