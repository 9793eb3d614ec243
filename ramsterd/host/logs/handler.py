"""The handler of the root logger: limits, formats, queues."""

import copy
import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from config.model import LogFormat
from ramsterd.host.logs.json_lines import JsonFormatter
from ramsterd.host.logs.limiter import LINES_MAX, Limiter, Verdict
from ramsterd.host.logs.line_queue import ENTRY_BYTES_MAX, LineQueue
from ramsterd.host.logs.locking import locked
from ramsterd.host.logs.streams import LineStream
from ramsterd.host.logs.texts import (
    JOURNAL_FORMAT,
    PLAIN_FORMAT,
    OneLineFormatter,
    printable,
    shortened,
    subsystem_of,
    with_priority,
)
from ramsterd.host.logs.writer import LogWriter

# At the end, how long what is queued may take to be written.  A reader that is alive needs no time
# at all.
CLOSE_SECONDS_MAX: Final = 1.0
# Of one kind of line while an operator debugs: enough to follow what happens, and no flood.
DEBUG_LINES_MAX: Final = 6000
# What is printed is mostly tracebacks: some of them must come through whole.
PRINTED_LINES_MAX: Final = 400

_NAME: Final = "ramster.log"
# Where the sites stand that the limiter has no budget of their own for.
_OTHERS: Final = (_NAME, logging.WARNING)
_PRINTED: Final = (_NAME, logging.ERROR, "printed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatistics:
    """What became of log lines."""

    # Wait to be written, now; bytes with those that the writer has in hand.
    queued_lines: int
    queued_bytes: int
    lines_total: int
    # Not queued, for the queue was full: nobody reads the log fast enough.
    dropped_lines_total: int
    # Only counted, for their site had said enough.
    left_out_lines_total: int
    failed_writes_total: int


class LogHandler(logging.Handler):
    """Says what the limiter lets pass, through the queue of a writer.  Never blocks."""

    def __init__(
        self,
        descriptor: int,
        *,
        is_journal: bool,
        clock: Callable[[], float],
        limiter: Limiter[str],
    ) -> None:
        super().__init__()
        # Of each subsystem, and of what is none.
        self._levels: Mapping[str, int] = {}
        self._level_of_others = logging.NOTSET
        self.addFilter(self._is_wanted)
        self._is_journal = is_journal
        self._clock = clock
        self._limiter = limiter
        self._queue = LineQueue()
        self._writer = LogWriter(descriptor, queue=self._queue, say_dropped=self._dropped_entry)
        self._lines_total = 0
        self._is_closed = False
        self.stream = LineStream(self.on_printed)
        self.use_format(LogFormat.TEXT)

    def use_format(self, name: LogFormat) -> None:
        """Format lines so from now on."""
        self._is_json = name is LogFormat.JSON
        text_format = JOURNAL_FORMAT if self._is_journal else PLAIN_FORMAT
        self.setFormatter(JsonFormatter() if self._is_json else OneLineFormatter(text_format))

    def use_levels(self, levels: Mapping[str, int], *, others: int) -> None:
        """Say only records of these levels and above: by subsystem, and of what is none."""
        self._levels, self._level_of_others = levels, others

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        subsystem = subsystem_of(record.name)
        return record.levelno >= self._levels.get(subsystem, self._level_of_others)

    def start(self) -> None:
        """Start the writer; raises ThreadRefused if there can be no thread."""
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Say a record, or count it."""
        try:
            self.say_due()
            match self._judge(record):
                case Verdict.FIRST:
                    self._say(self.format(record), record.levelno)
                case Verdict.SAID:
                    self._say(self.format(without_traceback(record)), record.levelno)
                case Verdict.LEFT_OUT:
                    # Not the record: it would keep alive what its arguments and its traceback name.
                    self._limiter.leave_out(site_of(record), record.getMessage())
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name is logging's
        """Say that a call of the logger is wrong, and where it stands."""
        where = f"{record.pathname}:{record.lineno}"
        self._tell(logging.ERROR, f"a log line can't be formatted: {record.msg!r} at {where}")

    def _judge(self, record: logging.LogRecord) -> Verdict:
        """Ask the limiter.  An end is said but once: it passes."""
        if record.levelno >= logging.CRITICAL:
            return Verdict.FIRST
        is_debugging = record.levelno < logging.INFO
        lines_max = DEBUG_LINES_MAX if is_debugging else getattr(record, "lines_max", LINES_MAX)
        return self._limiter.admit(site_of(record), now=self._clock(), lines_max=lines_max)

    def on_printed(self, line: str) -> None:
        """Say a line that was printed, as it is."""
        with locked(self):
            now = self._clock()
            self.say_due()
            verdict = self._limiter.admit(_PRINTED, now=now, lines_max=PRINTED_LINES_MAX)
            if verdict is Verdict.LEFT_OUT:
                self._limiter.leave_out(_PRINTED, line)
            elif self._is_json:
                self._tell(logging.ERROR, line)
            else:
                self._say(printable(line), logging.ERROR)

    def say_due(self, now: float | None = None) -> None:
        """Say how many lines were left out, where a span has ended."""
        with locked(self):
            for each in self._limiter.due(now=self._clock() if now is None else now):
                name, level = each.site[:2] if isinstance(each.site, tuple) else _OTHERS
                lines = "line" if each.count == 1 else "lines"
                text = (
                    f"left out {each.count} {lines} like this in {each.seconds:.0f} s: {each.last}"
                )
                self._tell(level, text, name)

    def close(self) -> None:
        """Write what is queued, within a bound.  `logging.shutdown` calls this when the process ends."""
        if not self._is_closed:
            self._is_closed = True
            self.stream.end_line()
            self.say_due(now=float("inf"))
            self._writer.close(CLOSE_SECONDS_MAX)
        super().close()

    def statistics(self) -> LogStatistics:
        """Return a snapshot."""
        return LogStatistics(
            queued_lines=len(self._queue),
            queued_bytes=self._queue.waiting_bytes + self._writer.writing_bytes,
            lines_total=self._lines_total,
            dropped_lines_total=self._queue.dropped_total,
            left_out_lines_total=self._limiter.left_out_total,
            failed_writes_total=self._writer.failed_total,
        )

    def _tell(self, level: int, text: str, name: str = _NAME) -> None:
        """Say something of our own, past the limiter."""
        record = logging.LogRecord(name, level, "", 0, "%s", (text,), None)
        self._say(self.format(record), level)

    def _say(self, text: str, level: int) -> None:
        self._lines_total += 1
        self._writer.put(self._encode(text, level))

    def _encode(self, text: str, level: int) -> bytes:
        text = shortened(text, ENTRY_BYTES_MAX)
        if self._is_journal:
            text = with_priority(text, level)
        return text.encode(errors="backslashreplace") + b"\n"

    def _dropped_entry(self, count: int) -> bytes:
        lines = "log line was" if count == 1 else "log lines were"
        text = f"{count} {lines} dropped: nobody reads standard error fast enough"
        record = logging.LogRecord(_NAME, logging.WARNING, "", 0, text, None, None)
        return self._encode(self.format(record), logging.WARNING)


def site_of(record: logging.LogRecord) -> Hashable:
    """Return what the limiter counts a record as: where it was logged, and with what exception."""
    text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    kind = record.exc_info[0] if record.exc_info else None
    return (record.name, record.levelno, text, kind)


def without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record that is said in one line: its site has shown a traceback in this span."""
    if not record.exc_info:
        return record
    short = copy.copy(record)
    error = record.exc_info[1]
    short.msg, short.args = "%s (%r)", (record.getMessage(), error)
    short.exc_info = short.exc_text = None
    return short
