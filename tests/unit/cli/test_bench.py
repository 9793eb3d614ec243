"""`ramsterctl bench`: what it asks for, what it prints, and how it ends; the daemon is made up, the disk is real."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.limits import PAGE_BYTES
from ramsterd.admin.bench_rows import row_of
from ramsterd.admin.latencies import Latencies
from ramsterd.cli import bench as bench_module, bench_disk as disk_module
from ramsterd.cli.bench import bench_command
from ramsterd.cli.bench_disk import CannotMeasure, bench_disk, open_unnamed
from ramsterd.cli.bench_socket import bench_socket
from ramsterd.cli.format_bench import format_bench, human_latency, verdict_of
from ramsterd.cli.target import Target

PAGES = [os.urandom(PAGE_BYTES) for _ in range(4)]
TARGET = Target(Path("socket"))


def row(kind: str, target: str, operation: str, seconds: float | None, problem: str = "") -> Any:
    latencies = Latencies()
    if seconds is not None:
        latencies.add(seconds)
    rate = None if seconds is None else 1 / seconds
    return row_of(kind, target, operation, latencies, pages_per_second=rate, problem=problem)


def reads(peer: float, path: float, way: float = 10e-6) -> list[dict[str, Any]]:
    return [
        row("peer", "beta", "read", peer),
        row("peer", "gamma", "read", 10 * peer),
        row("peer", "beta", "write", path / 1000),
        row("socket", "socket", "read", way),
        row("path", "/var/lib", "read", path),
    ]


def test_remote_memory_that_is_faster_is_worth_it() -> None:
    verdict = verdict_of(reads(90e-6, 620e-6))
    assert verdict["text"] == (
        "remote memory (beta) is 6.2 times as fast as /var/lib at reads of one page: worth it"
    )
    assert (verdict["peer"], verdict["path"], verdict["is_worth_it"]) == ("beta", "/var/lib", True)
    assert verdict["times_as_fast"] == pytest.approx(6.2)


def test_a_disk_that_is_faster_is_told_as_well() -> None:
    verdict = verdict_of(reads(190e-6, 100e-6))
    assert verdict["text"] == (
        "/var/lib is 2.0 times as fast as remote memory (beta) at reads of one page: not worth it"
    )
    assert verdict["is_worth_it"] is False
    assert "is 200 times as fast" in verdict_of(reads(200e-4 - 10e-6, 100e-6))["text"]


def test_what_a_client_pays_for_the_socket_counts() -> None:
    assert verdict_of(reads(90e-6, 100e-6, way=1e-6))["is_worth_it"] is True
    assert verdict_of(reads(90e-6, 100e-6, way=20e-6))["is_worth_it"] is False


def test_without_a_disk_or_a_peer_there_is_no_verdict() -> None:
    no_path = [each for each in reads(1e-4, 1e-3) if each["kind"] != "path"]
    assert verdict_of(no_path)["text"].startswith("no verdict: name a folder")
    no_peer = [each for each in reads(1e-4, 1e-3) if each["kind"] != "peer"]
    assert verdict_of(no_peer)["text"] == "no verdict: no peer could be measured"
    assert verdict_of([])["is_worth_it"] is None


def test_the_table_has_a_line_for_each_row_and_the_verdict() -> None:
    rows = [
        row("local", "alpha", "write", 21.4e-6),
        row("peer", "beta", "read", 0.00123456),
        row("peer", "gamma", "read", None, "no link"),
        row("peer", "delta", "read", 2.0, "refused: the peer has no room"),
        row("socket", "socket", "read", 9e-6),
    ]
    text = format_bench({"rows": rows, "verdict": {"text": "so it is"}})
    lines = text.splitlines()
    assert lines[0].split() == ["TARGET", "PAGE", "P50", "P90", "P99", "MAX", "AT", "DEPTH", "32"]
    assert lines[1].startswith(
        "alpha (here)         write    21.4 us   21.4 us   21.4 us   21.4 us"
    )
    assert "46,729 pages/s, 182.5 MiB/s" in lines[1]
    assert "1.23 ms" in lines[2]
    assert lines[3] == "gamma                read   no link"
    assert lines[4].endswith("refused: the peer has no room")
    assert lines[5].startswith("a client's socket    read")
    assert lines[-1] == "so it is"


def test_a_rate_of_nothing_is_said_in_words() -> None:
    nothing = {**row("local", "alpha", "write", 1e-4), "pages_per_second": 0.0}
    _, line, *_ = format_bench({"rows": [nothing], "verdict": {"text": ""}}).splitlines()
    assert line.endswith("no page in time")
    assert "0 B" not in line


def test_latencies_have_three_digits() -> None:
    found = [human_latency(seconds) for seconds in (None, 9.87654e-6, 999.6e-6, 0.0123456, 1.5)]
    assert found == ["-", "9.88 us", "1 ms", "12.3 ms", "1.5 s"]


# The disk.


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    try:
        with open_unnamed(tmp_path):
            return tmp_path
    except CannotMeasure as error:
        pytest.skip(f"no O_DIRECT here: {error}")


def measured(path: Path) -> list[dict[str, Any]]:
    said: list[tuple[str, int]] = []
    rows = bench_disk(
        path, PAGES, pages_count=96, seconds=0.05, say=lambda *words: said.append(words)
    )
    assert said == [("write", 1), ("write", 32), ("read", 1), ("read", 32)]
    return rows


def test_a_path_is_measured_and_nothing_stays(on_disk: Path) -> None:
    rows = measured(on_disk)
    assert [each["operation"] for each in rows] == ["write", "read"]
    for each in rows:
        assert (each["target"], each["kind"]) == (str(on_disk), "path")
        assert each["p50_seconds"] is not None
        assert each["pages_per_second"] is not None
    assert not list(on_disk.iterdir())


def test_a_file_that_is_not_there_is_a_place_too(on_disk: Path) -> None:
    measured(on_disk / "new")
    assert not list(on_disk.iterdir())


def test_a_file_system_without_files_without_a_name_is_measured_too(
    on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return real(path, flags, mode)

    monkeypatch.setattr("ramsterd.cli.bench_disk.os.open", refuse)
    with open_unnamed(on_disk):
        assert not list(on_disk.iterdir()), "it has lost its name already"


def test_a_file_that_is_there_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    (tmp_path / "broken").symlink_to("nowhere")
    for name in ("precious", "link", "broken"):
        with (
            pytest.raises(CannotMeasure, match="never overwritten"),
            open_unnamed(tmp_path / name),
        ):
            pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_memory_is_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "file_system_at", lambda _mounts, _path: "tmpfs")
    with (
        pytest.raises(CannotMeasure, match="found a tmpfs, which is memory"),
        open_unnamed(tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("number", "reason"),
    [(22, "no O_DIRECT there"), (13, "Permission denied"), (30, "Read-only file system")],
)
def test_a_folder_that_can_not_be_used_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("ramsterd.cli.bench_disk.os.open", refuse)
    with pytest.raises(CannotMeasure, match=reason), open_unnamed(tmp_path):
        pass


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasure, match="No such file"), open_unnamed(tmp_path / "a" / "b"):
        pass


def test_a_full_disk_is_one_line(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ramsterd.cli.bench_disk.os.pwritev", refuse)
    with pytest.raises(CannotMeasure, match="No space left"):
        bench_disk(on_disk, PAGES, pages_count=96, seconds=0.01, say=lambda *_: None)


def test_the_way_over_a_socket_is_measured_and_its_process_ends() -> None:
    found = bench_socket(0.05)
    assert found["kind"] == "socket"
    assert found["p50_seconds"] is not None
    children = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "stat="],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Z" not in children.stdout


# The command.


class Daemon:
    """Answers with what it was told to, poll by poll."""

    def __init__(self, *polls: dict[str, Any]) -> None:
        self.polls = list(polls)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, _target: Target, command: str, **arguments: Any) -> Any:
        self.asked.append((command, arguments))
        if command == "bench-begin":
            size = arguments["bytes"] or 1 << 20
            return {"number": 3, "node": "alpha", "peers": ["beta"], "bytes": size}
        if command == "bench-end":
            return {"is_running": False}
        found = self.polls.pop(0)
        if isinstance(found.get("raises"), BaseException):
            raise found["raises"]
        return found

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(bench_command(self.ask), arguments, obj=TARGET)


def poll(*, is_running: bool, number: int = 3, rows: tuple[Any, ...] = ()) -> dict[str, Any]:
    doing = {"target": "beta", "operation": "read", "depth": 32} if is_running else None
    return {"number": number, "is_running": is_running, "rows": list(rows), "doing": doing}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "POLL_SECONDS", 0)
    monkeypatch.setattr(bench_module, "SOCKET_SECONDS_MAX", 0.01)


def test_it_waits_for_the_daemon_and_prints_json() -> None:
    daemon = Daemon(
        poll(is_running=True), poll(is_running=False, rows=(row("peer", "beta", "read", 1e-4),))
    )
    result = daemon.run("--ratio", "0.3", "--seconds", "2", "--bytes", "4MiB", "-o", "json")
    assert result.exit_code == 0, result.output
    assert daemon.asked[0] == ("bench-begin", {"ratio": 0.3, "seconds": 2.0, "bytes": 4 << 20})
    assert "bench-end" not in [command for command, _ in daemon.asked]
    found = json.loads(result.stdout)
    assert [each["kind"] for each in found["rows"]] == ["peer", "socket"]
    assert found["verdict"]["is_worth_it"] is None


def test_progress_is_shown_and_a_disk_is_compared(on_disk: Path) -> None:
    daemon = Daemon(
        poll(is_running=True), poll(is_running=False, rows=(row("peer", "beta", "read", 1e-9),))
    )
    result = daemon.run("--seconds", "0.1", "--path", str(on_disk))
    assert result.exit_code == 0, result.output
    assert "measuring beta: reads at depth 32" in result.stderr
    assert "times as fast as" in result.stdout.splitlines()[-1]
    assert str(on_disk) in result.stdout.splitlines()[-1]


def test_ctrl_c_ends_it_in_the_daemon_too() -> None:
    daemon = Daemon({"raises": KeyboardInterrupt()})
    result = daemon.run()
    assert result.exit_code == 130
    assert daemon.asked[-1][0] == "bench-end"
    assert "nothing of it stays" in result.stderr


def test_a_path_that_can_not_be_measured_is_said_before_anything_is(tmp_path: Path) -> None:
    daemon = Daemon()
    (tmp_path / "file").write_text("")
    result = daemon.run("--path", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert "never overwritten" in result.stderr
    assert not daemon.asked


def test_another_benchmark_that_began_meanwhile_is_not_taken_for_ours() -> None:
    result = Daemon(poll(is_running=True, number=4)).run()
    assert result.exit_code == 1
    assert "another benchmark has begun meanwhile" in result.stderr


def test_a_size_that_is_none_is_refused() -> None:
    result = Daemon().run("--bytes", "lots")
    assert result.exit_code == 2
    assert "found 'lots'" in result.stderr
