"""`ramsterctl events --cluster`: what it asks of whom, prints, and says of members that say nothing."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli import events_of_all as module
from ramsterd.cli.ask import AskFailed, Request
from ramsterd.cli.events import events_command
from ramsterd.cli.target import Target
from tests.helpers.schemas import check

TARGET = Target(Path("socket"), is_cluster=True)


def event(number: int, second: int, text: str = "it happened") -> dict[str, Any]:
    return {
        "number": number, "time": f"2026-03-01T09:30:{second:02}.000Z", "kind": "node_down", "severity": "warning",
        "node": "zeta", "export": None, "pool": None, "text": text, "fields": {},
    }  # fmt: skip


class Members:
    """Rings by name; a text is why there is no answer.  The clock ends the process after some rounds."""

    def __init__(self, **rings: list[dict[str, Any]] | str) -> None:
        self.rings: dict[str, Any] = rings
        self.asked: list[Mapping[str, Request]] = []
        self.rounds: list[dict[str, Any]] = []
        self.slept: list[float] = []

    def ask(self, target: Target, command: str) -> Any:
        assert (command, target.is_cluster) == ("nodes", False)
        return [{"config": {"name": name}} for name in self.rings]

    def ask_each(self, target: Target, requests: Mapping[str, Request], **_: object) -> list[Any]:
        self.asked.append(requests)
        return [
            self._answer(self.rings[name], int(str(request["after"])))
            for name, request in requests.items()
        ]

    def _answer(self, ring: Any, after: int) -> Any:
        if isinstance(ring, str):
            return AskFailed(ring)
        last = len(ring)
        return {"run": "one", "first": 1, "last": last, "after": last, "events": ring[after:]}

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.rounds:
            raise KeyboardInterrupt
        self.rings = self.rounds.pop(0)


def run(members: Members, *arguments: str) -> Result:
    command = events_command(members.ask, members.ask_each)
    return CliRunner().invoke(command, arguments, obj=TARGET)


def follow(monkeypatch: pytest.MonkeyPatch, members: Members, *arguments: str) -> Result:
    monkeypatch.setattr(module, "try_ask", members.ask)
    monkeypatch.setattr(time, "sleep", members.sleep)
    return run(members, "--follow", *arguments)


def test_events_of_all_members_are_one_list_by_time() -> None:
    result = run(Members(alpha=[event(1, 1), event(2, 5)], be=[event(1, 3, "so")]))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "TIME (UTC)           NODE   SEVERITY  KIND                    EVENT",
        "2026-03-01 09:30:01  alpha  warning   node_down               it happened",
        "2026-03-01 09:30:03  be     warning   node_down               so",
        "2026-03-01 09:30:05  alpha  warning   node_down               it happened",
    ]


def test_who_says_nothing_is_named_at_the_end_and_status_is_1() -> None:
    result = run(Members(alpha=[event(1, 1)], beta="node beta has no link to node alpha"))
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "ramsterctl: beta: node beta has no link to node alpha\n"


def test_json_names_the_member_that_has_the_event_and_those_that_say_nothing() -> None:
    result = run(Members(alpha=[event(1, 1)], beta="no link"), "-o", "json")
    assert result.exit_code == 1
    first, silent = map(json.loads, result.stdout.splitlines())
    assert first == {**event(1, 1), "reported_by": "alpha"}
    assert silent == {"reported_by": "beta", "error": "no link"}
    check("events-cluster", first)
    check("events-cluster", silent)


def test_kinds_and_time_are_asked_of_all() -> None:
    members = Members(alpha=[], beta=[])
    assert run(members, "--kind", "node_up", "--since", "1h").exit_code == 0
    [asked] = members.asked
    assert set(asked) == {"alpha", "beta"}
    for request in asked.values():
        assert request["kinds"] == ["node_up"]
        assert request["since"] == pytest.approx(time.time_ns() / 1e9 - 3600, abs=300)


def test_it_follows_all_members_and_those_that_join(monkeypatch: pytest.MonkeyPatch) -> None:
    members = Members(alpha=[event(1, 1)], beta="no link")
    members.rounds = [
        {"alpha": [event(1, 1)], "beta": [event(1, 2)]},
        {"alpha": [event(1, 1), event(2, 4)], "beta": [event(1, 2)], "gamma": [event(1, 3)]},
        {"alpha": [event(1, 1), event(2, 4)], "gamma": "no link"},
    ]
    result = follow(monkeypatch, members, "-o", "json")
    assert result.exit_code == 0
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["reported_by"], each["number"]) for each in shown] == [
        ("alpha", 1), ("beta", 1), ("gamma", 1), ("alpha", 2),
    ]  # fmt: skip
    assert result.stderr.splitlines() == [
        "ramsterctl: beta: no link; waiting for it",
        "ramsterctl: beta: ramsterd answers again",
        "ramsterctl: gamma: no link; waiting for it",
    ]
    assert members.slept == [1.0] * 4


def test_many_members_are_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    members = Members(**{f"n{number}": [] for number in range(64)})
    assert follow(monkeypatch, members).exit_code == 0
    assert members.slept == [4.0]


def test_a_node_at_hand_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    members = Members(alpha=[event(1, 1)])
    members.rounds = [members.rings] * 3
    answers: list[Any] = [AskFailed("no daemon answers"), AskFailed("no daemon answers"), None]

    def try_ask(target: Target, command: str) -> Any:
        if failed := answers.pop(0):
            raise failed
        return members.ask(target, command)

    monkeypatch.setattr(module, "try_ask", try_ask)
    monkeypatch.setattr(time, "sleep", members.sleep)
    result = run(members, "-f")
    assert result.stderr.splitlines() == [
        "ramsterctl: no daemon answers; waiting for it",
        "ramsterctl: ramsterd answers again",
    ]
    assert len(result.stdout.splitlines()) == 2
