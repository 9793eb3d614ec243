"""Whatever a client or a peer puts into a message, it is one line of the log, and shows as what it is.

It can't begin a line of its own, end one, move the cursor of a terminal, or turn the direction of text.
"""

import json
import logging
import sys
import unicodedata

import pytest
from hypothesis import given, strategies as st

from config.event_kinds import EventKind, about
from config.model import LogFormat
from ramsterd.admin.event_commands import events
from ramsterd.cli.format_events import event_line
from ramsterd.host.events.recorder import EventRecorder
from ramsterd.host.logs.handler import LogHandler
from ramsterd.host.logs.limiter import Limiter

# Of each kind of trouble, more often than chance has them.
TROUBLE = st.sampled_from(
    [*"\n\r\t\x00\x07\x08\x0b\x0c\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\ufeff\ud800\udcff", "\x1b[2J", "\n<0>", "\r\n"]
)  # fmt: skip
TEXTS = st.lists(st.text() | TROUBLE | st.sampled_from(['"', "\\", "2026-03-01 "])).map("".join)


class Pipe:
    """A handler whose lines are read at once."""

    def __init__(self, *, is_journal: bool, form: LogFormat) -> None:
        self.written: list[bytes] = []
        self.handler = LogHandler(2, is_journal=is_journal, clock=lambda: 0.0, limiter=Limiter())
        self.handler.use_format(form)
        self.handler._writer.put = self.written.append  # type: ignore[assignment,method-assign]  # a fake

    def lines(self, record: logging.LogRecord) -> list[str]:
        self.written.clear()
        self.handler._limiter = Limiter()
        self.handler.handle(record)
        text = b"".join(self.written).decode()
        assert text.endswith("\n")
        return text[:-1].split("\n")


FORMS = [
    (False, LogFormat.TEXT),
    (True, LogFormat.TEXT),
    (False, LogFormat.JSON),
    (True, LogFormat.JSON),
]


@pytest.fixture(scope="module", params=FORMS, ids=str)
def pipe(request: pytest.FixtureRequest) -> Pipe:
    is_journal, form = request.param
    return Pipe(is_journal=is_journal, form=form)


def is_harmless(line: str) -> bool:
    """Return whether a terminal shows it as it stands: neither controls, nor formats, nor separators."""
    return all(each == " " or unicodedata.category(each)[0] not in "CZ" for each in line)


@given(TEXTS, TEXTS)
def test_a_message_is_one_harmless_line(pipe: Pipe, first: str, second: str) -> None:
    record = logging.LogRecord(
        "ramster.net", logging.WARNING, "", 0, "%s: %r", (first, second), None
    )
    record.__dict__.update(about(EventKind.LINK_LOST, node=second, reason=first))
    [line] = pipe.lines(record)
    assert is_harmless(line)
    if isinstance(pipe.handler.formatter, logging.Formatter) and pipe.handler._is_json:
        found = json.loads(line.removeprefix("<4>"))
        assert found["level"] == "warning"
        assert found["event"] == "link_lost"


@given(TEXTS)
def test_a_traceback_that_quotes_it_looks_like_no_message(pipe: Pipe, text: str) -> None:
    try:
        raise ValueError(text)  # noqa: TRY301  its traceback is what is tested
    except ValueError:
        record = logging.LogRecord(
            "ramster.net", logging.ERROR, "", 0, "failed", (), sys.exc_info()
        )
    first, *others = pipe.lines(record)
    assert "failed" in first
    assert all(is_harmless(line) for line in (first, *others))
    assert all(line.removeprefix("<3>").startswith("    ") for line in others)
    if pipe.handler._is_json:
        assert not others


@given(TEXTS)
def test_what_is_printed_is_one_harmless_line_for_each_of_its_lines(pipe: Pipe, text: str) -> None:
    pipe.written.clear()
    pipe.handler._limiter = Limiter()
    pipe.handler.stream.write(text)
    pipe.handler.stream.end_line()
    for line in b"".join(pipe.written).decode().split("\n")[:-1]:
        assert is_harmless(line)


@given(TEXTS, TEXTS)
def test_an_event_shows_the_same_harmless_text(text: str, name: str) -> None:
    recorder = EventRecorder(run="one", clock=lambda: 0.0)
    record = logging.LogRecord("ramster.net", logging.WARNING, "", 0, "%s", (text,), None)
    record.__dict__.update(about(EventKind.LINK_LOST, node=name, reason=text))
    recorder.handle(record)
    answer = events(recorder, {})
    assert isinstance(answer, dict)
    [event] = answer["events"]
    assert is_harmless(event_line(event))
    assert is_harmless(event["node"] or "")
    assert is_harmless(event["fields"]["reason"])
