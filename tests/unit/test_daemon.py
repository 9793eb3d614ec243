"""The daemon in this process, alone in its cluster: what it opens, in which order it stops, and why it can't start."""

import gc
import json
import logging
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from config.model import (
    ClusterConfig,
    ControlConfig,
    DaemonConfig,
    ExportConfig,
    MemoryConfig,
    NbdConfig,
    NodeConfig,
    TmemConfig,
)
from nodemanager.ids import Incarnation
from ramsterd.cli.ask import send_command
from ramsterd.client.nbd import NbdClient
from ramsterd.daemon import Daemon
from ramsterd.endpoints.opening import CannotServe, leaves
from ramsterd.handover.arrival import Arrival
from ramsterd.kept.keepers.keeper import Keeper, ProcessKeeper
from ramsterd.observe.observers import Observer
from ramsterd.reconfigure.node_files import NodeFiles
from ramsterd.restart.departure import Departure
from ramsterd.statefile.marks import MarkState
from ramsterd.statefile.start import open_state
from tests.fakes.quiet_log import QuietLog
from tests.helpers.node_memories import make_node_memory

MIB = 1 << 20
PAGE = b"p" * 4096
# The kernel chooses the port: nobody else is in the cluster.
NODE = NodeConfig(number=1, name="alpha", address="127.0.0.1", port=0)


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The daemon makes the collector of its process look seldom."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)


def make_daemon(
    folder: Path, *, keeper: Keeper | None = None, arrival: Arrival | None = None
) -> Daemon:
    config = DaemonConfig(
        node=NODE.name,
        cluster=folder / "cluster.toml",
        memory=MemoryConfig(budget=8 * MIB, budget_max=8 * MIB, pages_max=1 << 14),
        export=(ExportConfig(name="disk", size=MIB),),
        nbd=NbdConfig(socket=folder / "nbd"),
        tmem=TmemConfig(socket=folder / "tmem"),
        control=ControlConfig(socket=folder / "control"),
    )
    return Daemon(
        config,
        ClusterConfig(name="lab", node=(NODE,)),
        NODE,
        memory=make_node_memory(config.memory, Incarnation(7), keeper),
        rng=random.Random(0),
        environ={},
        log=QuietLog(),
        files=NodeFiles(folder / "ramsterd.toml", NODE),
        state=open_state(None, file="test", started_at=1),
        clock_milliseconds=lambda: 1,
        check_start=no_problem,
        arrival=arrival,
    )


async def no_problem(_places: Sequence[tuple[str, int]]) -> str:
    return ""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@asynccontextmanager
