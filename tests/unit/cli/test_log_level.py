"""`ramsterctl log-level`: what it asks for and prints."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli.log_level import log_level_command, text_of_all
from ramsterd.cli.target import Target

TARGET = Target(Path("socket"))

LEVELS = {
    "nbd": {"level": "debug", "configured": "info", "is_changed": True, "seconds_left": 599.6},
    "net": {"level": "info", "configured": "info", "is_changed": False, "seconds_left": None},
    "tmem": {"level": "error", "configured": "info", "is_changed": True, "seconds_left": None},
}


class Daemon:
    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, target: Target, command: str, **arguments: Any) -> Any:
        self.asked.append((command, arguments))
        return LEVELS


def run(daemon: Daemon, *arguments: str) -> Result:
    return CliRunner().invoke(log_level_command(daemon.ask, daemon.ask), arguments, obj=TARGET)


def test_it_shows_every_level_and_how_long_it_lasts() -> None:
    daemon = Daemon()
    assert run(daemon).output.splitlines() == [
        "SUBSYSTEM  LEVEL  CONFIGURED  CHANGED",
        "nbd        debug  info        for 10m more",
        "net        info   info",
        "tmem       error  info        until a restart",
        "to change a level (debug, info, warning or error) for ten minutes",
        "type: ramsterctl log-level net debug --for 10m",
        "to end all changes",
        "type: ramsterctl log-level --reset",
    ]
    assert daemon.asked == [("log-level", {})]
    assert json.loads(run(daemon, "-o", "json").output) == LEVELS


def test_of_all_members_the_line_to_type_names_one() -> None:
    unchanged = {"net": LEVELS["net"]}
    assert text_of_all([unchanged, unchanged], ["n1", "n2"]).splitlines() == [
        "NODE  SUBSYSTEM  LEVEL  CONFIGURED  CHANGED",
        "n1    net        info   info",
        "n2    net        info   info",
        "to change a level (debug, info, warning or error) for ten minutes",
        "type: ramsterctl log-level net debug --for 10m --node NAME",
    ]


def test_of_another_node_the_lines_to_type_are_for_that_one() -> None:
    lines = text_of_all([LEVELS], (), node="beta").splitlines()
    assert "type: ramsterctl log-level net debug --for 10m --node beta" in lines
    assert lines[-1] == "type: ramsterctl log-level --reset --node beta"


def test_after_a_change_the_levels_alone_are_shown() -> None:
    assert run(Daemon(), "net", "debug").output.splitlines()[-1].startswith("tmem")


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["net", "debug"], ("log-level-set", {"subsystem": "net", "level": "debug", "seconds": None})),
        (
            ["net", "debug", "--for", "10m"],
            ("log-level-set", {"subsystem": "net", "level": "debug", "seconds": 600}),
        ),
        (["--reset"], ("log-level-reset", {"subsystem": "all"})),
        (["--reset", "net"], ("log-level-reset", {"subsystem": "net"})),
    ],
)  # fmt: skip
def test_it_changes_a_level(arguments: list[str], asked: tuple[str, dict[str, Any]]) -> None:
    daemon = Daemon()
    assert run(daemon, *arguments).exit_code == 0
    assert daemon.asked == [asked]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net"], "a change needs a subsystem and a level, such as"),
        (["--for", "10m"], "a change needs a subsystem and a level, such as"),
        (["net", "loud"], "'loud' is not one of"),
        (["net", "debug", "--for", "soon"], "found 'soon', expected a duration such as"),
        (["net", "debug", "--reset"], "--reset takes a SUBSYSTEM or nothing"),
    ],
)
def test_what_it_does_not_understand_asks_for_nothing(arguments: list[str], message: str) -> None:
    daemon = Daemon()
    result = run(daemon, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert daemon.asked == []
