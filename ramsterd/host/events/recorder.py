"""A handler of the root logger that remembers what happened: each log line with a kind (`config.event_kinds`).

The log's levels and limits don't matter here, for an event is worth more than its line.  A kind has
a budget of its own for each node, export and pool: a peer that comes and goes a hundred times a
minute does not push out all else.  What is beyond it is one event, which counts the others.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from config.event_kinds import EventKind
from config.limits import NODES_MAX
from ramsterd.host.events.ring import EventRing, Filter, Happening, Page, Severity
from ramsterd.host.logs.json_lines import NAME_BYTES_MAX
from ramsterd.host.logs.limiter import Limiter, Verdict
from ramsterd.host.logs.locking import locked
from ramsterd.host.logs.texts import printable, shortened

# Of one kind about one node, in a minute.
EVENTS_PER_SPAN_MAX: Final = 10
# Each kind once for each node.
SITES_MAX: Final = NODES_MAX * len(EventKind)
TEXT_BYTES_MAX: Final = 512
FIELDS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStatistics:
    """How many events there were, and what became of them."""

    # In the ring, now.
    kept_events: int
    events_total: dict[Severity, int]
    # Pushed out by newer ones.
    dropped_events_total: int
    # Only counted, for there were many like them.
    left_out_events_total: int


class EventRecorder(logging.Handler):
    """Adds to the ring; any thread may log."""

    def __init__(self, *, run: str, clock: Callable[[], float]) -> None:
        """Begin with an empty ring.

        Args:
            run: Tells the runs of a daemon apart: numbers begin anew in each.
            clock: Returns monotonic seconds.
        """
        super().__init__(logging.INFO)
        self.run = run
        self._clock = clock
        self._ring = EventRing()
        self._limiter = Limiter[Happening](sites_max=SITES_MAX)

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a record, if it is an event."""
        event = getattr(record, "event", None)
        if event is None:
            return
        try:
            self._note(_happening(record, dict(event)))
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name is logging's
        """Nothing: the handler of the log says what is wrong with the call."""

    def on_time(self) -> None:
        """Add what stands for those that were left out.  Call it every few seconds."""
        with locked(self):
            self._add_due()

    def page(self, after: int, wanted: Filter | None = None) -> Page:
        """Return a part of the ring."""
        with locked(self):
            return self._ring.page(after, wanted)

    def statistics(self) -> EventStatistics:
        """Return a snapshot."""
        return EventStatistics(
            kept_events=len(self._ring),
            events_total=dict(self._ring.totals),
            dropped_events_total=self._ring.dropped_total,
            left_out_events_total=self._limiter.left_out_total,
        )

    def _note(self, what: Happening) -> None:
        self._add_due()
        site = (what.kind, what.node, what.export, what.pool)
        now = self._clock()
        if self._limiter.admit(site, now=now, lines_max=EVENTS_PER_SPAN_MAX) is Verdict.LEFT_OUT:
            self._limiter.leave_out(site, what)
        else:
            self._ring.add(what)

    def _add_due(self) -> None:
        for each in self._limiter.due(now=self._clock()):
            events = "event" if each.count == 1 else "events"
            text = f"{each.count} more {events} like this in {each.seconds:.0f} s: {each.last.text}"
            self._ring.add(replace(each.last, text=shortened(text, TEXT_BYTES_MAX)))


def _happening(record: logging.LogRecord, event: dict[str, Any]) -> Happening:
    """Return what a record tells, within bounds."""
    kind = EventKind(event.pop("event"))
    node, export, pool = (_name(event.pop(key, "")) for key in ("node", "export", "pool"))
    fields = {
        key: _name(value) if isinstance(value, str) else value for key, value in event.items()
    }
    assert len(fields) <= FIELDS_MAX
    return Happening(
        time=record.created,
        kind=kind,
        severity=_severity(record.levelno),
        text=shortened(printable(record.getMessage()), TEXT_BYTES_MAX),
        node=node,
        export=export,
        pool=pool,
        fields=fields,
    )


def _name(value: object) -> str:
    return shortened(printable(str(value)), NAME_BYTES_MAX)


def _severity(level: int) -> Severity:
    if level >= logging.ERROR:
        return Severity.ERROR
    return Severity.WARNING if level >= logging.WARNING else Severity.INFO
