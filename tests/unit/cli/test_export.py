"""`ramsterctl export add`, `remove` and `resize`: what they ask for and print."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli import export
from ramsterd.cli.export import export_group
from ramsterd.cli.target import Target

DISK = {"name": "disk", "size_bytes": 2 << 30, "state": "blank"}
DONE = {"state": "added", "is_changed": True, "name": "disk", "export": DISK, "warnings": []}


class Daemon:
    def __init__(self, *answers: object) -> None:
        self.answers: list[object] = [{"change": 3, "run": "r"}, *answers]
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.target = Target(Path("socket"))

    def ask(self, target: Target, command: str, **arguments: Any) -> Any:
        self.target = target
        self.asked.append((command, arguments))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def run(daemon: Daemon, *arguments: str) -> Result:
    return CliRunner().invoke(export_group(daemon.ask), arguments, obj=Target(Path("socket")))


def test_add_names_the_keys_that_were_given_and_waits() -> None:
    daemon = Daemon({"state": "applying"}, DONE)
    result = run(
        daemon, "add", "disk", "--size", "2GiB", "--swap", "--copies", "2", "--node", "beta"
    )
    assert result.output == "export disk is there: 2 GiB, blank\n"
    assert daemon.asked == [
        ("export-add", {"export": {"name": "disk", "size": "2GiB", "swap": True, "copies": 2}}),
        ("export-change", {"change": 3, "run": "r"}),
        ("export-change", {"change": 3, "run": "r"}),
    ]
    assert daemon.target.node == "beta"


def test_all_keys_of_an_export_can_be_given() -> None:
    daemon = Daemon(DONE)
    run(
        daemon, "add", "disk", "--size", "8192", "--description", "a b", "--read-only",
        "--durability", "replicated", "--codec", "zstd", "--on-loss", "blank", "--on-unreachable", "wait",
    )  # fmt: skip
    assert daemon.asked[0][1]["export"] == {
        "name": "disk", "size": 8192, "description": "a b", "read_only": True,
        "durability": "replicated", "codec": "zstd", "on_loss": "blank", "on_unreachable": "wait",
    }  # fmt: skip


def test_a_number_of_zero_is_given_too() -> None:
    daemon = Daemon(DONE)
    run(daemon, "add", "disk", "--size", "8192", "--copies", "0")
    assert daemon.asked[0][1]["export"] == {"name": "disk", "size": 8192, "copies": 0}


def test_a_change_that_takes_long_is_asked_for_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("ramsterd.cli.export.time.sleep", pauses.append)
    run(Daemon(*[{"state": "applying"}] * 6, DONE), "add", "disk", "--size", "8192")
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]


def test_what_is_so_already_is_no_error() -> None:
    result = run(Daemon({**DONE, "is_changed": False}), "add", "disk", "--size", "2GiB")
    assert (result.output, result.exit_code) == ("export disk exists already: 2 GiB, blank\n", 0)


def test_remove_says_what_is_gone_and_forces_only_if_asked_to() -> None:
    gone = {**DONE, "state": "removed", "export": None}
    daemon = Daemon(gone)
    assert run(daemon, "remove", "disk").output == "export disk is removed\n"
    assert daemon.asked[0] == ("export-remove", {"name": "disk", "force": False})
    daemon = Daemon({**gone, "is_changed": False})
    assert run(daemon, "remove", "disk", "--force").output == "export disk is removed already\n"
    assert daemon.asked[0] == ("export-remove", {"name": "disk", "force": True})


def test_resize_shows_the_size_and_warnings() -> None:
    daemon = Daemon({**DONE, "state": "resized", "warnings": ["look at this"]})
    result = run(daemon, "resize", "disk", "--size", "2GiB", "--force")
    assert result.stdout == "export disk is resized: 2 GiB, blank\n"
    assert result.stderr == "warning: look at this\n"
    assert daemon.asked[0] == ("export-resize", {"name": "disk", "size": "2GiB", "force": True})


def test_programs_get_all_of_it() -> None:
    result = run(Daemon(DONE), "add", "disk", "--size", "2GiB", "-o", "json")
    assert json.loads(result.output) == DONE


def test_a_change_that_takes_too_long_is_told_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "CHANGE_SECONDS_MAX", 0.0)
    result = run(Daemon({"state": "applying"}), "add", "disk", "--size", "2GiB")
    assert result.exit_code == 1
    assert "`ramsterctl exports` shows which exports there are" in result.stderr
    assert "the disk has not answered yet" in result.stderr
    result = run(Daemon({"state": "applying"}), "resize", "disk", "--size", "2GiB", "--force")
    assert "within 0 s: pages are still being dropped" in result.stderr
