import json
import logging
import sys

import pytest

from ramsterd.host.logs.json_lines import JsonFormatter, show_time
from ramsterd.host.logs.line_queue import ENTRY_BYTES_MAX


def formatted(text: str, *arguments: object, **extra: object) -> str:
    record = logging.LogRecord("ramster.net", logging.WARNING, "", 0, text, arguments, None)
    record.created = 1_772_357_400.1239
    record.__dict__.update(extra)
    return JsonFormatter().format(record)


def test_a_line_has_time_level_subsystem_and_message() -> None:
    line = formatted("from %s", 'a\n"b"\x1b[0m é')
    assert line == (
        '{"time": "2026-03-01T09:30:00.123Z", "level": "warning", "subsystem": "net",'
        r' "message": "from a\\n\"b\"\\x1b[0m é"}'
    )


def test_a_line_about_an_event_has_its_fields() -> None:
    found = json.loads(formatted("lost", event={"event": "link_lost", "node": "beta"}))
    assert found["event"] == "link_lost"
    assert found["node"] == "beta"


def failed(text: str) -> str:
    try:
        raise ValueError(text)  # noqa: TRY301  its traceback is what is tested
    except ValueError:
        return formatted("it failed", exc_info=sys.exc_info())


def test_a_traceback_is_a_list_of_lines() -> None:
    found = json.loads(failed("a\n2026-03-01 a forged line\x1b"))
    assert found["traceback"][0] == "Traceback (most recent call last):"
    assert found["traceback"][-1] == r"2026-03-01 a forged line\x1b"


@pytest.mark.parametrize("letter", ["x", '"', "\\", "\n", "é", "\U0001f9e0", "\x00", "\ud800"])
def test_no_line_is_longer_than_its_bound(letter: str) -> None:
    for line in (formatted("%s", letter * ENTRY_BYTES_MAX), failed(letter * ENTRY_BYTES_MAX)):
        assert len(line.encode()) <= ENTRY_BYTES_MAX
        assert "\n" not in line
        json.loads(line)


def test_the_end_of_a_long_traceback_is_kept() -> None:
    found = json.loads(failed("\n".join(f"line {i}" for i in range(ENTRY_BYTES_MAX))))
    assert found["traceback"][-1] == f"line {ENTRY_BYTES_MAX - 1}"
    assert found["traceback"][0].endswith(" lines more")


def test_times_are_in_utc() -> None:
    assert show_time(0.9999) == "1970-01-01T00:00:00.999Z"
