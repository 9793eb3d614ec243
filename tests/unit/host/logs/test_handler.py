"""The handler with a real thread and a real pipe; no test waits for a time."""

import fcntl
import logging
import os
import re
import threading
from collections.abc import Iterator

import pytest

from ramsterd.host.logs.handler import DEBUG_LINES_MAX, LogHandler
from ramsterd.host.logs.limiter import LINES_MAX, SPAN_SECONDS, Limiter, Verdict
from ramsterd.host.logs.line_queue import ENTRY_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_LINES_MAX


class Bench:
    """A handler that writes into a pipe, and a logger of its own."""

    def __init__(self, *, is_journal: bool = False) -> None:
        self.read_end, self.write_end = os.pipe()
        self.now = 0.0
        self.handler = LogHandler(
            self.write_end, is_journal=is_journal, clock=lambda: self.now, limiter=Limiter()
        )
        self.logger = logging.getLogger("ramster.bench")
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)
        self.logger.addHandler(self.handler)

    def lines(self) -> list[str]:
        """Return all that was written, after the end."""
        self.handler.close()
        os.set_blocking(self.read_end, False)
        data = b""
        while piece := self.read_some():
            data += piece
        return data.decode().splitlines()

    def texts(self) -> list[str]:
        """Return them without date, time, level and name."""
        return [line.split(": ", 1)[1] for line in self.lines()]

    def read_some(self) -> bytes:
        try:
            return os.read(self.read_end, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """The reader first: a writer that waits for it must not find another file under its number."""
        self.logger.removeHandler(self.handler)
        os.close(self.read_end)
        self.handler.close()
        assert self.handler._writer.close(10)
        os.close(self.write_end)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.handler.start()
    yield made
    made.close()


def test_a_line_has_time_level_and_name(bench: Bench) -> None:
    bench.logger.info("node %s serves", "alpha")
    [line] = bench.lines()
    assert line.split(" ", 2)[2] == "INFO    ramster.bench: node alpha serves"


def test_the_journal_gets_a_priority_and_no_second_time() -> None:
    bench = Bench(is_journal=True)
    bench.handler.start()
    bench.logger.error("one\ntwo")
    bench.handler.on_printed("Traceback")
    assert bench.lines() == [r"<3>ramster.bench: one\ntwo", "<3>Traceback"]
    bench.close()


@pytest.mark.slow
def test_a_reader_that_sleeps_blocks_nobody_and_is_told_how_much_it_missed(bench: Bench) -> None:
    """More is logged than pipe and queue hold; nothing is read until all was logged."""
    fcntl.fcntl(bench.write_end, fcntl.F_SETPIPE_SZ, 4096)
    count = QUEUE_LINES_MAX * 4
    for i in range(count):
        bench.logger.info("line %d %s", i, "x" * 100, extra={"lines_max": count})
    statistics = bench.handler.statistics()
    assert statistics.queued_lines <= QUEUE_LINES_MAX
    assert statistics.queued_bytes <= 2 * QUEUE_BYTES_MAX
    dropped = statistics.dropped_lines_total
    assert dropped > 0
    found = b""
    while said_or_missed(found) < count:
        found += os.read(bench.read_end, 65536)
    assert said_or_missed(found) == count
    assert b"log lines were dropped: nobody reads standard error fast enough" in found
    assert bench.handler.statistics().dropped_lines_total == dropped


def said_or_missed(log: bytes) -> int:
    missed = [
        int(number) for number in re.findall(rb"(\d+) log lines? (?:were|was) dropped: .*\n", log)
    ]
    return log.count(b"ramster.bench: line ") + sum(missed)


@pytest.mark.slow
def test_a_reader_that_never_reads_does_not_hold_up_the_end(bench: Bench) -> None:
    fcntl.fcntl(bench.write_end, fcntl.F_SETPIPE_SZ, 4096)
    for _ in range(100):
        bench.logger.debug("%s", "x" * 1000)
    bench.handler.close()
    assert bench.handler.statistics().queued_bytes > 0
    bench.logger.warning("nobody will read this")


def test_a_reader_that_is_gone_ends_nothing(bench: Bench) -> None:
    os.close(bench.read_end)
    bench.logger.warning("into the void")
    bench.handler.close()
    assert bench.handler.statistics().failed_writes_total == 1
    bench.read_end = os.open("/dev/null", os.O_RDONLY)


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for(bench: Bench) -> None:
    fcntl.fcntl(bench.write_end, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(bench.write_end, False)
    found = bytearray()

    def read_all() -> None:
        while b"the last\n" not in found:
            found.extend(os.read(bench.read_end, 100))

    for i in range(200):
        bench.logger.debug("%d %s", i, "x" * 100)
    bench.logger.info("the last")
    reader = threading.Thread(target=read_all)
    reader.start()
    reader.join(10)
    assert found.count(b"\n") == 201
    assert bench.handler.statistics().failed_writes_total == 0


def test_a_flood_is_cut_and_summed_up(bench: Bench) -> None:
    for i in range(LINES_MAX + 40):
        bench.logger.warning("client %d said garbage", i)
    bench.logger.warning("something else")
    for i in range(LINES_MAX * 2):
        bench.logger.debug("debugging is cut later: %d", i)
    bench.now = SPAN_SECONDS
    bench.handler.say_due()
    texts = bench.texts()
    assert texts[: LINES_MAX + 1] == [
        *(f"client {i} said garbage" for i in range(LINES_MAX)),
        "something else",
    ]
    assert texts[-1] == f"left out 40 lines like this in 60 s: client {LINES_MAX + 39} said garbage"
    assert len(texts) == LINES_MAX * 3 + 2
    assert bench.handler.statistics().left_out_lines_total == 40


def test_who_debugs_is_not_flooded_either(bench: Bench) -> None:
    for i in range(DEBUG_LINES_MAX):
        assert bench.handler._judge(debug_record(i)) is not Verdict.LEFT_OUT
    assert bench.handler._judge(debug_record(0)) is Verdict.LEFT_OUT


def debug_record(number: int) -> logging.LogRecord:
    return logging.LogRecord("x", logging.DEBUG, "", 0, "client %d", (number,), None)


def test_a_site_may_say_its_first_only(bench: Bench) -> None:
    for i in range(5):
        bench.logger.warning("read %d failed", i, extra={"lines_max": 1})
    assert bench.texts() == ["read 0 failed", "left out 4 lines like this in 60 s: read 4 failed"]


def test_a_traceback_is_shown_once_in_a_span(bench: Bench) -> None:
    for i in range(3):
        try:
            os.close(-1)
        except OSError:
            bench.logger.exception("accept failed, try %d", i)
    lines = bench.lines()
    assert sum("Traceback" in line for line in lines) == 1
    assert lines[-1].endswith("accept failed, try 2 (OSError(9, 'Bad file descriptor'))")


def test_a_call_with_wrong_arguments_is_named(bench: Bench) -> None:
    bench.handler.handle(logging.LogRecord("x", logging.INFO, __file__, 7, "two %d %d", (1,), None))
    [text] = bench.texts()
    assert text.startswith("a log line can't be formatted: 'two %d %d' at ")
    assert text.endswith("test_handler.py:7")


def test_no_line_is_longer_than_its_bound(bench: Bench) -> None:
    bench.logger.warning("%s", "é" * ENTRY_BYTES_MAX)
    [line] = bench.lines()
    assert ENTRY_BYTES_MAX <= len(line.encode()) < ENTRY_BYTES_MAX + 100
    assert line.endswith(" bytes more")


def test_what_is_printed_comes_out_as_it_is(bench: Bench) -> None:
    print("Traceback (most recent call last):", file=bench.handler.stream)
    bench.handler.stream.write("half a line")
    bench.logger.info("between")
    first, between, last = bench.lines()
    assert first == "Traceback (most recent call last):"
    assert between.endswith("ramster.bench: between")
    assert last == "half a line"
