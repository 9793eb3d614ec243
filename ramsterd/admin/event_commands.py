"""`ramsterctl events`: a part of what happened lately."""

import math
from collections.abc import Collection

from config.event_kinds import EventKind
from config.reader import show
from ramsterd.admin.socket import CommandRefused
from ramsterd.host.events.recorder import EventRecorder
from ramsterd.host.events.ring import Event, Filter
from ramsterd.host.logs.json_lines import show_time


def events(recorder: EventRecorder, request: dict[str, object]) -> object:
    """Return events with numbers over `after`, oldest first, as many as an answer has room for.

    `kinds` and `since` (seconds since 1970) say which.  `run` is another one after a restart, and
    numbers begin anew.  There is more until the next `after` is `last`.

    Raises:
        CommandRefused: One of these is wrong.
    """
    wanted = Filter(kinds=_kinds(request.get("kinds")), since=_since(request.get("since")))
    page = recorder.page(_after(request.get("after")), wanted)
    return {
        "run": recorder.run,
        "first": page.first,
        "last": page.last,
        "after": page.after,
        "events": [_plain(event) for event in page.events],
    }


def _plain(event: Event) -> dict[str, object]:
    what = event.what
    return {
        "number": event.number,
        "time": show_time(what.time),
        "kind": what.kind.value,
        "severity": what.severity.value,
        "node": what.node or None,
        "export": what.export or None,
        "pool": what.pool or None,
        "text": what.text,
        "fields": dict(what.fields),
    }


def _after(found: object) -> int:
    if found is None:
        return 0
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise CommandRefused(f"after: found {show(found)}, expected the number of an event")
    return found


def _since(found: object) -> float:
    if found is None:
        return 0.0
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise CommandRefused(f"since: found {show(found)}, expected seconds since 1970")
    return found


def _kinds(found: object) -> Collection[EventKind] | None:
    if found is None:
        return None
    known = [kind.value for kind in EventKind]
    wrong = [each for each in found if each not in known] if isinstance(found, list) else [found]
    if wrong:
        raise CommandRefused(f"kinds: found {show(wrong[0])}, expected of {', '.join(known)}")
    assert isinstance(found, list)
    return frozenset(EventKind(each) for each in found)
