"""A log line with a kind is an event with the same text, whatever the log shows."""

import logging
from collections.abc import Iterator

import pytest

from config.event_kinds import EventKind, about
from ramsterd.host.events.recorder import (
    EVENTS_PER_SPAN_MAX,
    TEXT_BYTES_MAX,
    EventRecorder,
)
from ramsterd.host.events.ring import Filter, Happening, Severity
from ramsterd.host.logs.json_lines import NAME_BYTES_MAX
from ramsterd.host.logs.limiter import SPAN_SECONDS


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.recorder = EventRecorder(run="one", clock=lambda: self.now)
        self.logger = logging.getLogger("ramster.events-bench")
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)
        self.logger.addHandler(self.recorder)

    def happenings(self) -> list[Happening]:
        return [event.what for event in self.recorder.page(0).events]

    def texts(self) -> list[str]:
        return [what.text for what in self.happenings()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.logger.removeHandler(made.recorder)


def test_a_line_with_a_kind_is_an_event(bench: Bench) -> None:
    extra = about(EventKind.NODE_DOWN, node="beta", pages=7)
    bench.logger.warning("node %s is down: %s", "beta", "silent", extra=extra)
    bench.logger.warning("no event")
    [what] = bench.happenings()
    assert (what.kind, what.severity) == (EventKind.NODE_DOWN, Severity.WARNING)
    assert (what.text, what.node, what.export) == ("node beta is down: silent", "beta", "")
    assert what.fields == {"pages": 7}
    assert what.time > 1_700_000_000


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (logging.INFO, Severity.INFO),
        (logging.WARNING, Severity.WARNING),
        (logging.ERROR, Severity.ERROR),
        (logging.CRITICAL, Severity.ERROR),
    ],
)
def test_the_level_is_the_severity(bench: Bench, level: int, severity: Severity) -> None:
    bench.logger.log(level, "x", extra=about(EventKind.NODE_UP))
    assert [what.severity for what in bench.happenings()] == [severity]


def test_what_only_debugging_shows_is_no_event(bench: Bench) -> None:
    bench.logger.debug("again", extra=about(EventKind.LINK_FAILED, node="beta"))
    assert bench.happenings() == []


def test_a_peer_that_comes_and_goes_pushes_out_nobody_else(bench: Bench) -> None:
    for i in range(500):
        bench.logger.info("up %d", i, extra=about(EventKind.LINK_UP, node="beta"))
    bench.logger.info("up", extra=about(EventKind.LINK_UP, node="gamma"))
    bench.logger.info("down", extra=about(EventKind.NODE_DOWN, node="beta"))
    assert len(bench.texts()) == EVENTS_PER_SPAN_MAX + 2
    bench.now = SPAN_SECONDS
    bench.recorder.on_time()
    assert bench.texts()[-1] == "490 more events like this in 60 s: up 499"
    last = bench.happenings()[-1]
    assert (last.kind, last.node) == (EventKind.LINK_UP, "beta")
    assert bench.recorder.statistics().left_out_events_total == 490


def test_what_others_say_is_escaped_and_cut(bench: Bench) -> None:
    extra = about(EventKind.NODE_UP, node="a\nb" + "x" * 1000, who="\x1b[0m")
    bench.logger.info("%s", "a\n" + "é" * 1000, extra=extra)
    [what] = bench.happenings()
    assert what.text.startswith(r"a\né")
    assert len(what.text.encode()) <= TEXT_BYTES_MAX + 30
    assert what.node.startswith(r"a\nb")
    assert len(what.node.encode()) <= NAME_BYTES_MAX + 30
    assert what.fields == {"who": r"\x1b[0m"}


def test_a_call_that_is_wrong_ends_nothing(bench: Bench) -> None:
    for text, extra in (
        ("two %d %d", about(EventKind.NODE_UP)),
        ("unknown %d", {"event": {"event": "no_such_kind"}}),
    ):
        record = logging.LogRecord("ramster.x", logging.INFO, "", 0, text, (1,), None)
        record.__dict__.update(extra)
        bench.recorder.handle(record)
    assert bench.happenings() == []


def test_a_reader_may_want_some_only(bench: Bench) -> None:
    bench.logger.info("up", extra=about(EventKind.NODE_UP))
    bench.logger.info("down", extra=about(EventKind.NODE_DOWN))
    page = bench.recorder.page(0, Filter(kinds=[EventKind.NODE_DOWN]))
    assert [event.what.text for event in page.events] == ["down"]


def test_the_snapshot_counts_all(bench: Bench) -> None:
    bench.logger.info("up", extra=about(EventKind.NODE_UP))
    bench.logger.error("lost", extra=about(EventKind.PAGES_LOST))
    now = bench.recorder.statistics()
    assert now.kept_events == 2
    assert now.events_total == {Severity.INFO: 1, Severity.WARNING: 0, Severity.ERROR: 1}
    assert now.dropped_events_total == now.left_out_events_total == 0
