"""Which incarnation a node takes at its start, and which one it believes that others have seen.  Pure.

An incarnation is the wall clock at the start of a daemon, in milliseconds, because that rises from
start to start even where nothing is kept on disk.  A wall clock also goes back: it was a day ahead
and was set right, or stands at 1970 until a time server answers.  A node that then took the clock
alone would be shut out as an earlier incarnation of itself.  So a start takes what is above the
clock and above the last one that was noted on disk; and a node that refuses an earlier incarnation
says which one it knows, the *floor*: the next start is above that, too.

Any member may say any floor.  It is believed up to `FLOOR_AHEAD_MILLISECONDS_MAX` above our clock
and never measured by an earlier floor, so however often somebody says one, an incarnation stays far
below the last that there is.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from nodemanager.ids import Incarnation

# 64 bits on the wire.
INCARNATION_MAX: Final = (1 << 64) - 1
# What milliseconds count from.
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
# How often one incarnation goes on with the memory of an ended process: the heartbeat's counters,
# 64 bits, begin at the count, shifted by 40.  Once a second that is half a year.
ATTACH_COUNT_MAX: Final = (1 << 24) - 1
# A hundred years: clocks begin at 1970 where a battery is empty, and were seen decades ahead.
FLOOR_AHEAD_MILLISECONDS_MAX: Final = 100 * 366 * 24 * 3600 * 1000
# Until the year 10000 there is room above the clock for all floors, and for a million times as
# many.
assert 253_402_300_800_000 + 1_000_000 * FLOOR_AHEAD_MILLISECONDS_MAX < INCARNATION_MAX


def first_incarnation(*, clock_milliseconds: int, last: int) -> Incarnation:
    """Return the incarnation of a new start, above the last one noted (0: none)."""
    return Incarnation(max(clock_milliseconds, last + 1))


def is_believed(floor: Incarnation, *, clock_milliseconds: int) -> bool:
    """Whether a peer may be right that it knows such an incarnation of us."""
    return floor <= clock_milliseconds + FLOOR_AHEAD_MILLISECONDS_MAX


def show_start(incarnation: Incarnation) -> str:
    """Return when a node started, by its own clock, as an operator reads it: two incarnations look different."""
    try:
        started = _BEGIN + timedelta(milliseconds=incarnation)
    except OverflowError:  # one that a peer made up, beyond the year 9999
        return f"incarnation {incarnation}"
    return f"{started:%Y-%m-%d %H:%M:%S}.{started.microsecond // 1000:03} UTC"


def show_ended(name: str, incarnation: Incarnation) -> str:
    """Return why nothing is taken from an earlier incarnation of a node."""
    return f"node {name} has a later start than {show_start(incarnation)}"
