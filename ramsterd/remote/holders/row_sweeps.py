"""Row sweeps: after a holder is lost, all rows that name it are checked, in slices of the row table.

If the holder's incarnation has ended, pages that only it had are lost, and clean copies of its
other pages become ours alone.
If the holder has no link, or more copies are wanted than there are, no page is lost:
the sweep finds the pages with too few copies.

A holder that is restarted with its memory kept has no link for a moment, and so has every holder
when this node is.  So a holder without a link is *awaited* first: its copies count as being there,
though nobody can ask for them, and nothing is copied again.  That ends when it is linked, when it
is judged down, and after `GRACE_SECONDS`.
"""

from collections.abc import Callable
from typing import Final

from ramsterd.core.copies import Copies
from ramsterd.core.room import Room
from ramsterd.core.row_sweep import find_held_by, lose_held_by
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.limits.alarm import earlier

# Rows looked at in one slice, pages that are adopted or lost in it (some 8 ms), and the pause after
# it.
SWEEP_ROWS: Final = 4096
SWEEP_PAGES: Final = 1024
SWEEP_SECONDS: Final = 0.02
# For so long a holder without a link may be on its way back: longer than a restart with millions of
# pages takes, and than the failure detector needs for a node that is gone.  All that while it is
# silent, one more failure may lose pages.
GRACE_SECONDS: Final = 10.0


class RowSweeps:
    """Which holders are swept for, and how far that is."""

    def __init__(
        self,
        room: Room,
        copies: Copies,
        holders: Holders,
        *,
        on_thinned: Callable[[int], None],
        on_forgotten: Callable[[Holder, int, float], None],
    ) -> None:
        """Begin with none.

        Args:
            room: Whose rows these are.
            copies: Told of holders that can be forgotten.
            holders: All incarnations, of which those that are over are forgotten.
            on_thinned: Called with each row that may have too few copies.
            on_forgotten: Called at the end for an incarnation that is over: how many persistent
                pages it had, and the time.
        """
        self._room, self._copies = room, copies
        self._holders = holders
        self._on_thinned = on_thinned
        self._on_forgotten = on_forgotten
        # By holder id: the row to go on from.
        self._rows: dict[int, tuple[Holder, int]] = {}
        # Whether there is anything to sweep for.
        self.has_work: Callable[[], int] = self._rows.__len__
        # Those of them that look for what has too few copies for another reason than that holder's
        # absence.
        self._to_finish: set[int] = set()
        # By holder id, of incarnations that are over: the persistent pages found so far.
        self._found: dict[int, int] = {}
        # By holder id: those that are awaited, and until when.
        self._awaited: dict[int, tuple[Holder, float]] = {}
        self._step_at: float | None = None

    @property
    def is_counting(self) -> bool:
        """Whether a sweep is under way for pages with too few copies that nobody has counted yet."""
        return bool(self._to_finish)

    def expect(self, holder: Holder, now: float) -> None:
        """A holder has no link, and may be back at once: until it is all its pages count as being at risk."""
        holder.is_unswept = holder.is_awaited = True
        self._awaited[holder.id] = holder, now + GRACE_SECONDS

    def begin(self, holder: Holder, *, is_absent: bool = True) -> None:
        """Look at all rows that name a holder.

        Args:
            holder: Which one.
            is_absent: Whether that is because it can't be asked: until then all its pages count as
                being at risk.  Else more copies are wanted.
        """
        if is_absent:
            self._await_no_more(holder)
            holder.is_unswept = True
        else:
            self._to_finish.add(holder.id)
        self._rows[holder.id] = (holder, 0)

    def call_off(self, holder: Holder) -> None:
        """It can be asked again."""
        self._await_no_more(holder)
        holder.is_unswept = False
        if holder.id in self._to_finish:
            return
        self._rows.pop(holder.id, None)

    def _await_no_more(self, holder: Holder) -> None:
        holder.is_awaited = False
        self._awaited.pop(holder.id, None)

    def settle(self, now: float) -> None:
        """A pass ends: the next slice is due a while from now."""
        if self._rows and self._step_at is None:
            self._step_at = now + SWEEP_SECONDS

    def next_deadline(self) -> float | None:
        """Return when the next slice is due, or a holder is awaited no more."""
        if not self._awaited:
            return self._step_at
        return earlier(min(until for _, until in self._awaited.values()), self._step_at)

    def on_deadline(self, now: float) -> None:
        """Give up holders that were awaited for long enough, and look at the next slice, if it is due."""
        for holder, until in list(self._awaited.values()):
            if until <= now:
                self.begin(holder)
        if self._step_at is None or self._step_at > now:
            return
        self._step_at = None
        if self._rows:
            self._sweep(*self._rows.pop(next(iter(self._rows))), now)

    def _sweep(self, holder: Holder, row: int, now: float) -> None:
        if holder.is_dead:
            swept = lose_held_by(self._room, holder.id, row, SWEEP_ROWS, pages_max=SWEEP_PAGES)
            self._found[holder.id] = self._found.get(holder.id, 0) + swept.persistent
        else:
            swept = find_held_by(self._room.versions, holder.id, row, SWEEP_ROWS)
        for thinned in swept.thinned:
            self._on_thinned(thinned)
        if swept.next_row:
            self._rows[holder.id] = (holder, swept.next_row)
            return
        holder.is_unswept = holder.is_awaited
        self._to_finish.discard(holder.id)
        if holder.is_dead:
            self._holders.forget(holder)
            self._copies.on_reachable(holder.id)
            self._on_forgotten(holder, self._found.pop(holder.id, 0), now)
