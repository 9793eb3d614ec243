"""Clients that share a full node: what waits, what a client that vanished leaves behind, and whom it holds up."""

import random
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ramsterd.client.nbd import NbdClient, RequestFailed
from tests.helpers.requirements import require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, wait_until

PAGE = 4096
RUN_PAGES = 32
OTHER = '[[export]]\nname = "other"\nsize = "32MiB"'


def noise(first: int, count: int, version: int = 0) -> bytes:
    """Return pages that do not shrink; each says by its bytes which one it is."""
    pages = (random.Random(index * 100 + version) for index in range(first, first + count))
    return b"".join(rng.randbytes(PAGE) for rng in pages)


def add_to(node: Node, table: str, line: str) -> None:
    """Add a line to a table of a node's config."""
    text = node.config.read_text()
    assert f"\n{table}\n" in text
    node.config.write_text(text.replace(f"\n{table}\n", f"\n{table}\n{line}\n"))


def waiting_puts(node: Node) -> int:
    waiting: int = node.status()["pager"]["waiting_puts"]
    return waiting


class InThread:
    """A call that runs beside the test."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(call,))
        self._thread.start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self.error = error

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def wait(self) -> Exception | None:
        """Wait until it is over; return what it raised."""
        self._thread.join(60)
        assert self.is_over
        return self.error


def fill_until_one_waits(node: Node, client: NbdClient, start: int = 0) -> tuple[InThread, int]:
    """Write runs of noise until one finds no room; return that write, still open, and its first page."""
    index = start
    while True:
        data = noise(index, RUN_PAGES)
        writing = InThread(lambda at=index, data=data: client.write(at * PAGE, data))  # type: ignore[misc]  # can't infer
        wait_until(
            lambda writing=writing: writing.is_over or waiting_puts(node),  # type: ignore[misc]  # can't infer
            "the write ends or waits",
        )
        if waiting_puts(node):
            return writing, index
        assert writing.error is None
        index += RUN_PAGES


@pytest.fixture
def full(new_cluster: NewCluster) -> Cluster:
    """Two nodes of 8 MiB; on the first a write waits a long time before it is refused."""
    cluster = new_cluster(budgets=["8MiB", "8MiB"], more=OTHER)
    config = cluster[1].config
    config.write_text(
        config.read_text().replace("put_wait_seconds_max = 4.0", "put_wait_seconds_max = 30.0")
    )
    cluster.start()
    return cluster


def test_writes_of_a_killed_client_never_land_over_newer_data(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    """nbdcopy is killed while its writes wait for a slow peer; then another client zeroes the disk."""
    require_tool("nbdcopy")
    cluster = new_cluster(budgets=["4MiB", "64MiB"], export="64MiB")
    add_to(cluster[2], "[remote]", 'foreign_bytes_per_second = "4MiB"')
    cluster.start()
    node = cluster[1]
    old = tmp_path / "old.img"
    old.write_bytes(random.Random(1).randbytes(64 * MIB))
    with subprocess.Popen(["nbdcopy", "--connections=1", "--", str(old), node.uri]) as copy:
        wait_until(lambda: waiting_puts(node) > 8, "writes wait")
        copy.kill()
    with node.client() as client:
        start = 4 * MIB  # more than this is not there yet, and the pages before it go on leaving
        for at in reversed(range(start, 64 * MIB, MIB)):
            client.write_zeroes(at, MIB)
        client.nbd_flush()
        wait_until(lambda: not waiting_puts(node), "nothing waits any more", seconds_max=20)
        found = b"".join(client.read_stream(start, 60 * MIB))
    stale = sum(any(found[at : at + PAGE]) for at in range(0, len(found), PAGE))
    assert not stale, f"{stale} pages of the killed client"


def test_a_discard_of_another_client_wakes_a_write_that_waits_for_room(full: Cluster) -> None:
    node = full[1]
    with node.client() as writer, node.client() as other:
        writing, index = fill_until_one_waits(node, writer)
        # The newest pages have not left for the peer: only their own memory can be what wakes the write.
        other.trim(index * PAGE - MIB, MIB)
        assert writing.wait() is None
        assert writer.read(index * PAGE, RUN_PAGES * PAGE) == noise(index, RUN_PAGES)


def test_an_overwrite_in_place_does_not_wait_behind_another_export(full: Cluster) -> None:
    node = full[1]
    with node.client("other") as other, node.client() as writer, node.client() as helper:
        # Its pages are the newest here: the oldest leave.
        writing, index = fill_until_one_waits(node, writer)
        helper.trim(index * PAGE - MIB, MIB)
        assert writing.wait() is None
        other.write(0, noise(0, 8, version=1))
        writing, index = fill_until_one_waits(node, writer, start=index + RUN_PAGES)
        other.write(0, noise(0, 8, version=2))
        assert not writing.is_over
        assert other.read(0, 8 * PAGE) == noise(0, 8, version=2)
        helper.trim(index * PAGE - MIB, MIB)
        assert writing.wait() is None


@pytest.mark.timeout(180)
def test_a_refused_overwrite_leaves_the_acknowledged_page(new_cluster: NewCluster) -> None:
    """Pages that pack are overwritten by pages that do not: there is no room, and nothing is lost by that."""
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    cluster.start()
    node = cluster[1]
    packed = b"".join(index.to_bytes(4, "big") * 1024 for index in range(64))
    shrunk = b"".join(
        packed[at : at + PAGE - 8] + b"another!" for at in range(0, len(packed), PAGE)
    )
    with node.client() as writer, node.client() as client:
        client.write(0, shrunk)
        writing, _ = fill_until_one_waits(node, writer, start=64)
        refused = 0
        for index in range(0, 64, 16):
            try:
                client.write(index * PAGE, noise(index, 16, version=3))
            except RequestFailed:
                refused += 1
                found = client.read(index * PAGE, 16 * PAGE)
                for at in range(0, len(found), PAGE):
                    start = index * PAGE + at
                    new = noise(start // PAGE, 1, version=3)
                    assert found[at : at + PAGE] in {shrunk[start : start + PAGE], new}
        assert refused
        writing.wait()
