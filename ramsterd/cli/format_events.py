"""What `ramsterctl events` prints: a line for each event, and what a reader has missed.  Pure."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from config.event_kinds import EventKind
from config.units import human_count

# The head is longer than every severity.
_SEVERITY_WIDTH: Final = len("SEVERITY")
_KIND_WIDTH: Final = max(len(kind.value) for kind in EventKind)


def event_line(event: dict[str, Any]) -> str:
    """Return an event as people read it."""
    at = datetime.fromisoformat(event["time"])
    return f"{at:%Y-%m-%d %H:%M:%S}  {event['severity']:<{_SEVERITY_WIDTH}}  {event['kind']:<{_KIND_WIDTH}}  {event['text']}"


def event_json(event: dict[str, Any]) -> str:
    """Return an event as programs read it: one line."""
    return json.dumps(event)


HEAD: Final = f"{'TIME (UTC)':<19}  {'SEVERITY':<{_SEVERITY_WIDTH}}  {'KIND':<{_KIND_WIDTH}}  EVENT"


class EventReader:
    """Reads on where it stopped, and says what came between.

    `print_event` gets lines of events, `tell` what is no event.
    """

    def __init__(
        self,
        line_of: Callable[[dict[str, Any]], str],
        print_event: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._line_of = line_of
        self._print_event = print_event
        self._tell = tell
        self._run: str | None = None
        self._problem = ""
        # The number that the next request names.
        self.after = 0

    def on_answer(self, answer: dict[str, Any]) -> bool:
        """Take an answer to `events`; return whether there is more."""
        if self._problem:
            self._tell("ramsterd answers again")
            self._problem = ""
        if self._run not in {None, answer["run"]}:
            self._tell("ramsterd has restarted: events that were not shown before are gone")
            self._run, self.after = answer["run"], 0
            return True
        if self._run is not None and answer["first"] > self.after + 1:
            missed = human_count(answer["first"] - self.after - 1, "event")
            self._tell(f"{missed} were pushed out before they were read")
        self._run, self.after = answer["run"], answer["after"]
        for event in answer["events"]:
            self._print_event(self._line_of(event))
        return bool(answer["after"] < answer["last"])

    def on_no_answer(self, problem: str) -> None:
        """Say once that the daemon does not answer."""
        if not self._problem:
            self._tell(f"{problem}; waiting for it")
        self._problem = problem
