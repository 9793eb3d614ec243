"""The last events of this node, each with a number that only rises.  Pure.

The ring has a fixed length: a new event pushes out the oldest, which is counted.  It does not
outlive the process.  Readers come with the number of the last event that they have: so they miss
none, and see when some were pushed out in between.
"""

import itertools
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from config.event_kinds import EventKind

# Some 1.5 KB each at most, half of that mostly.
EVENTS_MAX: Final = 2048
# Of one answer.
PAGE_EVENTS_MAX: Final = 256


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What happened, when, and to whom."""

    # Seconds since 1970.
    time: float
    kind: EventKind
    severity: Severity
    text: str
    node: str = ""
    export: str = ""
    pool: str = ""
    fields: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One of the ring, with its number."""

    number: int
    what: Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of the ring, oldest first."""

    events: tuple[Event, ...]
    # Of the oldest event that is there, and of the newest; the newest is less than the oldest if
    # there is none.
    first: int
    last: int
    # What to ask for next: all up to this number were looked at.
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events a reader wants."""

    # None: of all kinds.
    kinds: Collection[EventKind] | None = None
    # Seconds since 1970.
    since: float = 0.0

    def admits(self, what: Happening) -> bool:
        """Return whether it is one of them."""
        return what.time >= self.since and (self.kinds is None or what.kind in self.kinds)


class EventRing:
    """The last events."""

    def __init__(self, *, events_max: int = EVENTS_MAX) -> None:
        self._events: deque[Event] = deque(maxlen=events_max)
        self._last = 0
        self._totals = dict.fromkeys(Severity, 0)

    def __len__(self) -> int:
        return len(self._events)

    def add(self, what: Happening) -> None:
        """Append one; the oldest goes if there is no room."""
        self._last += 1
        self._totals[what.severity] += 1
        self._events.append(Event(self._last, what))

    @property
    def totals(self) -> Mapping[Severity, int]:
        """Return how many there were, by severity."""
        return self._totals

    @property
    def dropped_total(self) -> int:
        """Return how many were pushed out."""
        return self._last - len(self._events)

    def page(
        self, after: int, wanted: Filter | None = None, *, events_max: int = PAGE_EVENTS_MAX
    ) -> Page:
        """Return those with a number over `after` that are wanted, as many as one answer may have."""
        wanted = wanted or Filter()
        first = self._last - len(self._events) + 1
        found: list[Event] = []
        seen = min(max(0, after + 1 - first), len(self._events))
        for event in itertools.islice(self._events, seen, None):
            if wanted.admits(event.what):
                if len(found) == events_max:
                    return Page(
                        events=tuple(found), first=first, last=self._last, after=found[-1].number
                    )
                found.append(event)
        return Page(events=tuple(found), first=first, last=self._last, after=self._last)
