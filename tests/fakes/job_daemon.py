"""Jobs as a daemon answers, and a daemon that answers call by call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from click.testing import CliRunner, Result

from ramsterd.cli.ask import Request
from ramsterd.cli.target import Target

JOB: Final[dict[str, Any]] = {
    "id": "drain-7", "kind": "drain", "state": "running", "node": "n2", "what": "node n2",
    "by": "n1", "reason": "a new kernel", "age_seconds": 4.0, "ended_seconds": None,
    "seconds_to_deadline": None, "noun": "page", "done": 9000, "total": 12_400,
    "per_second": 1500.0, "seconds_left": 2.3, "waits_for": "", "outcome": "", "remarks": [],
    "began_at": "2026-03-01T09:30:00.000Z", "ended_at": None, "deadline_at": None,
}  # fmt: skip


def running(**changes: Any) -> dict[str, Any]:
    """Return a drain that goes on."""
    return JOB | changes


def done(**changes: Any) -> dict[str, Any]:
    """Return the same drain, done."""
    over = {
        "state": "done", "done": 12_400, "ended_seconds": 0.1,
        "ended_at": "2026-03-01T09:30:08.000Z", "outcome": "done, 12,400 pages moved in 8 s",
    }  # fmt: skip
    return JOB | over | changes


class Daemon:
    """Answers what it was told to, and keeps what it was asked."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, target: Target, command: str, **arguments: Any) -> Any:
        """Answer, or raise what the test has for an answer."""
        if command == "membership":
            return {"is_writing": False, "unwritten": ""}
        self.asked.append((command, arguments))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def ask_each(self, target: Target, requests: Mapping[str, Request], **_: object) -> list[Any]:
        """Answer for each node."""
        return [self.ask(target, str(request["command"])) for request in requests.values()]

    def run(self, command: click.Command, *arguments: str, node: str = "") -> Result:
        """Run a command line."""
        return CliRunner().invoke(command, arguments, obj=Target(Path("socket"), node))
