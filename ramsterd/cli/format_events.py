"""What `ramsterctl events` prints: a line for each event, of one node or of many.  Pure."""

import json
from datetime import datetime
from typing import Any, Final

from config.event_kinds import EventKind

# The head is longer than every severity.
_SEVERITY_WIDTH: Final = len("SEVERITY")
_KIND_WIDTH: Final = max(len(kind.value) for kind in EventKind)


def event_line(event: dict[str, Any]) -> str:
    """Return an event as people read it."""
    return f"{_at(event)}  {_rest(event)}"


def event_json(event: dict[str, Any]) -> str:
    """Return an event as programs read it: one line."""
    return json.dumps(event)


_TIME_HEAD: Final = f"{'TIME (UTC)':<19}"
_REST_HEAD: Final = f"{'SEVERITY':<{_SEVERITY_WIDTH}}  {'KIND':<{_KIND_WIDTH}}  EVENT"
HEAD: Final = f"{_TIME_HEAD}  {_REST_HEAD}"


def head_of_many(width: int) -> str:
    """Return the head above the events of several nodes; `width` is that of their names."""
    return f"{_TIME_HEAD}  {'NODE':<{width}}  {_REST_HEAD}"


def event_line_of(node: str, event: dict[str, Any], *, width: int) -> str:
    """Return an event as people read it, with the node that has it."""
    return f"{_at(event)}  {node:<{width}}  {_rest(event)}"


def event_json_of(node: str, event: dict[str, Any]) -> str:
    """Return an event as programs read it: its `node` is whom it is about."""
    return json.dumps({**event, "reported_by": node})


def silence_json_of(node: str, problem: str) -> str:
    """Return the line of a node that says nothing, for programs."""
    return json.dumps({"reported_by": node, "error": problem})


def seconds_of(event: dict[str, Any]) -> float:
    """Return when it happened, in seconds since 1970 by the clock of its node."""
    return datetime.fromisoformat(event["time"]).timestamp()


def _at(event: dict[str, Any]) -> str:
    return f"{datetime.fromisoformat(event['time']):%Y-%m-%d %H:%M:%S}"


def _rest(event: dict[str, Any]) -> str:
    return (
        f"{event['severity']:<{_SEVERITY_WIDTH}}  {event['kind']:<{_KIND_WIDTH}}  {event['text']}"
    )
