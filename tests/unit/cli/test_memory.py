"""`ramsterctl memory show`: the budget, and by which kinds of pages it is used."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from ramsterd.cli.memory import memory_group
from ramsterd.cli.target import Target

STATUS = {
    "engine": {
        "resize": {"state": "idle", "target_bytes": 0},
        "store": {
            "zbud": {"budget_bytes": 1 << 24, "resident_bytes": 1 << 23},
            "zpages": {"own_persistent": 1234, "foreign_persistent": 5},
            "zpage_bytes": {"own_persistent": 1 << 20, "foreign_persistent": 4096},
        },
    }
}


def run(*arguments: str) -> str:
    def ask(_: Target, command: str) -> Any:
        assert command == "status"
        return STATUS

    group = memory_group(ask, ask)
    return CliRunner().invoke(group, ["show", *arguments], obj=Target(Path("socket"))).output


def test_the_budget_and_its_use_are_shown() -> None:
    assert run().splitlines() == [
        "the budget is 16 MiB: 8 MiB in use",
        "KIND                PAGES   SIZE",
        "own persistent      1,234  1 MiB",
        "foreign persistent      5  4 KiB",
    ]


def test_the_same_is_there_for_programs() -> None:
    shown = json.loads(run("-o", "json"))
    assert shown["budget_bytes"] == 1 << 24
    assert shown["kinds"]["foreign_persistent"] == {"zpages": 5, "zpage_bytes": 4096}
