"""The benchmarks run, and leave nothing behind.  Their figures are no business of a test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page_writer
from benchmarks.pages import PAGE_BYTES
from benchmarks.processes import EXPORT, MIB, Node, cluster
from ramsterd.client.nbd import NbdClient

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system


def run_quick(*names: str, temp_dir: Path) -> str:
    """Run benchmarks as `make bench` does, and return what they print."""
    only = [word for name in names for word in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *only],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temp_dir)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_store_and_memory_print_their_figures_and_leave_no_file(sockets: Path) -> None:
    printed = run_quick("store", "memory", temp_dir=sockets)
    for phrase in (
        "machine: ",
        "put, runs of 32",
        "get, runs of 32",
        "metadata of a page, local",
        "metadata of a page, remote",
        "metadata of a page, foreign",
        "density of the arena at rest",
        "RSS over budget",
    ):
        assert phrase in printed
    assert not list(sockets.iterdir())


def test_no_pass_is_long_and_no_tables_are_left_behind(sockets: Path) -> None:
    printed = run_quick("passes", temp_dir=sockets)
    assert "flush what is owed, with the link again, holder" in printed
    assert "memory of both with 0 pages" in printed
    assert ", rows 0.0, entries 0.0" in printed


def test_clients_that_came_and_went_leave_no_memory_behind(sockets: Path) -> None:
    """Bytes are no seconds: the same on every machine, and what one kind of client left behind were hundreds of MiB."""
    printed = run_quick("client_ends", temp_dir=sockets)
    judged = [line for line in printed.splitlines() if "bar at most" in line]
    assert len(judged) == 3
    assert all(line.endswith(": reached") for line in judged), printed
    assert not list(sockets.iterdir())


def test_pages_of_real_files_are_where_they_were_written(
    sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_writer, "PAGES", 256)
    page_writer.corpus.cache_clear()
    size = 4 * MIB
    with cluster(sockets, [Node(1, 4 * size, size)]) as (daemon,):
        page_writer.fill(daemon.uri, size)
        with NbdClient.connect(daemon.nbd_socket, EXPORT) as client:
            for place in range(0, size, 32 * PAGE_BYTES):
                _, pages = page_writer.pieces_of(place, 32 * PAGE_BYTES)
                assert client.read(place, len(pages)) == pages
        written = page_writer.run(
            daemon.uri, size, request_bytes=PAGE_BYTES, depth=8, seconds=0.05, is_random=True
        )
        requests = daemon.status()["engine"]["store"]["put_pages_total"]
    assert written.pages == written.requests
    assert requests == size // PAGE_BYTES + written.pages
    page_writer.corpus.cache_clear()
