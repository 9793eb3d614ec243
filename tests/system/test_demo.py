"""The demo as an operator runs it: a process of its own, with real daemons below it."""

import os
import random
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SOURCE = Path(__file__).resolve().parents[2]
TREE_BYTES = 24 << 20


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that compress by about a half, more than the least budget that a daemon accepts has room for."""
    folder = tmp_path_factory.mktemp("tree")
    rng = random.Random(4711)
    for number in range(TREE_BYTES >> 18):
        noise = b"".join(rng.randbytes(64) + bytes(64) for _ in range(1 << 11))
        (folder / f"file{number}").write_bytes(noise)
    return folder


@pytest.fixture
def folder(sockets: Path) -> Iterator[Path]:
    """The demo's TMPDIR; in the end no process of ours names it and nothing is in it."""
    yield sockets
    assert list(sockets.iterdir()) == []
    assert processes_that_name(sockets) == []


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        environ = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(SOURCE)}
        process = subprocess.Popen(
            [sys.executable, "-m", "ramsterd.demo", *arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()  # it ends its daemons
        process.communicate()


def processes_that_name(folder: Path) -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue  # ended meanwhile
        if os.fsencode(folder) in line:
            lines.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return lines


def wait_for_line(process: subprocess.Popen[str], start: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return
    pytest.fail(f"ended without a line {start!r}")


def test_all_that_it_claims_holds(tree: Path, start: Start) -> None:
    process = start("--from", str(tree), "--bytes-min", "20MiB")
    output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    assert errors == ""
    assert "FAILED" not in output
    assert re.search(r"remotified to beta +[1-9]", output)
    assert re.search(r"remotified to gamma +[1-9]", output)
    assert re.search(r"pages fetched back +[1-9]", output)
    assert re.search(r"ok +read back what was written: SHA-256 [0-9a-f]{64}\n", output)
    assert "ok      after TRIM the foreign pages are gone: 0 at beta and 0 at gamma\n" in output
    assert "\r" not in output, "no live line without a terminal"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["input", "archive", "daemons"])
def test_a_signal_leaves_nothing_behind(
    tree: Path, start: Start, moment: str, number: signal.Signals
) -> None:
    """While it measures, while daemons start, and while pages move."""
    process = start("--from", str(tree), "--bytes-min", "20MiB")
    wait_for_line(process, moment)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == f"demo: interrupted by {number.name}; no process and no file is left\n"


def test_a_daemon_that_is_killed_is_reported_with_its_log(
    tree: Path, folder: Path, start: Start
) -> None:
    process = start("--from", str(tree), "--bytes-min", "20MiB")
    wait_for_line(process, "daemons")
    (config,) = folder.glob("*/alpha.toml")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(config) in line:
            os.kill(int(path.parent.name), signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "demo: alpha: " in errors


def test_a_tree_that_is_too_small_is_one_line(tmp_path: Path, start: Start) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"x")
    process = start("--from", str(tmp_path / "tree"))
    output, errors = process.communicate()
    assert output == ""
    assert errors == (
        f"demo: found 1 files, 0.0 MiB as an archive, under {tmp_path / 'tree'}; "
        "expected at least 64 MiB\n"
    )
    assert process.returncode == 1


def test_at_a_terminal_there_is_a_live_line(tree: Path, start: Start, folder: Path) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ramsterd.demo", "--from", str(tree), "--bytes-min", "20MiB"],
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(SOURCE), "COLUMNS": "200"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    try:
        while select.select([ours], [], [], 60)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            output += part
    finally:
        os.close(ours)
        process.terminate()  # ended long ago, unless it hangs
        status = process.wait()
    assert status == 0, output.decode()
    assert re.search(rb"\r\x1b\[Kwriting +[0-9.]+ MiB of", output)