async def running(daemon: Daemon, folder: Path) -> AsyncIterator[None]:
    """Run it until the end of the block, and see that it stops by itself."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.run)
            while "control" not in names_in(folder):  # noqa: ASYNC110  the last that it opens
                await trio.sleep(0.01)
            yield
            daemon._stop.set()


async def test_it_serves_what_the_files_say_and_leaves_nothing(tmp_path: Path) -> None:
    daemon = make_daemon(tmp_path)
    async with running(daemon, tmp_path):
        assert names_in(tmp_path) == ["control", "nbd", "tmem"]
        now = daemon.statistics()
        assert (now.node, now.number, now.incarnation, now.cluster) == ("alpha", 1, 7, "lab")
        assert [(each.name, each.pages) for each in now.exports] == [("disk", 0)]
    assert names_in(tmp_path) == []


async def test_what_its_own_pages_were_is_said_before_it_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ramster")
    daemon = make_daemon(tmp_path)

    def write() -> None:
        with NbdClient.connect(tmp_path / "nbd", "disk") as client:
            client.write(0, PAGE)

    async with running(daemon, tmp_path):
        await trio.to_thread.run_sync(write)
        assert daemon.statistics().exports[0].pages == 1
    told = [record.getMessage() for record in caplog.records if record.name == "ramster.daemon"]
    assert "alpha" in told[0], "it serves"
    [place] = [place for place, text in enumerate(told) if "1 page" in text]
    assert 0 < place < len(told) - 1
    assert "stopped" in told[-1]


async def test_whatever_happens_is_a_sign_that_a_new_snapshot_has_something_to_show(
    tmp_path: Path,
) -> None:
    daemon = make_daemon(tmp_path)

    def write() -> None:
        with NbdClient.connect(tmp_path / "nbd", "disk") as client:
            client.write(0, PAGE)

    async with running(daemon, tmp_path):
        before = daemon._sources.signs_of_change()
        assert daemon._sources.signs_of_change() == before
        await trio.to_thread.run_sync(write)
        after_write = daemon._sources.signs_of_change()
        assert after_write != before
        daemon.engine.set_budget(4 * MIB, now=trio.current_time())
        assert daemon._sources.signs_of_change() != after_write


async def test_a_socket_that_is_taken_is_why_it_can_not_serve(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "nbd"))
        taken.listen()
        with pytest.raises(ExceptionGroup) as group:
            await make_daemon(tmp_path).run()
    [cannot] = list(leaves(group.value))
    assert isinstance(cannot, CannotServe)
    assert "NBD" in str(cannot)
    assert str(tmp_path / "nbd") in str(cannot)
    assert not cannot.is_in_the_files


async def restarted(
    daemon: Daemon, folder: Path, client: NbdClient | None = None
) -> tuple[Departure, NbdClient]:
    """Have a client write a page, and an operator restart the daemon."""
    departures: list[Departure | None] = []

    async def run() -> None:
        departures.append(await daemon.run())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        while "control" not in names_in(folder):  # noqa: ASYNC110
            await trio.sleep(0.01)
        if client is None:
            client = await trio.to_thread.run_sync(NbdClient.connect, folder / "nbd", "disk")
        await trio.to_thread.run_sync(client.write, 0, PAGE)
        for state in ("checking", "restarting"):
            await trio.testing.wait_all_tasks_blocked(0.01)
            line = await trio.to_thread.run_sync(send_command, folder / "control", "restart")
            assert json.loads(line)["result"]["state"] == state
    (departure,) = departures
    assert departure is not None
    assert departure.is_replacing
    assert departure.parting.connections == 1
    assert names_in(folder) == ["control", "nbd", "tmem"], "the next process listens there"
    return departure, client


def next_daemon(daemon: Daemon, departure: Departure, folder: Path) -> Daemon:
    """Become the next program of the process."""
    daemon._memory.end()
    return make_daemon(
        folder,
        keeper=ProcessKeeper([(name, os.dup(number)) for name, number in departure.inherited]),
        arrival=Arrival(departure.parting.seal(is_stored=False)),
    )


async def test_clients_go_on_in_each_next_program_with_their_pages(tmp_path: Path) -> None:
    first = daemon = make_daemon(tmp_path)
    client: NbdClient | None = None
    for attaches in (1, 2, 3):
        departure, client = await restarted(daemon, tmp_path, client)
        daemon = next_daemon(daemon, departure, tmp_path)
        assert not daemon.statistics().memory.given_up
        assert daemon.engine.incarnation == first.engine.incarnation
        assert daemon.engine.attach_count == attaches
    assert client is not None
    async with running(daemon, tmp_path):
        assert await trio.to_thread.run_sync(client.read, 0, len(PAGE)) == PAGE
        assert daemon.statistics().handover.connections_total == 1
        assert daemon.statistics().memory.adopted_pages == 1
        assert daemon.statistics().exports[0].state is MarkState.USED
    client._sock.close()


async def test_clients_are_disconnected_when_their_pages_are_not_here(tmp_path: Path) -> None:
    departure, client = await restarted(make_daemon(tmp_path), tmp_path)
    # It takes the listening sockets.
    after = make_daemon(tmp_path, arrival=Arrival(departure.parting.seal(is_stored=False)))
    async with running(after, tmp_path):
        assert client._sock.recv(9) == b""
        await trio.testing.wait_all_tasks_blocked(0.01)
        handover = after.statistics().handover
        assert (handover.connections_total, handover.dropped_connections_total) == (0, 1)
    client._sock.close()
    assert names_in(tmp_path) == []


async def test_a_defect_of_what_only_looks_ends_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise RuntimeError("a mistake in ramsterd")

    def fail_at_last() -> None:
        raise RuntimeError("another one")

    daemon = make_daemon(tmp_path)
    for each in (daemon._health, daemon._jobs, daemon._disk, daemon._news, daemon._comparing):
        monkeypatch.setattr(each, "run", fail)
    monkeypatch.setattr(daemon._news, "tell_last", fail_at_last)

    def write_and_read() -> bytes:
        with NbdClient.connect(tmp_path / "nbd", "disk") as client:
            client.write(0, PAGE)
            return client.read(0, len(PAGE))

    async with running(daemon, tmp_path):
        assert await trio.to_thread.run_sync(write_and_read) == PAGE
        faults = dict(daemon.statistics().observers.faults_total)
    assert faults == dict.fromkeys(Observer, 1) | {Observer.CERTIFICATE: 0}, "there is none"
    assert daemon._observers.statistics().faults_total[Observer.NEWS] == 2, "it stops in order"
