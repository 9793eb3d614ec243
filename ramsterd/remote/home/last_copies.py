"""Last copies: how many of our pages only one node has, counted in slices of the row table.

For a peer this counts our persistent pages that are not here and that no other linked holder has.
For this node itself it counts our persistent pages that only peers have.
Pages that move meanwhile may be counted or not.
For an exact answer the caller first stops what moves, as `node remove` does with a cordon.
Pages that were in flight to the peer before are waited for: the peer may then have the only copy.
A page that has a clean copy here, and no other holder, becomes ours alone; otherwise it might be
dropped before the peer goes.

Two peers that are removed at once may have the copies of each other's pages.
So a peer that was asked about lately does not count as a holder when another one is asked about.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from ramsterd.core.page import PoolKind
from ramsterd.core.room import Room
from ramsterd.core.row_sweep import rows_held_by
from ramsterd.remote.holders.holders import Holder, Holders

# Rows looked at in one slice: of those that peers hold each is judged, some 10 ms at most; and the
# pause after it.
COUNT_ROWS: Final = 4096
COUNT_SECONDS: Final = 0.02
# A node that was asked about may be gone by the next count: longer than an operator's command takes
# to remove it.
LEAVING_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer: how many pages only `node` has, or, of this node itself, only peers have."""

    node: NodeId
    last_copies: int


@dataclass(slots=True)
class _Count:
    row: int = 0
    last_copies: int = 0


class LastCopies:
    """All counts under way, one for each node that was asked about."""

    def __init__(
        self,
        room: Room,
        holders: Holders,
        *,
        local: NodeId,
        is_reachable: Callable[[Holder], bool],
        is_sending_to: Callable[[NodeId], bool],
    ) -> None:
        """Begin with nobody asked about.

        Args:
            room: Whose pages these are.
            holders: Who may have them.
            local: This node.
            is_reachable: Whether a holder can be asked for pages now.
            is_sending_to: Whether persistent pages are on their way to a node.
        """
        self._room, self._versions = room, room.versions
        self._holders = holders
        self._local = local
        self._is_reachable = is_reachable
        self._is_sending_to = is_sending_to
        self._counts: dict[NodeId, _Count] = {}
        # When each peer was asked about.
        self._asked_at: dict[NodeId, float] = {}
        self._step_at = 0.0

    def begin(self, node: NodeId, *, now: float) -> None:
        """Count for a node, from the start, also if that is under way."""
        self._restart(node)
        self._step_at = now
        self._asked_at = {
            each: at for each, at in self._asked_at.items() if now - at < LEAVING_SECONDS
        }
        if node != self._local:
            self._asked_at[node] = now

    def next_deadline(self) -> float | None:
        """Return when the next slice is due."""
        return self._step_at if self._counts else None

    def on_deadline(self, now: float) -> list[Counted]:
        """Count the next slice, if it is due.

        Return the answer if that was the last, in a list of one.
        """
        if not self._counts or self._step_at > now:
            return []
        self._step_at = now + COUNT_SECONDS
        counted = self.count(COUNT_ROWS)
        if counted is None:
            return []
        if counted.node in self._asked_at:
            self._asked_at[counted.node] = now
        return [counted]

    def count(self, rows_max: int) -> Counted | None:
        """Look at some rows for one node; return the answer if that was the last of them."""
        node, count = next(iter(self._counts.items()))
        asked = [
            each.id
            for each in self._holders
            if not each.is_dead and node in {each.node, self._local}
        ]
        end = min(count.row + rows_max, self._versions.rows.high)
        if asked:
            rows = rows_held_by(self._versions, asked, count.row, end)
            count.last_copies += sum(self._is_last(row, node) for row in rows)
        if asked and end < self._versions.rows.high:
            count.row = end
            return None
        if node != self._local and self._is_sending_to(node):
            self._restart(node)
            return None
        del self._counts[node]
        return Counted(node, count.last_copies)

    def _restart(self, node: NodeId) -> None:
        """Count from the first row, after all others that are asked about."""
        self._counts.pop(node, None)
        self._counts[node] = _Count()

    def _is_last(self, row: int, node: NodeId) -> bool:
        versions = self._versions
        if versions.kind_of(row) is PoolKind.EPHEMERAL:
            return False
        if node == self._local:
            return not versions.rows.location(row)
        others = (self._holders[holder] for holder in versions.rows.holders(row))
        if any(
            each.node != node and each.node not in self._asked_at and self._is_reachable(each)
            for each in others
        ):
            return False
        return not self._is_kept(row)

    def _is_kept(self, row: int) -> bool:
        """Whether a page is here to stay: a clean copy of what nobody else has is made ours alone, or it may be dropped."""
        self._room.adopt_clean(row)
        return self._versions.rows.location(row) != 0
