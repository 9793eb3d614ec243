import io

import pytest

from ramsterd.demo.report import Report, mib


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_no_live_line_is_due() -> None:
    assert not Report(io.StringIO()).is_live_due()


def test_at_a_terminal_a_live_line_gives_way_to_the_next_line() -> None:
    terminal = Terminal()
    report = Report(terminal)
    assert report.is_live_due()
    report.live("writing", "half")
    report.say("written", "all")
    assert terminal.getvalue() == "writing     half\r\x1b[Kwritten     all\n"


def test_live_lines_do_not_follow_each_other_at_once() -> None:
    report = Report(Terminal())
    report.live("writing", "half")
    assert not report.is_live_due()


def test_a_live_line_never_fills_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    Report(terminal).live("writing", "x" * 100)
    assert terminal.getvalue() == "writing     xxxxxxx"


def test_one_claim_that_does_not_hold_fails_the_whole() -> None:
    stream = io.StringIO()
    report = Report(stream)
    verdicts = []
    for text, holds in (("one is one", True), ("one is two", False), ("two is two", True)):
        report.claim(text, holds=holds)
        verdicts.append(report.has_failed)
    assert verdicts == [False, True, True]
    assert stream.getvalue().splitlines()[1] == "  FAILED  one is two"


def test_a_table_lines_its_columns_up() -> None:
    stream = io.StringIO()
    Report(stream).table([("a", "1,000", "remark"), ("longer", "1", "")])
    assert stream.getvalue() == "  a       1,000  remark\n  longer      1\n"


def test_bytes_are_shown_in_mib() -> None:
    assert mib(3 << 29) == "1,536.0 MiB"
