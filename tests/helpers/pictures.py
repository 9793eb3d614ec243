"""Pictures of nodes as `overview` answers, for the screens of `ramsterctl top`."""

import json
from typing import Any

from ramsterd.observe.overview import overview_of
from ramsterd.observe.snapshot import to_plain
from tests.helpers.made_statistics import made_statistics


def picture(**changes: Any) -> dict[str, Any]:
    """Return one with numbers that occur once."""
    made = json.loads(json.dumps(to_plain(overview_of(made_statistics(), at=100.0))))
    assert isinstance(made, dict)
    return made | changes


def node(name: str, **changes: Any) -> dict[str, Any]:
    """Return a member as a node sees it."""
    return {
        "name": name, "is_local": False, "state": "up", "is_linked": True, "is_draining": False, "is_cordoned": False,
        "reason": "", "budget_bytes": 1 << 30, "free_bytes": 1 << 29, "pages_there": 0, "pages_here": 0,
    } | changes  # fmt: skip


def code(name: str, summary: str = "something is wrong", **changes: Any) -> dict[str, Any]:
    """Return a code of health."""
    return {
        "code": name, "severity": "warn", "summary": summary, "details": [], "command": f"ramsterctl repair {name}",
        "active_seconds": 5.0, "muted_seconds": 0.0,
    } | changes  # fmt: skip


def job(number: int, **changes: Any) -> dict[str, Any]:
    """Return a drain that goes on."""
    return {
        "id": f"drain-{number}", "kind": "drain", "state": "running", "node": "n2", "what": "node n2", "by": "n1",
        "reason": "", "age_seconds": 2.0, "ended_seconds": None, "seconds_to_deadline": None, "noun": "page",
        "done": 10, "total": 40, "per_second": 5.0, "seconds_left": 6.0, "waits_for": "", "outcome": "", "remarks": [],
    } | changes  # fmt: skip


def event(text: str, second: int = 0) -> dict[str, Any]:
    """Return an event."""
    at = f"2026-11-30T07:00:{second:02}+00:00"
    return {"time": at, "severity": "info", "kind": "x", "text": text}
