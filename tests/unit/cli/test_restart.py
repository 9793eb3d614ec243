"""`ramsterctl restart`: what it waits for, and what it says."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli import restart as module
from ramsterd.cli.ask import AskFailed
from ramsterd.cli.restart import format_restarted, restart_command
from ramsterd.cli.target import Target

TARGET = Target(Path("socket"))

NOW = {
    "connections_total": 3,
    "dropped_connections_total": 0,
    "gap_seconds": 0.8,
    "restart_id": "4f",
}


class Daemon:
    """Says that it checks, then that it restarts; then there is none for a while, and then the next one."""

    def __init__(self) -> None:
        self.answers: list[Any] = [{"state": "checking"}, {"state": "restarting", "id": "4f"}]
        old = {"handover": {**NOW, "restart_id": ""}}
        self.next: list[Any] = [old, AskFailed("gone"), {"handover": NOW}]

    def ask(self, _: Target, command: str) -> Any:
        assert command == "restart"
        return self.answers.pop(0)

    def try_ask(self, _: Target, command: str) -> Any:
        assert command == "status"
        answer = self.next.pop(0) if self.next else AskFailed("gone")
        if isinstance(answer, AskFailed):
            raise answer
        return answer


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    made = Daemon()
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(module, "try_ask", made.try_ask)
    return made


def run(daemon: Daemon, *arguments: str) -> Result:
    return CliRunner().invoke(restart_command(daemon.ask), arguments, obj=TARGET)


def test_it_waits_until_the_next_process_answers(daemon: Daemon) -> None:
    done = run(daemon)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "the daemon restarts; its clients wait",
        "the daemon serves again: 3 clients waited for 0.80 s",
    ]


def test_programs_get_the_numbers_alone(daemon: Daemon) -> None:
    assert json.loads(run(daemon, "-o", "json").output) == NOW


def test_a_daemon_that_does_not_come_back_is_an_error(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS_MAX", 0.05)
    daemon.next.clear()
    done = run(daemon)
    assert done.exit_code == 1
    assert "look into its log" in done.output


def test_clients_that_were_disconnected_are_named() -> None:
    assert format_restarted({**NOW, "connections_total": 1, "dropped_connections_total": 2}) == (
        "the daemon serves again: 1 client waited for 0.80 s, 2 clients disconnected"
    )


def test_without_clients_nobody_waited() -> None:
    assert format_restarted({**NOW, "connections_total": 0}) == (
        "the daemon serves again after 0.80 s: no client was waiting"
    )
