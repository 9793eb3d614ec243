"""`ramsterctl stop`: what it says, and what it waits for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli import stop as module
from ramsterd.cli.ask import send_command
from ramsterd.cli.stop import stop_command
from ramsterd.cli.target import Target

SAID = {
    "state": "stopping",
    "warnings": ["node alpha still owns 7 pages: these pages are lost when ramsterd stops"],
}
LISTEN = """
import socket, sys
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    print("listens", flush=True)
    sys.stdin.read()
"""


class Daemon:
    """A process that listens, and ends when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[dict[str, object]] = []
        self.ends = True
        command = [sys.executable, "-c", LISTEN, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def ask(self, _: Target, command: str, **arguments: object) -> Any:
        assert command == "stop"
        self.asked.append(arguments)
        if self.ends:
            self.end()
        return SAID

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "control")
    yield made
    made.end()
    made.process.wait()
    assert made.process.stdout is not None
    made.process.stdout.close()


def run(daemon: Daemon, *arguments: str) -> Result:
    return CliRunner().invoke(stop_command(daemon.ask), arguments, obj=Target(daemon.path))


def test_what_ends_is_said_first_and_the_process_is_waited_for(daemon: Daemon) -> None:
    done = run(daemon, "--forget")
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "warning: node alpha still owns 7 pages: these pages are lost when ramsterd stops",
        "the daemon has stopped",
    ]
    assert daemon.asked == [{"forget": True}]
    assert daemon.process.wait(10) == 0


def test_nothing_is_forgotten_that_nobody_asked_for(daemon: Daemon) -> None:
    assert run(daemon).exit_code == 0
    assert daemon.asked == [{"forget": False}]


def test_a_daemon_that_does_not_end_is_an_error(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS_MAX", 0.05)
    daemon.ends = False
    done = run(daemon)
    assert done.exit_code == 1
    assert "look into its log" in done.output


def test_where_the_process_is_not_seen_its_silence_counts(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from outside of its container."""
    answers = [b"{}", b""]
    monkeypatch.setattr(module, "_process_of", lambda _: None)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(module, "send_command", lambda *_: answers.pop(0))
    assert run(daemon).exit_code == 0
    assert not answers
    monkeypatch.setattr(module, "send_command", send_command)
    assert run(daemon).exit_code == 0, "nobody listens any more"
