"""`events`: a part of the ring, and refusals that say what was expected."""

import json
import logging
from typing import Any

import pytest

from config.event_kinds import EventKind, about
from ramsterd.admin.event_commands import events
from ramsterd.admin.socket import CommandRefused
from ramsterd.host.events.recorder import EVENTS_PER_SPAN_MAX, EventRecorder
from ramsterd.host.events.ring import EVENTS_MAX, PAGE_EVENTS_MAX
from ramsterd.host.logs.json_lines import NAME_BYTES_MAX


@pytest.fixture
def recorder() -> EventRecorder:
    return EventRecorder(run="one", clock=lambda: 0.0)


def note(recorder: EventRecorder, text: str, **names: Any) -> None:
    record = logging.LogRecord("ramster.x", logging.WARNING, "", 0, text, (), None)
    record.created = 1_772_357_400.5
    record.__dict__.update(about(**names))
    recorder.handle(record)


def ask(recorder: EventRecorder, **request: object) -> dict[str, Any]:
    answer = events(recorder, {"command": "events", **request})
    assert isinstance(answer, dict)
    return answer


def test_an_event_is_a_plain_object(recorder: EventRecorder) -> None:
    note(recorder, "node beta is down: silent", kind=EventKind.NODE_DOWN, node="beta", pages=7)
    assert ask(recorder) == {
        "run": "one", "first": 1, "last": 1, "after": 1,
        "events": [
            {
                "number": 1, "time": "2026-03-01T09:30:00.500Z", "kind": "node_down",
                "severity": "warning", "node": "beta", "export": None, "pool": None,
                "text": "node beta is down: silent", "fields": {"pages": 7},
            }
        ],
    }  # fmt: skip


def test_kind_and_time_choose(recorder: EventRecorder) -> None:
    note(recorder, "down", kind=EventKind.NODE_DOWN)
    note(recorder, "up", kind=EventKind.NODE_UP)
    assert [each["text"] for each in ask(recorder, kinds=["node_up"])["events"]] == ["up"]
    assert ask(recorder, kinds=[])["events"] == []
    assert len(ask(recorder, since=1_772_357_400)["events"]) == 2
    assert ask(recorder, since=1_772_357_401)["events"] == []
    assert [each["text"] for each in ask(recorder, after=1)["events"]] == ["up"]


def test_a_whole_ring_of_the_longest_comes_in_pages_that_a_reader_takes(
    recorder: EventRecorder,
) -> None:
    for i in range(2 * EVENTS_MAX):
        node = f"{i // EVENTS_PER_SPAN_MAX}" + "é" * NAME_BYTES_MAX
        note(recorder, "\\" * 1000, kind=EventKind.NODE_UP, node=node, export=node, pool=node)
    after, seen = 0, 0
    while True:
        answer = ask(recorder, after=after)
        assert len(json.dumps(answer)) < 2_000_000
        assert len(answer["events"]) <= PAGE_EVENTS_MAX
        seen, after = seen + len(answer["events"]), answer["after"]
        if after == answer["last"]:
            break
    assert seen == EVENTS_MAX


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"after": -1}, "after: found -1, expected the number of an event"),
        ({"after": True}, "after: found"),
        ({"after": "1"}, "after: found '1'"),
        ({"since": "1h"}, "since: found '1h', expected seconds since 1970"),
        ({"since": float("nan")}, "since: found"),
        ({"kinds": "node_up"}, "kinds: found 'node_up', expected of daemon_started, "),
        ({"kinds": ["node_up", "no_such"]}, "kinds: found 'no_such', expected of"),
        ({"kinds": [["node_up"]]}, "kinds: found"),
        ({"kinds": {"node_up": 1}}, "kinds: found"),
    ],
)
def test_what_is_wrong_is_refused(
    recorder: EventRecorder, request_: dict[str, object], message: str
) -> None:
    with pytest.raises(CommandRefused) as caught:
        ask(recorder, **request_)
    assert str(caught.value).startswith(message)
