"""What an operator may say of long work: why, and until when."""

from pathlib import Path
from typing import Final

from config.durations import DURATION_SECONDS_MAX, format_duration
from config.errors import Mismatch
from config.kinds import Text
from config.limits import REASON_BYTES_MAX
from config.reader import show
from ramsterd.admin.socket import CommandRefused

_REASON: Final = Text(REASON_BYTES_MAX)


def read_reason(request: dict[str, object]) -> str:
    """Return the `reason` of a request, empty if there is none.

    Raises:
        CommandRefused: It is too long, or not one line of printable text.
    """
    found = request.get("reason")
    try:
        return "" if found is None else _REASON.read(found, Path())
    except Mismatch as mismatch:
        raise CommandRefused(f"reason: found {show(found)}, expected {mismatch}") from None


def read_deadline(request: dict[str, object]) -> float | None:
    """Return the `deadline_seconds` of a request; None: it has none.

    Raises:
        CommandRefused: It is no time.
    """
    found = request.get("deadline_seconds")
    if found is None:
        return None
    if (
        isinstance(found, int | float)
        and not isinstance(found, bool)
        and 0 < found <= DURATION_SECONDS_MAX
    ):
        return float(found)
    longest = format_duration(DURATION_SECONDS_MAX)
    raise CommandRefused(
        f"deadline: found {show(found)}, expected a time of more than 0 s and {longest} at most"
    )
