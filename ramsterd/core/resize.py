"""Changing the budget while pages are in use.

Growing takes effect at once.  Shrinking is a way down: the new budget holds at once for all who
want a new block, and what is over it leaves as ever (clean copies, ephemeral pages, then remotify).
If that comes to a halt, because no peer has room or what is left is not ours, the budget stays
above where the memory stands.  Nothing is lost for it.

Above, for a node that is exactly full refuses every write of a page that is not here already.  It
stops where what is resident is at the low watermark: there nothing must leave, nothing of others is
recalled, and the rest is room for writes, as it is on any node whose pages have found peers.  It
never has more than it had before.
"""

import enum
import math
from dataclasses import dataclass
from typing import Final

from config.limits import PAGE_BYTES
from ramsterd.core.room import Room
from ramsterd.core.stall import Stall, has_fallen

# Without a PUT under way nothing more will leave, unless a peer's next STATUS brings news: they
# come twice a second.
STALL_SECONDS: Final = 3.0
# PUTs may be under way without ever being answered.  Longer than one may take.
STALL_SECONDS_MAX: Final = 12.0


class ResizeState(enum.Enum):
    """How the last change of the budget went."""

    DONE = "done"
    SHRINKING = "shrinking"
    STOPPED = "stopped short"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeStatistics:
    """The budget that was asked for last, and what became of it."""

    state: ResizeState
    target_bytes: int


class Resize:
    """The way from one budget to another."""

    def __init__(self, room: Room) -> None:
        self._room, self._zbud = room, room.versions.zbud
        self._state = ResizeState.DONE
        self._target_bytes = self._zbud.budget_bytes
        # The budget that was in force before the way down began.
        self._before_bytes = self._zbud.budget_bytes
        # Of resident bytes.
        self._stall = Stall(has_fallen)

    def begin(self, budget_bytes: int, *, now: float) -> None:
        """Set a budget, in bytes, at most `limits.budget_bytes_max`.

        `on_progress` says how it goes.
        """
        if not self.is_shrinking:
            self._before_bytes = self._zbud.budget_bytes
        self._room.set_budget(budget_bytes)
        self._target_bytes = budget_bytes
        self._state = ResizeState.SHRINKING
        self._stall.look(self._zbud.resident_bytes, now, is_moving=True)

    @property
    def is_shrinking(self) -> bool:
        """Whether more memory is in use than the budget allows, and on its way out."""
        return self._state is ResizeState.SHRINKING

    def on_progress(self, *, now: float, is_under_way: bool) -> ResizeState | None:
        """Look how far it is.

        `is_under_way` if pages travel to peers.  Return the state that it ended in, once.
        """
        if not self.is_shrinking:
            return None
        zbud = self._zbud
        if zbud.resident_bytes <= self._target_bytes:
            self._state = ResizeState.DONE
            return self._state
        stalled_seconds = self._stall.look(zbud.resident_bytes, now)
        if stalled_seconds >= (STALL_SECONDS_MAX if is_under_way else STALL_SECONDS):
            zbud.set_budget(self._stopped_bytes())
            self._state = ResizeState.STOPPED
            return self._state
        return None

    def _stopped_bytes(self) -> int:
        """Return the budget at which what is resident is at the low watermark, but no more than there was."""
        resident_bytes = self._zbud.resident_bytes
        pages = math.ceil(resident_bytes / self._room.limits.low_watermark / PAGE_BYTES)
        return max(resident_bytes, min(pages * PAGE_BYTES, self._before_bytes))

    def statistics(self) -> ResizeStatistics:
        """Return a snapshot."""
        return ResizeStatistics(state=self._state, target_bytes=self._target_bytes)
