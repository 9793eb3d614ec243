"""`ramsterctl doctor` at a node of a test, as an operator types it there."""

import json
from typing import Any

from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.daemons import Node

STATUS_OF = {"ok": 0, "warning": 1, "error": 2}
# It ends by itself long before that.
DOCTOR_SECONDS_MAX = 120

Checks = dict[str, dict[str, Any]]


def doctor(node: Node, *options: str) -> Checks:
    """Return what it says, by check, of several of a kind the worst; the exit status must agree."""
    command = [*node.prefix, *RAMSTERCTL, "doctor", "--config", str(node.config), *options]
    done = run_program(
        [*command, "-o", "json"],
        capture_output=True, check=False, env=environment(), text=True, timeout=DOCTOR_SECONDS_MAX,
    )  # fmt: skip
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert done.returncode == STATUS_OF[said["state"]]
    # The worst come first.
    return {each["check"]: each for each in reversed(said["checks"])}


def not_ok(checks: Checks, *names: str) -> list[str]:
    """Return which of these checks are not ok."""
    return [name for name in names if checks[name]["state"] != "ok"]
