"""Reading the events of one node page after page, and what a reader has missed.  Pure."""

from collections.abc import Callable
from typing import Any

from config.units import human_count


class EventReader:
    """Reads on where it stopped; `tell` gets what came between, as a sentence."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._run: str | None = None
        self._problem = ""
        # The number that the next request names.
        self.after = 0
        # Whether the last answer was not the end.
        self.has_more = True

    def on_answer(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Take an answer to `events`; return the events that are new."""
        if self._problem:
            self._tell("ramsterd answers again")
            self._problem = ""
        if self._run not in {None, answer["run"]}:
            self._tell("ramsterd has restarted: events that were not shown before are gone")
            self._run, self.after, self.has_more = answer["run"], 0, True
            return []
        if self._run is not None and answer["first"] > self.after + 1:
            missed = human_count(answer["first"] - self.after - 1, "event")
            self._tell(f"{missed} were pushed out before they were read")
        self._run, self.after = answer["run"], answer["after"]
        self.has_more = bool(answer["after"] < answer["last"])
        return list(answer["events"])

    def on_no_answer(self, problem: str) -> None:
        """Say once that the daemon does not answer."""
        if not self._problem:
            self._tell(f"{problem}; waiting for it")
        self._problem = problem
