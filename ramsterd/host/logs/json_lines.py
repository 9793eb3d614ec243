"""A log line as a JSON object, for programs that collect logs.

    {"time": "2026-03-01T09:30:00.123Z", "level": "warning", "subsystem": "nodes", "message": "…"}

A line about an event has its kind and names, too, and one with a traceback has `traceback`, a list
of lines.  Texts are escaped as in the other format, so a line is one line wherever it is shown.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Final

from ramsterd.host.logs.line_queue import ENTRY_BYTES_MAX
from ramsterd.host.logs.texts import printable, shortened, subsystem_of

# JSON writes a quote or a backslash as two bytes: with those of the message, half an entry is left.
MESSAGE_BYTES_MAX: Final = ENTRY_BYTES_MAX // 4
# Of an event, of which there are few.
NAME_BYTES_MAX: Final = 256


class JsonFormatter(logging.Formatter):
    """Formats a record as one line, of at most `ENTRY_BYTES_MAX`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, object] = {
            "time": show_time(record.created),
            "level": record.levelname.lower(),
            "subsystem": subsystem_of(record.name),
            "message": shortened(printable(record.getMessage()), MESSAGE_BYTES_MAX),
        }
        for key, value in getattr(record, "event", {}).items():
            is_text = isinstance(value, str)
            fields[key] = shortened(printable(value), NAME_BYTES_MAX) if is_text else value
        if not record.exc_info:
            return _dump(fields)
        return _dump({**fields, "traceback": self._traceback(record, len(_dump(fields).encode()))})

    def _traceback(self, record: logging.LogRecord, used_bytes: int) -> list[str]:
        """Return as many of its lines as have room; the last ones matter most."""
        assert record.exc_info is not None
        lines = [printable(line) for line in self.formatException(record.exc_info).split("\n")]
        room_bytes = (
            ENTRY_BYTES_MAX - used_bytes - 64
        )  # for the key, and what says how many are missing
        shown: list[str] = []
        for line in reversed(lines):
            room_bytes -= len(_dump(line).encode()) + len(", ")
            if room_bytes < 0:
                return [f"… {len(lines) - len(shown)} lines more", *reversed(shown)]
            shown.append(line)
        return lines


def show_time(wall_seconds: float) -> str:
    """Return seconds since 1970 as a time of RFC 3339, in UTC."""
    at = datetime.fromtimestamp(wall_seconds, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
