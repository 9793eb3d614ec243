import logging
import sys

import pytest

from ramsterd.host.logs.texts import (
    OneLineFormatter,
    is_journal,
    printable,
    shortened,
    with_priority,
)


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
        (logging.CRITICAL, "<2>"),
    ],
)
def test_each_line_has_the_priority_of_its_level(level: int, prefix: str) -> None:
    assert with_priority("a\n b", level) == f"{prefix}a\n{prefix} b"


@pytest.mark.parametrize(
    ("named", "is_ours"), [("8:21", True), ("8:2", False), ("8", False), ("", False), (None, False)]
)
def test_the_journal_reads_only_the_stream_that_systemd_named(
    named: str | None, is_ours: bool
) -> None:
    environ = {} if named is None else {"JOURNAL_STREAM": named}
    assert is_journal(environ, device=8, inode=21) is is_ours


def test_what_others_say_ends_no_line_and_begins_none() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "from %s", ("a\n<2>x: \x1b[0m é",), None)
    assert OneLineFormatter("%(message)s").format(record) == r"from a\n<2>x: \x1b[0m é"
    assert printable("é") == "é"


def test_what_an_exception_says_looks_like_no_message() -> None:
    formatter = OneLineFormatter("%(message)s")
    try:
        raise ValueError("a\n2026-03-01 00:00:00 INFO forged\x1b[0m\r")  # noqa: TRY301
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    first, *others = formatter.format(record).split("\n")
    assert first == "failed"
    assert others[0] == "    Traceback (most recent call last):"
    assert others[-1] == r"    2026-03-01 00:00:00 INFO forged\x1b[0m\r"


def test_what_is_too_long_is_cut_and_says_how_much_is_missing() -> None:
    assert shortened("é" * 3, 6) == "ééé"
    assert shortened("é" * 3, 5) == "éé … 1 bytes more"
