import logging

import pytest

from ramsterd.host.logs.texts import OneLineFormatter, is_journal, printable, with_priority


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
