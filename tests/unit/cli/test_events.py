"""`ramsterctl events`: what it asks for and prints, and what it says while it follows."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli import events as module
from ramsterd.cli.ask import AskFailed
from ramsterd.cli.event_reader import EventReader
from ramsterd.cli.events import events_command
from ramsterd.cli.format_events import HEAD, event_json, event_line
from ramsterd.cli.target import Target

TARGET = Target(Path("socket"))

EVENT = {
    "number": 4, "time": "2026-03-01T09:30:00.500Z", "kind": "node_down", "severity": "warning",
    "node": "beta", "export": None, "pool": None, "text": "node beta is down: silent", "fields": {},
}  # fmt: skip


def answer(*numbers: int, run: str = "one", first: int = 1, last: int | None = None) -> Any:
    found = [{**EVENT, "number": number} for number in numbers]
    after = numbers[-1] if numbers else (last or 0)
    return {"run": run, "first": first, "last": last or after, "after": after, "events": found}


class Daemon:
    """Answers, or raises what it was given; a KeyboardInterrupt at the end."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def ask(self, target: Target, command: str, **arguments: Any) -> Any:
        assert command == "events"
        self.asked.append(arguments)
        found = self.answers.pop(0) if self.answers else KeyboardInterrupt()
        if isinstance(found, BaseException):
            raise found
        return found


def run(daemon: Daemon, *arguments: str) -> Result:
    return CliRunner().invoke(events_command(daemon.ask, daemon.ask), arguments, obj=TARGET)


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def follow(monkeypatch: pytest.MonkeyPatch, daemon: Daemon, *arguments: str) -> Result:
    monkeypatch.setattr(module, "try_ask", daemon.ask)
    return run(daemon, "--follow", *arguments)


def test_an_event_is_a_line() -> None:
    result = run(Daemon(answer(4)))
    assert result.stdout.splitlines() == [
        HEAD,
        "2026-03-01 09:30:00  warning   node_down               node beta is down: silent",
    ]
    assert HEAD.startswith("TIME (UTC)           SEVERITY")
    # Each word of the head is above what it names.
    _, line = result.stdout.splitlines()
    for head, named in (("SEVERITY", "warning"), ("KIND", "node_down"), ("EVENT", "node beta")):
        assert HEAD.index(head) == line.index(named)


def test_json_is_an_object_a_line() -> None:
    result = run(Daemon(answer(4, 5)), "-o", "json")
    assert [json.loads(line)["number"] for line in result.stdout.splitlines()] == [4, 5]


def test_it_reads_page_after_page() -> None:
    daemon = Daemon(answer(1, 2, last=3), answer(3))
    assert len(run(daemon).stdout.splitlines()) == 4
    assert [each["after"] for each in daemon.asked] == [0, 2]


def test_kinds_and_time_are_asked_for() -> None:
    daemon = Daemon(answer())
    run(daemon, "--kind", "node_up", "--kind", "NODE_DOWN", "--since", "1h")
    [asked] = daemon.asked
    assert asked["kinds"] == ["node_up", "node_down"]
    assert asked["since"] == pytest.approx(time.time_ns() / 1e9 - 3600, abs=300)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "nod_down"], "found 'nod_down', expected node_down (the nearest kind)"),
        (["--kind", "?"], "found '?', expected one of daemon_started, "),
        (["--since", "yesterday"], "found 'yesterday', expected a duration such as"),
    ],
)
def test_what_it_does_not_understand_asks_for_nothing(arguments: list[str], message: str) -> None:
    daemon = Daemon()
    result = run(daemon, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert daemon.asked == []


def test_it_follows_until_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(answer(1), answer(last=1), answer(2, 3))
    result = follow(monkeypatch, daemon, "-o", "json")
    assert result.exit_code == 0
    assert [json.loads(line)["number"] for line in result.stdout.splitlines()] == [1, 2, 3]
    assert [each["after"] for each in daemon.asked] == [0, 1, 1, 3]
    assert result.stderr == ""


def test_a_restart_is_said_and_nothing_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(
        answer(7, first=7), AskFailed("no daemon answers"), AskFailed("no daemon answers"),
        answer(8, run="two", last=9), answer(1, 2, run="two"),
    )  # fmt: skip
    result = follow(monkeypatch, daemon, "-o", "json")
    assert [json.loads(line)["number"] for line in result.stdout.splitlines()] == [7, 1, 2]
    assert result.stderr.splitlines() == [
        "ramsterctl: no daemon answers; waiting for it",
        "ramsterctl: ramsterd answers again",
        "ramsterctl: ramsterd has restarted: events that were not shown before are gone",
    ]
    assert [each["after"] for each in daemon.asked] == [0, 7, 7, 7, 0, 2]


def test_events_that_came_too_fast_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(answer(1), answer(12, first=12))
    result = follow(monkeypatch, daemon)
    assert result.stderr == "ramsterctl: 10 events were pushed out before they were read\n"


def test_without_a_daemon_it_does_not_begin_to_follow() -> None:
    result = run(Daemon(SystemExit(1)), "--follow")
    assert result.exit_code == 1


def test_a_reader_returns_what_is_new() -> None:
    told: list[str] = []
    reader = EventReader(told.append)
    assert reader.on_answer(answer(4, last=9)) == [EVENT]
    assert (reader.after, reader.has_more, told) == (4, True, [])
    assert json.loads(event_json(EVENT)) == EVENT
    assert event_line(EVENT).endswith("node beta is down: silent")
