"""Which lines of progress are printed, and how, at a terminal and elsewhere."""

import io

from ramsterd.cli.progress_line import REPEAT_SECONDS, ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_a_line_is_printed_when_it_has_news() -> None:
    stream = io.StringIO()
    progress = ProgressLine(stream)
    for now, (text, pages) in enumerate([("9 left", 9), ("9 left, 3 s", 9), ("8 left", 8)]):
        progress.show(text, pages, now=now)
    progress.end()
    assert stream.getvalue() == "9 left\n8 left\n"


def test_elsewhere_a_line_without_news_is_repeated_now_and_then() -> None:
    stream = io.StringIO()
    progress = ProgressLine(stream)
    for now in (0, 1, REPEAT_SECONDS - 1, REPEAT_SECONDS, REPEAT_SECONDS + 1, 2 * REPEAT_SECONDS):
        progress.show("9 left", 9, now=now)
    assert stream.getvalue() == "9 left\n" * 3


def test_at_a_terminal_one_line_is_rewritten_and_wiped_in_the_end() -> None:
    stream = Terminal()
    with ProgressLine(stream) as progress:
        progress.show("9 left", 9, now=0)
        progress.show("8 left", 8, now=1)
        progress.end()
    assert stream.getvalue() == "\r\x1b[K9 left\r\x1b[K8 left\r\x1b[K"


def test_at_a_terminal_a_long_line_is_cut() -> None:
    stream = Terminal()
    ProgressLine(stream).show("x" * 10_000, 1, now=0)
    assert len(stream.getvalue()) < 1000
