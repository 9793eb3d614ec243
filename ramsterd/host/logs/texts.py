"""How a log line looks: with a time and a level, or as the journal wants it.

The journal has a time of its own and reads the level from a prefix of each line (sd-daemon(3)).
systemd names the stream that it reads in JOURNAL_STREAM (systemd.exec(5)): standard error may have
been redirected since.
"""

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Final, TypeAlias

SysExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

PLAIN_FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
JOURNAL_FORMAT: Final = "%(name)s: %(message)s"

# Levels of syslog(3), from the most verbose to the most severe.
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG_PRIORITY: Final = 7


# Begins each line of a traceback, and no other.
_CONTINUED: Final = "    "


class OneLineFormatter(logging.Formatter):
    """A formatter whose message is one line, whatever others put into its arguments.

    A traceback has its lines, all of them indented: what an exception quotes can't look like a
    message.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name is logging's
        """Return the line, with what does not print escaped."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: SysExcInfo) -> str:  # noqa: N802  the name is logging's
        """Return the traceback, with what does not print escaped in each line."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(_CONTINUED + printable(line) for line in lines)


def subsystem_of(logger_name: str) -> str:
    """Return the subsystem of a logger: `net` of `ramster.net` and `ramster.net.strangers`; a library is its own."""
    root, _, rest = logger_name.partition(".")
    return rest.split(".", 1)[0] if root == "ramster" else logger_name


def printable(text: str) -> str:
    """Return the text with control characters escaped: no argument can end a line and begin another."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else ascii(each)[1:-1]  # "\n" becomes \n in two characters
        for each in text
    )


def shortened(text: str, bytes_max: int) -> str:
    """Return the text, or its beginning and how much is missing."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= bytes_max:
        return text
    cut = len(encoded) - bytes_max
    return encoded[:bytes_max].decode(errors="ignore") + f" … {cut} bytes more"


def priority_prefix(level: int) -> str:
    """Return `<3>` and the like."""
    for least, priority in _PRIORITIES:
        if level >= least:
            return f"<{priority}>"
    return f"<{_DEBUG_PRIORITY}>"


def with_priority(text: str, level: int) -> str:
    """Return the text with the prefix before each of its lines: each is an entry of the journal."""
    prefix = priority_prefix(level)
    return "\n".join(prefix + line for line in text.split("\n"))


def is_journal(environ: Mapping[str, str], *, device: int, inode: int) -> bool:
    """Return whether the file with this device and inode is the stream that the journal reads."""
    return environ.get("JOURNAL_STREAM", "") == f"{device}:{inode}"
