"""What follows when a peer says that it knows a newer incarnation of this node than the one it has.  Pure.

The peer refuses this node until it has a newer incarnation still.  A node that nobody keeps pages
for, and that keeps none for others, loses nothing by that: it goes on as a new incarnation at once.
Any other one notes what it heard, for its next start, and says what to do: its pages at peers, and
theirs here, end with its incarnation.

A peer with which this very incarnation was linked before does not know better than we did: another
process runs with the files of this node and was linked meanwhile.  To become newer than that one
would end its pages, and it would answer in kind, so that is the operator's to decide.
"""

import enum
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import is_believed

# One peer is listened to so often: one that says another floor at each dial makes us begin anew no
# more often.
FLOOR_SECONDS_MIN: Final = 60.0


class FloorOutcome(enum.Enum):
    """What became of what a peer said; a label of the metric, so the values stay."""

    ADOPTED = "adopted"  # this node goes on above it
    NOTED = "noted"  # the next start will be above it
    DISBELIEVED = "disbelieved"  # it is too far ahead of our clock
    IGNORED = "ignored"  # too soon after another of that peer, or we are above it


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorStatistics:
    """One snapshot."""

    # The newest incarnation of this node that a peer said it knows; 0: none above our own.
    newest: Incarnation
    heard_total: dict[FloorOutcome, int]


class Floors:
    """What peers said of us."""

    def __init__(self) -> None:
        self._newest = Incarnation(0)
        self._listened_at: dict[NodeId, float] = {}
        self._heard_total = dict.fromkeys(FloorOutcome, 0)

    def on_outdated(
        self,
        node: NodeId,
        newest: Incarnation,
        *,
        ours: Incarnation,
        is_free: bool,
        clock_milliseconds: int,
        now: float,
    ) -> FloorOutcome:
        """Judge what a peer says that it knows.

        Args:
            node: Who says so.
            newest: The incarnation of ours that it knows.
            ours: The one that we have.
            is_free: Whether nothing is lost by another one, and that peer never linked with ours.
            clock_milliseconds: The wall clock.
            now: Monotonic seconds.
        """
        outcome = self._judge(node, newest, ours, is_free, clock_milliseconds, now)
        self._heard_total[outcome] += 1
        if outcome in {FloorOutcome.ADOPTED, FloorOutcome.NOTED}:
            self._newest = max(self._newest, newest)
        return outcome

    def _judge(
        self,
        node: NodeId,
        newest: Incarnation,
        ours: Incarnation,
        is_free: bool,
        clock_milliseconds: int,
        now: float,
    ) -> FloorOutcome:
        listened_at = self._listened_at.get(node)
        is_soon = listened_at is not None and now < listened_at + FLOOR_SECONDS_MIN
        if is_soon or newest <= ours:
            return FloorOutcome.IGNORED
        self._listened_at[node] = now
        if not is_believed(newest, clock_milliseconds=clock_milliseconds):
            return FloorOutcome.DISBELIEVED
        return FloorOutcome.ADOPTED if is_free else FloorOutcome.NOTED

    def statistics(self, *, ours: Incarnation) -> FloorStatistics:
        """Return a snapshot."""
        return FloorStatistics(
            newest=self._newest if self._newest > ours else Incarnation(0),
            heard_total=dict(self._heard_total),
        )
