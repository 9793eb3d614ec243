"""How far a drain is, from the node's own answers over time.  Pure."""

from typing import Final

from config.units import human_count
from ramsterd.core.stall import Stall

# The node fetches its own pages back as far as they fit.  Without progress for so long, no more
# fit.
OWN_SECONDS: Final = 10.0
# No foreign page has left for so long: an operator should look.
STALL_SECONDS: Final = 10.0
# A rate over less says nothing yet.
RATE_SECONDS_MIN: Final = 1.0
# Pages leave and others come back (a write at their owner, a page that is moved on): a number that
# wobbles, or falls by less than a hundredth, would be called progress for ever.
PROGRESS_PER_CENT_MIN: Final = 1


def _has_progressed(lowest: int, number: int) -> bool:
    return (lowest - number) * 100 >= max(lowest * PROGRESS_PER_CENT_MIN, 1)


class DrainProgress:
    """What was said last, and since when there was no progress."""

    def __init__(self, node: str) -> None:
        self._node = node
        # Empty: there is nothing to show yet.
        self.line = ""
        # What of the line is worth a new one: the time that is left, or without progress, is not.
        self.news: object = None
        # Whether it has given back all that it kept for others: it may be stopped.
        self.is_empty = False
        self._foreign, self._own = Stall(_has_progressed), Stall(_has_progressed)
        # When the first number of foreign pages came, and that number.
        self._first: tuple[float, int] | None = None

    def on_said(self, result: dict[str, object], *, now: float) -> bool:
        """Take an answer to `node-drain`; return whether the drain is over."""
        foreign, own = result["pages_foreign"], result["pages_own_elsewhere"]
        if not isinstance(foreign, int) or not isinstance(own, int):
            if not result["is_reached"]:
                self.line = (
                    f"{self._node} has no link to this node: it drains as soon as it has one"
                )
                self.news = self.line
            return False
        self.is_empty = not foreign
        foreign_seconds = self._foreign.look(foreign, now)
        own_seconds = self._own.look(own, now)
        self.news = foreign, own
        # What matters most comes first: a terminal may show no more.
        self.line = f"{self._node}: {human_count(foreign)} of other nodes are still there"
        if foreign and foreign_seconds >= STALL_SECONDS:
            self.line += (
                f", no change for {foreign_seconds:,.0f} s: no other node has room (see `ramsterctl nodes`)."
                " Type `ramsterctl memory set --budget SIZE` on one, or `ramsterctl node uncordon NAME`"
            )
        elif (seconds := self._seconds_left(foreign, now)) is not None:
            self.line += f", about {seconds:,.0f} s left"
        if own:
            self.line += f"; {own:,} of its own pages are only at peers"
        return not foreign and (not own or own_seconds >= OWN_SECONDS)

    def _seconds_left(self, foreign: int, now: float) -> float | None:
        """Return how long it takes at the rate so far; None: nothing has left yet, or all has."""
        self._first = self._first or (now, foreign)
        first_at, first = self._first
        seconds, gone = now - first_at, first - foreign
        if not foreign or gone <= 0 or seconds < RATE_SECONDS_MIN:
            return None
        return max(1.0, foreign * seconds / gone)
