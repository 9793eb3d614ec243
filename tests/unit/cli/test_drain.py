"""`ramsterctl node drain`: what it asks for, what it prints, how it ends; and what a dry run shows."""

import json
from typing import Any

import pytest

from ramsterd.cli import drain, job_watching
from ramsterd.cli.drain import drain_command
from tests.fakes.job_daemon import Daemon, done, running

BEGUN: dict[str, Any] = {
    "state": "draining", "is_changed": True, "membership_version": 7, "membership_origin": "n1",
    "node": {"number": 2, "name": "n2", "address": "10.0.0.2", "port": 7700},
    "warnings": [], "job": "drain-7",
}  # fmt: skip
PLAN: dict[str, Any] = {
    "state": "planned", "node": "n2", "is_reached": True, "pages_foreign": 3400,
    "bytes_max": 5 << 20, "owners": [{"node": "n1", "pages": 3400}], "pages_own_elsewhere": 12,
    "rooms": [{"node": "n1", "free_bytes": 8 << 20, "why": ""},
              {"node": "n3", "free_bytes": 0, "why": "it is cordoned"}],
    "room_bytes": 8 << 20, "has_room": True, "risks": ["redundancy drops from 2 copies to 1"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_watching, "POLL_SECONDS", 0)
    monkeypatch.setattr(drain, "POLL_SECONDS", 0)


def test_it_shows_progress_and_ends_in_one_line_with_what_to_type_next() -> None:
    daemon = Daemon(BEGUN, running(), done())
    result = daemon.run(drain_command(daemon.ask), "n2")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "drain-7 of node n2: done, 12,400 pages moved in 8 s",
        "next: stop ramsterd on n2, or `ramsterctl node remove n2`; `ramsterctl node uncordon n2` gives it pages again",
    ]
    assert daemon.asked[0] == ("node-drain", {"name": "n2", "deadline_seconds": None, "reason": ""})


def test_an_order_has_a_deadline_and_a_reason() -> None:
    daemon = Daemon(BEGUN, done())
    daemon.run(drain_command(daemon.ask), "n2", "--deadline", "2h", "-m", "a new kernel")
    wanted = {"name": "n2", "deadline_seconds": 7200, "reason": "a new kernel"}
    assert daemon.asked[0] == ("node-drain", wanted)


def test_detached_it_returns_at_once_and_says_how_to_watch() -> None:
    daemon = Daemon(BEGUN)
    result = daemon.run(drain_command(daemon.ask), "n2", "--detach")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "node n2 (2) at 10.0.0.2:7700 is draining",
        "membership version 7, changed at node n1",
        "next: `ramsterctl job watch drain-7` shows how far it is; `ramsterctl job cancel drain-7` ends it",
    ]


def test_warnings_come_before_any_progress() -> None:
    daemon = Daemon(BEGUN | {"warnings": ["one copy"]}, running(), done(remarks=["n2 owns pages"]))
    result = daemon.run(drain_command(daemon.ask), "n2")
    assert result.stderr.splitlines()[0] == "warning: one copy"
    assert result.stderr.splitlines()[-1] == "warning: n2 owns pages"
    assert "next: see the warning; then stop ramsterd on n2" in result.stdout


def test_one_that_is_called_off_is_status_1_and_says_nothing_of_what_is_next() -> None:
    ended = done(state="cancelled", outcome="cancelled: 3 pages left; 9 pages moved in 1 s")
    daemon = Daemon(BEGUN, ended)
    result = daemon.run(drain_command(daemon.ask), "n2")
    assert result.exit_code == 1
    assert "next" not in result.stdout


def test_json_has_the_order_and_the_end() -> None:
    said = {"pages_foreign": 0, "pages_own_elsewhere": 3}
    status = {"membership": {"drains": {"n2": said}}}
    daemon = Daemon(BEGUN, running(), done(), status)
    result = daemon.run(drain_command(daemon.ask), "n2", "-o", "json")
    assert json.loads(result.stdout) == {**BEGUN, **said, "unwritten": "", "ended": done()}
    assert result.stderr == ""


def test_a_dry_run_waits_for_the_node_and_changes_nothing() -> None:
    daemon = Daemon({"state": "asking", "node": "n2"}, PLAN)
    result = daemon.run(drain_command(daemon.ask), "n2", "--dry-run")
    assert result.exit_code == 0
    assert daemon.asked == [("node-drain", {"name": "n2", "dry_run": True})] * 2
    assert result.output.splitlines() == [
        "3,400 pages of other nodes would leave node n2, 5 MiB at most",
        "  3,400 pages of node n1",
        "12 pages of n2 itself would come back, as far as they fit",
        "room at other nodes: 8 MiB",
        "  n1: 8 MiB",
        "  n3: it is cordoned",
        "risk: redundancy drops from 2 copies to 1",
        "there is room; nothing has changed",
    ]


def test_a_dry_run_without_room_is_status_1() -> None:
    daemon = Daemon(PLAN | {"has_room": False})
    result = daemon.run(drain_command(daemon.ask), "n2", "--dry-run")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("there is not enough room")


def test_a_dry_run_where_other_copies_are_enough_needs_no_room() -> None:
    daemon = Daemon(PLAN | {"room_bytes": 0, "is_enough_elsewhere": True, "copies_after": 1})
    result = daemon.run(drain_command(daemon.ask), "n2", "--dry-run")
    assert result.exit_code == 0
    told = "no page has to move: each keeps 1 copy after the drain, at other nodes; nothing has changed"
    assert result.output.splitlines()[-1] == told


@pytest.mark.parametrize(
    ("is_down", "told"),
    [
        (True, "node n2 is down and can't be asked: a drain begins when it is back"),
        (False, "node n2 has no link to this node: type the command at a node that has one"),
    ],
)
def test_a_node_that_can_not_be_asked_has_no_plan_and_is_refused_as_anything_is(
    is_down: bool, told: str
) -> None:
    plan = PLAN | {"is_reached": False, "pages_foreign": None, "bytes_max": None, "has_room": None}
    daemon = Daemon(plan | {"is_down": is_down}, plan | {"is_down": is_down})
    result = daemon.run(drain_command(daemon.ask), "n2", "--dry-run")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"ramsterctl: {told}\n"
    result = daemon.run(drain_command(daemon.ask), "n2", "--dry-run", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["pages_foreign"]) == (1, None)
    assert result.stderr == f"ramsterctl: {told}\n"
