"""`ramsterctl exports`, `export reset`, `pool reset`: what they ask for and print."""

import json
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from ramsterd.cli.export import export_group
from ramsterd.cli.state import exports_command, pool_group
from ramsterd.cli.target import Target

TARGET = Target(Path("socket"))

STATUS = {
    "exports": [
        {"name": "swap0", "size_bytes": 1 << 30, "pages": 0, "state": "lost", "lost_at": 86_400},
        {"name": "tmp", "size_bytes": 4096, "pages": 1_234_567, "state": "used", "lost_at": 0},
    ],
    "state_file": {
        "lost": [
            {"name": "swap0", "user": None, "lost_at": 86_400},
            {"name": "spill", "user": 1000, "lost_at": 86_400},
        ],
        "writes_total": 1,
        "failed_writes_total": 1,
        "problem": "/s/state.json: no space left on device",
    },
}


class Daemon:
    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, target: Target, command: str, **arguments: Any) -> Any:
        self.asked.append((command, arguments))
        return self.answers.pop(0)


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, obj=TARGET)


def exports_of(daemon: Daemon) -> click.Command:
    return exports_command(daemon.ask, daemon.ask)


def test_exports_shows_states_and_what_to_type() -> None:
    result = run(exports_of(Daemon(STATUS)))
    assert result.output.splitlines() == [
        "NAME    SIZE      PAGES  STATE",
        "swap0  1 GiB          0  lost",
        "tmp    4 KiB  1,234,567  used",
        (
            "LOST           export swap0: its pages ended with an earlier run of ramsterd, found at 1970-01-02"
            " 00:00 UTC; make it blank with `ramsterctl export reset swap0`"
        ),
        (
            "LOST           pool 'spill' of user 1000: its pages ended with an earlier run of ramsterd, found at"
            " 1970-01-02 00:00 UTC; make it blank with `ramsterctl pool reset 1000 spill`"
        ),
        (
            "STATE FILE     not written: first writes to blank exports are refused:"
            " /s/state.json: no space left on device"
        ),
    ]


def test_wide_exports_say_what_is_unreadable_who_swaps_and_the_exact_size() -> None:
    exports = [{**STATUS["exports"][0], "unreadable_pages": 3, "is_swap": True}]  # type: ignore[index]
    daemon = Daemon({**STATUS, "exports": exports})
    assert run(exports_of(daemon), "-o", "wide").output.splitlines()[:2] == [
        "NAME    SIZE  PAGES  STATE  UNREADABLE PAGES  SWAP     EXACT SIZE",
        "swap0  1 GiB      0  lost                  3  yes   1,073,741,824",
    ]


def test_exports_are_also_told_as_json() -> None:
    shown = json.loads(run(exports_of(Daemon(STATUS)), "-o", "json").output)
    assert shown == {"exports": STATUS["exports"], "lost": STATUS["state_file"]["lost"]}  # type: ignore[index]  # a literal


def test_a_reset_asks_until_it_is_on_disk() -> None:
    daemon = Daemon({"state": "resetting"}, {"state": "blank"})
    result = run(export_group(daemon.ask), "reset", "swap0")
    assert result.output == "export swap0 is blank\n"
    assert daemon.asked == [("export-reset", {"name": "swap0"})] * 2


def test_a_pool_is_reset_by_user_and_name() -> None:
    daemon = Daemon({"state": "blank"})
    result = run(pool_group(daemon.ask), "reset", "1000", "spill")
    assert result.output == "pool 'spill' of user 1000 is blank\n"
    assert daemon.asked == [("pool-reset", {"user": 1000, "name": "spill"})]
